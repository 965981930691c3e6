"""The later MML: parts of a grid, positions of the map and the whole image, each trained by itself.

Chen, Li, Li and Chen, "Multi-level Metric Learning for Few-shot Image Recognition", ICANN 2022
(https://arxiv.org/abs/2103.11383v4, from December 2021 on). A query should be classified well at three levels at the
same time. Its parts, crops of a grid, are compared with parts of the class that a graph has adapted; positions and the
whole image are compared as in DN4 and in prototypical networks.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import Levels, SoftmaxFusion
from triptych.methods.base import Matching, Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.crops import Box, crops_of, drawn_enlargement, pyramid_boxes
from triptych.methods.encoded import Encoded
from triptych.similarity import (
    global_class,
    global_to_classes,
    nearest_similarity,
    pixel_class,
    pixel_to_classes,
    without_autocast,
)
from triptych.system.settings import one_of

__all__ = ["LaterMML", "LaterMMLConfig", "PartGraph"]

_PYRAMID = (3, 2)
_WEIGHTS = {"part": 1.0, "pixel": 0.5, "global": 0.5}  # of the losses, and of the probabilities
_GLOBAL_TEMPERATURE = 64.0  # of the loss alone, as in the release
_EDGES = ("none", "class")
_POSITIONS = 25  # of the authors' maps, ResNet-12's of 5 x 5


@dataclass(frozen=True)
class LaterMMLConfig(MethodConfig):
    """Settings of the later MML.

    Attributes:
        edges: between which parts of the support the graph has edges. "none": as the release computes, where each part
            is adapted by itself. "class": all parts of a class.

    >>> from triptych.methods import LaterMMLConfig
    >>> LaterMMLConfig(edges="all")
    Traceback (most recent call last):
    ValueError: edges must be one of none, class, got 'all'
    """

    edges: str = "none"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(edges=one_of(*_EDGES))


class LaterMML(Method):
    r"""Part, pixel and global level.

    - ``part``: the sum, over the 13 parts of the query, of the cosine with the nearest adapted part of the class. Parts
      are crops, the cells of a 3x3 and a 2x2 grid, each twice as large, in training once to three times, drawn for each
      episode; a part is the mean descriptor (C,) of its crop.
      ``PartGraph`` adapts the parts of the support.
    - ``pixel``: ``pixel_similarity`` of the map of the whole image, as if it had the 25 positions of the authors' maps:
      the sum over 441 has softmaxes of one class alone, which nothing is learnt from.
    - ``global``: ``global_similarity`` of it.

    .. math:: L = L_\mathrm{part} + \tfrac12 L_\mathrm{pixel} + \tfrac12 L_\mathrm{global}

    of each level's cross-entropy, the global level's divided by 64 first. The scores are the same weighted sum of
    softmaxes, see ``SoftmaxFusion``.

    >>> import torch
    >>> from triptych.methods import LaterMML, LaterMMLConfig
    >>> method = LaterMML(LaterMMLConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "mml-later"
    config_type = LaterMMLConfig
    config: LaterMMLConfig

    def __init__(self, config: LaterMMLConfig = LaterMMLConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SoftmaxFusion(_WEIGHTS), backbone)
        self.graph = PartGraph(self.channels)
        self.boxes = _boxes(2.0)

    @property
    def level_names(self) -> tuple[str, ...]:
        return tuple(_WEIGHTS)

    def crops(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "BP 3 h w"]:
        """Each image and its parts."""
        return crops_of(images, _boxes(drawn_enlargement()) if self.training else self.boxes)

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """The maps of whole images, and ``parts`` (B, 13, C)."""
        maps = super().encode_features(taps).maps.unflatten(0, (-1, len(self.boxes)))  # (B, 14, C, H, W)
        return Encoded({"maps": maps[:, 0], "parts": maps[:, 1:].mean(dim=(3, 4))})

    @without_autocast
    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        parts = encoded.tensors["parts"].float().flatten(0, 1)  # (K*13, C)
        return {
            "part": functional.normalize(self.graph(parts, self.config.edges == "class"), dim=1),
            "pixel": pixel_class(encoded.maps),
            "global": global_class(encoded.maps),
        }

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        parts = functional.normalize(query.tensors["parts"].float(), dim=2)  # (Q, 13, C)
        scale = _POSITIONS / math.prod(query.maps.shape[2:])
        return {
            "part": nearest_similarity(parts, [summary["part"] for summary in classes], 1, parts.dtype),
            "pixel": scale * pixel_to_classes(query.maps, [summary["pixel"] for summary in classes], 1),
            "global": global_to_classes(query.maps, [summary["global"] for summary in classes]),
        }

    def loss(self, levels: Levels, truth: Int64[Tensor, " Q"], level_loss: float = 0.0) -> Tensor:
        """The weighted sum of each level's own cross-entropy."""
        own = {**levels, "global": levels["global"] / _GLOBAL_TEMPERATURE}
        losses = [weight * functional.cross_entropy(own[name], truth) for name, weight in _WEIGHTS.items()]
        return torch.stack(losses).sum()

    def matchings(self) -> Mapping[str, Matching]:
        return {"pixel": Matching("patch", lambda encoded: pixel_class(encoded.maps), lambda pool: pool, k=1)}


class PartGraph(nn.Module):
    r"""Part-level embedding adaptation with a graph (PEAG): two graph convolutions beside the parts themselves.

    .. math:: \tilde P = P + A \, \mathrm{drop}\big(\mathrm{ReLU}(A P W_1 + b_1)\big) W_2 + b_2

    with parts P (J, C), W_1 (C, 4C) and W_2 (4C, C), and A the mean over the parts that are connected, each with
    itself. As the release computes it, with half of the hidden units dropped in training.

    >>> import torch
    >>> from triptych.methods.later import PartGraph
    >>> PartGraph(8)(torch.randn(13, 8), connected=True).shape
    torch.Size([13, 8])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inward, self.outward = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        for layer in (self.inward, self.outward):
            nn.init.uniform_(layer.weight, -(layer.out_features**-0.5), layer.out_features**-0.5)
            nn.init.uniform_(layer.bias, -(layer.out_features**-0.5), layer.out_features**-0.5)

    def forward(self, parts: Float[Tensor, "J C"], connected: bool) -> Float[Tensor, "J C"]:
        hidden = functional.dropout(self.inward(_mean(parts, connected)).relu(), 0.5, self.training)
        return parts + self.outward(_mean(hidden, connected))


def _mean(rows: Float[Tensor, "J D"], connected: bool) -> Float[Tensor, "J D"]:
    """Each row's mean over the rows that it is connected with: all, or itself alone."""
    return rows.mean(0, keepdim=True).expand_as(rows) if connected else rows


def _boxes(enlarged: float) -> tuple[Box, ...]:
    """The image itself comes first."""
    return ((0.0, 0.0, 1.0, 1.0), *pyramid_boxes(_PYRAMID, enlarged))
