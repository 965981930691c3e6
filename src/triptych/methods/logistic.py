"""Logistic regression on vectors of unit length, over a network that stays as it is.

Tian, Wang, Krishnan, Tenenbaum and Isola, "Rethinking Few-Shot Image Classification: A Good Embedding Is All You
Need?", ECCV 2020 (https://arxiv.org/abs/2003.11539). A network is trained to classify; logistic regression on its
vectors then tells the new classes apart. A good network is worth more than an elaborate comparison.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Method, Summary
from triptych.methods.classifiers import labelled_photos
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import LinearScores, fit_logistic_regression, linear_to_classes, pooled_vectors
from triptych.system.settings import number

__all__ = ["LogisticConfig", "LogisticRegression"]

_FIT_WORK = 9_000_000  # multiplications that take as long as a fit, for each photo of the support; measured


@dataclass(frozen=True)
class LogisticConfig(MethodConfig):
    """Settings of logistic regression.

    Attributes:
        strength: how much the photos count beside the size of the weights, scikit-learn's C.

    >>> from triptych.methods import LogisticConfig
    >>> LogisticConfig(strength=0.0)
    Traceback (most recent call last):
    ValueError: strength must be a number above 0, got 0.0
    """

    strength: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(strength=number(0, above=True))


class LogisticRegression(Method):
    r"""The linear scores of a multinomial logistic regression, fitted to all classes of the support.

    .. math:: \mathrm{logit}(q, n) = w_n^T \hat x_q + b_n

    with the mean descriptor :math:`\hat x` (C,) of an image, scaled to unit length, and the weights of
    ``fit_logistic_regression``; the paper's "simple" form, without distillation and without the five augmented copies
    of each photo that the authors' figures have. Training shapes the backbone by the queries; no gradient flows through
    the fit.

    >>> import torch
    >>> from triptych.methods import LogisticConfig, LogisticRegression
    >>> method = LogisticRegression(LogisticConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "logistic"
    config_type = LogisticConfig
    separable = False
    config: LogisticConfig

    def __init__(self, config: LogisticConfig = LogisticConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SumFusion(), backbone)

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("linear",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"linear": _units(encoded)}  # (K, C)

    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """Fit a weight vector and a bias to each class."""
        fitted = fit_logistic_regression(*labelled_photos(classes, "linear"), self.config.strength)
        return [{"linear": LinearScores(*one)} for one in zip(*fitted, strict=True)]

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        fitted = LinearScores(*map(torch.stack, zip(*(summary["linear"] for summary in classes), strict=True)))
        return {"linear": linear_to_classes(_units(query), fitted)}

    def pair_work(self, encoded: Encoded) -> int:
        """Each photo that is left out needs a fit of its own, whose work grows with the photos."""
        return _FIT_WORK


def _units(encoded: Encoded) -> Float[Tensor, "B C"]:
    return functional.normalize(pooled_vectors(encoded.maps), dim=1)
