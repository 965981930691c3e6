"""Baseline++: a cosine classifier, fitted to the support over a network that stays as it is.

Chen, Liu, Kira, Wang and Huang, "A Closer Look at Few-Shot Classification", ICLR 2019
(https://arxiv.org/abs/1904.04232). A network is trained to classify; then a new last layer is fitted to the few photos
of the new classes. A layer of cosines keeps the photos of a class together and does better than a linear one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Method, Summary
from triptych.methods.classifiers import labelled_photos
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import cosines, fit_cosine_classifier, pooled_vectors
from triptych.system.settings import number, whole

__all__ = ["BaselinePlusPlus", "BaselinePlusPlusConfig"]

_MOST_STEPS = 10_000
_STEP_WORK = 250_000  # multiplications that take as long as a step, for each photo of the support; measured


@dataclass(frozen=True)
class BaselinePlusPlusConfig(MethodConfig):
    """Settings of Baseline++.

    Attributes:
        scale: of the cosines; a logit lies between -scale and scale.
        steps: of gradient descent, for each support.
        rate: its step width.

    >>> from triptych.methods import BaselinePlusPlusConfig
    >>> BaselinePlusPlusConfig(scale=0.0)
    Traceback (most recent call last):
    ValueError: scale must be a number above 0, got 0.0
    """

    scale: float = 10.0
    steps: int = 100
    rate: float = 0.01

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(scale=number(0, above=True), rate=number(0, above=True), steps=whole(0, _MOST_STEPS))


class BaselinePlusPlus(Method):
    r"""The cosine with a fitted vector of each class, scaled.

    .. math:: \mathrm{logit}(q, n) = s \cos(x_q, w_n)

    with the mean descriptor x (C,) of an image and the rows w_n (C,) that ``fit_cosine_classifier`` finds for all
    classes together. Training shapes the backbone by the queries; no gradient flows through the fit.

    >>> import torch
    >>> from triptych.methods import BaselinePlusPlus, BaselinePlusPlusConfig
    >>> method = BaselinePlusPlus(BaselinePlusPlusConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "baseline++"
    config_type = BaselinePlusPlusConfig
    separable = False
    config: BaselinePlusPlusConfig

    def __init__(
        self, config: BaselinePlusPlusConfig = BaselinePlusPlusConfig(), backbone: Backbone | None = None
    ) -> None:
        super().__init__(config, SumFusion(), backbone)

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("cosine",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"cosine": pooled_vectors(encoded.maps)}  # (K, C)

    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """Fit one vector to each class."""
        vectors, labels = labelled_photos(classes, "cosine")
        config = self.config
        return [
            {"cosine": row} for row in fit_cosine_classifier(vectors, labels, config.scale, config.steps, config.rate)
        ]

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        rows = torch.stack([summary["cosine"] for summary in classes])  # (N, C)
        return {"cosine": self.config.scale * cosines(pooled_vectors(query.maps), rows)}

    def pair_work(self, encoded: Encoded) -> int:
        """Each photo that is left out needs a fit of its own, whose work grows with the photos."""
        return _STEP_WORK * (1 + self.config.steps)
