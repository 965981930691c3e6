"""CovaMNet: a query's descriptors along the covariance of a class's, position by position.

Li, Xu, Huo, Wang, Gao and Luo, "Distribution Consistency Based Covariance Metric Networks for Few-Shot Learning", AAAI
2019 (https://doi.org/10.1609/aaai.v33i01.33018642). A class is the covariance of all its local descriptors. A query
that varies in the same directions is consistent with it, and learned weights say how much each position of the query
counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import covariance_class, covariance_to_classes, without_autocast

__all__ = ["CovaMNet", "CovaMNetConfig"]

_GRID = 21  # of the authors' maps
_DROPPED = 0.5
_SPREAD = 0.02  # of the weights before training; the authors'


@dataclass(frozen=True)
class CovaMNetConfig(MethodConfig):
    """Settings of CovaMNet: those of every method."""


class CovaMNet(Method):
    r"""A weighted sum of the covariance metric over the positions of the query.

    .. math:: s(q, n) = \sum_{i=1}^{M} v_i \,
        \mathrm{drop}\big((x_i - \bar x_q)^T \Sigma_n (x_i - \bar x_q)\big)

    with the descriptors x_i (C,) of the query and the covariance :math:`\Sigma_n` (C, C) of all descriptors of class n.
    Scores have a temperature, relative to how far they spread: see ``LevelFusion``. Half of the positions are dropped
    at random in training, as in the authors' code. The weights v are learned on a
    grid of 21 x 21, and interpolated where the map has another size.

    >>> import torch
    >>> from triptych.methods import CovaMNet, CovaMNetConfig
    >>> method = CovaMNet(CovaMNetConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "covamnet"
    config_type = CovaMNetConfig

    def __init__(self, config: CovaMNetConfig = CovaMNetConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, LevelFusion(("covariance",)), backbone)
        self.weights = nn.Parameter(_SPREAD * torch.randn(1, 1, _GRID, _GRID))

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("covariance",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"covariance": covariance_class(encoded.maps)}  # (C, C)

    @without_autocast
    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        similarities = covariance_to_classes(query.maps, [summary["covariance"] for summary in classes])  # (Q, N, M)
        similarities = functional.dropout(similarities, _DROPPED, self.training)
        height, width = query.maps.shape[2:]
        weights = functional.interpolate(self.weights, (height, width), mode="bilinear", antialias=True)
        total = _GRID**2 / (height * width)  # a sum over fewer positions counts as one over all
        return {"covariance": total * (similarities @ weights.flatten())}
