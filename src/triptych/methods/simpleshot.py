"""SimpleShot: the nearest class mean, after vectors are centred and scaled to unit length.

Wang, Chao, Weinberger and van der Maaten, "SimpleShot: Revisiting Nearest-Neighbor Classification for Few-Shot
Learning", 2019 (https://arxiv.org/abs/1911.04623). Features of a network that was trained to classify need no metric
learning: take the mean of the training classes off, scale to unit length, and choose the nearest class mean.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.methods.encoding import BATCH
from triptych.similarity import centred_units, minus_squared_distances, pooled_vectors

__all__ = ["SimpleShot", "SimpleShotConfig"]


@dataclass(frozen=True)
class SimpleShotConfig(MethodConfig):
    """Settings of SimpleShot: those of every method."""


class SimpleShot(Method):
    r"""Minus the squared distance of centred vectors of unit length to the mean of a class's.

    .. math:: s(q, n) = -\Big\|\hat x_q - \frac{1}{K_n} \sum_{k=1}^{K_n} \hat x_{n,k}\Big\|_2^2, \qquad
        \hat x = \frac{x - m}{\|x - m\|_2}

    with the mean descriptor x (C,) of an image and the mean m (C,) of all training classes; the
    paper's CL2N. ``learn_closed_form`` finds m. Before that it is zero, which is the paper's variant L2N.

    >>> import torch
    >>> from triptych.methods import SimpleShot, SimpleShotConfig
    >>> method = SimpleShot(SimpleShotConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "simpleshot"
    config_type: ClassVar[type[MethodConfig]] = SimpleShotConfig
    centre: Tensor

    def __init__(self, config: SimpleShotConfig = SimpleShotConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, LevelFusion(("global",)), backbone)
        self.register_buffer("centre", torch.zeros(self.channels))

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("global",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"global": self.vectors(encoded).mean(0)}  # (C,)

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        means = torch.stack([summary["global"] for summary in classes])  # (N, C)
        return {"global": minus_squared_distances(self.vectors(query), means)}

    def learns_closed_form(self, classes: int) -> bool:
        """Whether it can learn the centre: not over a user's principal components."""
        return self.projection is None

    @torch.no_grad()
    def learn_closed_form(self, classes: Iterable[Float[Tensor, "_ 3 h w"]]) -> "SimpleShot":
        """The method with the mean of the vectors of all training classes as its centre; the backbone is shared."""
        means = torch.stack([self._pooled(images).mean(0) for images in classes])  # (classes, C)
        method = type(self)(self.config, self.backbone).to(means.device)  # type: ignore[arg-type]
        method.fusion.load_state_dict(self.fusion.state_dict())
        method.centre.copy_(means.mean(0))
        return method.train(self.training)

    def _pooled(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B C"]:
        parts = images.split(BATCH[images.device.type])
        return torch.cat([pooled_vectors(self.encode(part).maps) for part in parts])

    def vectors(self, encoded: Encoded) -> Float[Tensor, "B C"]:
        """The centred vectors of unit length that are compared."""
        return centred_units(pooled_vectors(encoded.maps), self.centre)
