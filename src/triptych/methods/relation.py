"""Relation Network: a network of its own that is shown a query and a class side by side and scores their relation.

Sung, Yang, Zhang, Xiang, Torr and Hospedales, "Learning to Compare: Relation Network for Few-Shot Learning", CVPR 2018
(https://arxiv.org/abs/1711.06025). The comparison is learnt: two convolutions and two linear layers see the channels of
both images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import Levels, SumFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import without_autocast
from triptych.system.settings import whole

__all__ = ["RelationConfig", "RelationNetwork"]

_GRID = 3  # the map that the linear layers see, whatever the size of the images
_LARGEST = 1 << 12


@dataclass(frozen=True)
class RelationConfig(MethodConfig):
    """Settings of a Relation Network.

    Attributes:
        filters: of the two convolutions of the relation module.
        hidden: units of its hidden linear layer.

    >>> from triptych.methods import RelationConfig
    >>> RelationConfig(hidden=0)
    Traceback (most recent call last):
    ValueError: hidden must be a whole number from 1 to 4096, got 0
    """

    filters: int = 64
    hidden: int = 8

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(filters=whole(1, _LARGEST), hidden=whole(1, _LARGEST))


class RelationNetwork(Method):
    r"""The relation score of a query x and a class n.

    .. math:: r(q, n) = \sigma\big(g(\,[\,\tfrac{1}{K_n} \textstyle\sum_k f(x_k) \;;\; f(x_q)\,]\,)\big)

    with the feature maps f(x), joined channel by channel, and the relation module g; equations 1 and 2 of the paper.
    The mean over the K_n images of a class takes the place of the paper's sum, so that classes may differ in shots. The
    level is g itself, before the sigmoid: it is a logit. The loss is the paper's mean squared error, equation 3.

    g takes maps of any size: its convolutions are padded, those of the authors' code for miniImageNet are not, and its
    last map is pooled to 3 x 3, the size that theirs has.

    >>> import torch
    >>> from triptych.methods import RelationConfig, RelationNetwork
    >>> method = RelationNetwork(RelationConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "relation"
    config_type = RelationConfig

    def __init__(self, config: RelationConfig = RelationConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SumFusion(), backbone)
        self.relation = nn.Sequential(
            _convolution(2 * self.channels, config.filters),
            _convolution(config.filters, config.filters),
            nn.AdaptiveAvgPool2d(_GRID),
            nn.Flatten(),
            nn.Linear(config.filters * _GRID**2, config.hidden),
            nn.ReLU(),
            nn.Linear(config.hidden, 1),
        )

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("relation",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"relation": encoded.maps.float().mean(0)}  # (C, H, W)

    @without_autocast
    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        means = torch.stack([summary["relation"] for summary in classes])  # (N, C, H, W)
        # BatchNorm sees all pairs of an episode at once in training; afterwards one class after the other saves memory.
        blocks = [means] if self.training else means.split(1)
        return {"relation": torch.cat([self._scores(query.maps.float(), block) for block in blocks], dim=1)}

    def loss(self, levels: Levels, truth: Int64[Tensor, " Q"], level_loss: float = 0.0) -> Tensor:
        """Mean squared error of the relation scores to 1 for the right class and 0 for the others."""
        scores = levels["relation"].sigmoid()
        return functional.mse_loss(scores, functional.one_hot(truth, scores.shape[1]).to(scores))

    def _scores(self, query: Float[Tensor, "Q C H W"], means: Float[Tensor, "N C H W"]) -> Float[Tensor, "Q N"]:
        pairs = torch.cat(
            [
                means[None].expand(len(query), -1, -1, -1, -1),
                query[:, None].expand(-1, len(means), -1, -1, -1),
            ],
            dim=2,
        )  # (Q, N, 2C, H, W)
        return self.relation(pairs.flatten(0, 1)).view(len(query), len(means))


def _convolution(inputs: int, filters: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, filters, 3, padding=1, bias=False),
        nn.BatchNorm2d(filters),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, ceil_mode=True),  # a map of one position stays one
    )
