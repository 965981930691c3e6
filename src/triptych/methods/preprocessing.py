"""How images become the input of a backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from triptych.data.augment import normalise
from triptych.data.images import read_image, squash

__all__ = ["Preprocessing"]

_SIDES = (16, 2048)


@dataclass(frozen=True)
class Preprocessing:
    """How images become the backbone's input.

    Attributes:
        side: images are scaled to (side, side) pixels.
        mean: subtracted from each channel of an image in [0, 1].
        std: divides each channel after that.

    >>> from PIL import Image
    >>> from triptych.methods import Preprocessing
    >>> Preprocessing(side=84)([Image.new("RGB", (640, 480), "white")])[0, :, 0, 0]
    tensor([1., 1., 1.])
    """

    side: int = 84
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if not _SIDES[0] <= self.side <= _SIDES[1]:  # a stranger's file must not ask for a giant image
            raise ValueError(f"image side must be {_SIDES[0]} to {_SIDES[1]} pixels, got {self.side}")

    def __call__(self, images: Sequence[Image.Image]) -> Float[Tensor, "B 3 h w"]:
        """PIL images to a float batch, upright and in RGB."""
        pixels = [np.asarray(squash(read_image(image, self.side), self.side)) for image in images]
        return self.normalise(torch.from_numpy(np.stack(pixels)))

    def normalise(self, pixels: Tensor) -> Float[Tensor, "B 3 h w"]:
        """uint8 pixels (B, side, side, 3) to a float batch."""
        return normalise(pixels, self.mean, self.std)
