"""DeepBDC: images as matrices of Brownian distance covariance, classes as the means of them.

Xie, Long, Lv, Wang and Li, "Joint Distribution Matters: Deep Brownian Distance Covariance for Few-Shot Classification",
CVPR 2022 (https://arxiv.org/abs/2204.04567). The mean and the covariance of a map see how channels vary and how they go
together linearly. The matrix of distances between channels, centred, sees every kind of dependence. This is Meta
DeepBDC, the prototype form.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import bdc_vectors, inner_products, minus_squared_distances
from triptych.system.settings import one_of, optional, whole

__all__ = ["DeepBDC", "DeepBDCConfig"]

_COMPARISONS = {"distance": minus_squared_distances, "product": inner_products}
_POSITIONS = 25  # of ResNet-12's maps of 5 x 5; sets the scale before training. The authors' maps have 10 x 10


@dataclass(frozen=True)
class DeepBDCConfig(MethodConfig):
    """Settings of DeepBDC.

    Attributes:
        reduced: channels to which a layer of 1x1 convolutions, which is trained, reduces the map; None for no layer.
        comparison: "distance", minus the squared distance, or "product", the inner product. The paper has the second;
            the authors' code takes it for one photo a class alone, and the first from two photos on.

    >>> from triptych.methods import DeepBDCConfig
    >>> DeepBDCConfig(comparison="angle")
    Traceback (most recent call last):
    ValueError: comparison must be one of distance, product, got 'angle'
    """

    reduced: int | None = None
    comparison: str = "distance"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(reduced=optional(whole(2, 1 << 10)), comparison=one_of(*_COMPARISONS))
        if self.reduced is not None and self.components is not None:
            raise ValueError("a layer reduces the channels already; leave out reduced or components")


class DeepBDC(Method):
    r"""Minus the squared distance between a query's BDC matrix and the mean of those of a class.

    .. math:: s(q, n) = -\Big\| A_q - \frac{1}{K_n} \sum_{k=1}^{K_n} A_{n,k} \Big\|_2^2

    over the upper triangles A (C (C + 1) / 2,) of the matrices that ``bdc_vectors`` gives, whose scale is learned.
    Scores have a temperature, relative to how far they spread: see ``LevelFusion``. The
    paper's Meta DeepBDC has the inner product, ``comparison="product"``: a little better with one photo a class, far
    worse with five.

    >>> import torch
    >>> from triptych.methods import DeepBDC, DeepBDCConfig
    >>> method = DeepBDC(DeepBDCConfig(reduced=16)).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "deepbdc"
    config_type = DeepBDCConfig
    config: DeepBDCConfig

    def __init__(self, config: DeepBDCConfig = DeepBDCConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, LevelFusion(("covariance",)), backbone)
        self.log_scale = nn.Parameter(torch.tensor(1 / (2 * _POSITIONS)).log())
        self.reduction = None if config.reduced is None else _reduction(super().channels, config.reduced)

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("covariance",)

    @property
    def channels(self) -> int:
        """C of the maps that are compared."""
        return self.config.reduced or super().channels

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """The maps, reduced."""
        encoded = super().encode_features(taps)
        return encoded if self.reduction is None else Encoded({"maps": self.reduction(encoded.maps)})

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"covariance": self._vectors(encoded).mean(0)}  # (D,)

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        means = torch.stack([summary["covariance"] for summary in classes])  # (N, D)
        return {"covariance": _COMPARISONS[self.config.comparison](self._vectors(query), means)}

    def _vectors(self, encoded: Encoded) -> Float[Tensor, "B D"]:
        return bdc_vectors(encoded.maps, self.log_scale.exp())


def _reduction(channels: int, reduced: int) -> nn.Sequential:
    convolution = nn.Conv2d(channels, reduced, 1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(convolution, nn.BatchNorm2d(reduced), nn.ReLU(inplace=True))
