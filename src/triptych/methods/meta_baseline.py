"""Meta-Baseline: the cosine with a class mean, times a learned temperature.

Chen, Liu, Xu, Darrell and Wang, "Meta-Baseline: Exploring Simple Meta-Learning for Few-Shot Learning", ICCV 2021
(https://arxiv.org/abs/2003.04390). A network that was trained to classify already compares well by cosine. Episodes of
the same comparison, with a temperature that is learned, make it better.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import cosines, pooled_vectors

__all__ = ["MetaBaseline", "MetaBaselineConfig"]

_TEMPERATURE = 10.0  # before training, as in the paper


@dataclass(frozen=True)
class MetaBaselineConfig(MethodConfig):
    """Settings of Meta-Baseline: those of every method."""


class MetaBaseline(Method):
    r"""The cosine between the mean descriptor of a query and that of a class, times a learned factor.

    .. math:: \mathrm{logit}(q, n) = \tau \cos\Big(x_q,\; \frac{1}{K_n} \sum_{k=1}^{K_n} x_{n,k}\Big)

    with the mean descriptor x (C,) of an image.

    >>> import torch
    >>> from triptych.methods import MetaBaseline, MetaBaselineConfig
    >>> method = MetaBaseline(MetaBaselineConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "meta-baseline"
    config_type = MetaBaselineConfig

    def __init__(self, config: MetaBaselineConfig = MetaBaselineConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SumFusion(), backbone)
        self.temperature = nn.Parameter(torch.tensor(_TEMPERATURE))

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("cosine",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"cosine": pooled_vectors(encoded.maps).mean(0)}  # (C,)

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        means = torch.stack([summary["cosine"] for summary in classes])  # (N, C)
        return {"cosine": self.temperature * cosines(pooled_vectors(query.maps), means)}
