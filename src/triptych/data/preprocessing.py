"""How photos become a network's input: size, shape and scale of the numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from triptych.data.augment import normalise
from triptych.data.images import ImageSource, decoded
from triptych.data.inputs import photo_stream

__all__ = ["FITS", "INTERPOLATIONS", "Preprocessing"]

FITS = ("squash", "crop", "keep")
INTERPOLATIONS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}

_STEP = 32  # of the long side of "keep": what networks reduce their input by, or a multiple of it
_LONGEST = 2  # times the short side
_MOST = 1024  # at which a network of 64 channels takes a gigabyte; a file may be a stranger's


@dataclass(frozen=True)
class Preprocessing:
    """How photos become a network's input.

    Attributes:
        side: in pixels.
        fit: "squash" scales to (side, side), whatever the aspect ratio. "crop" scales the short side to ``side`` and
            takes the square in the middle. "keep" scales the short side to ``side`` and the long one with it, to a
            multiple of 32 that is at most twice ``side``; what is longer is squeezed into that.
        interpolation: "bilinear", "bicubic" or "lanczos".
        mean: subtracted from each channel of an image in [0, 1].
        std: divides each channel after that.

    >>> from PIL import Image
    >>> from triptych.data import Preprocessing
    >>> photo = Image.new("RGB", (640, 480), "white")
    >>> Preprocessing(side=84)([photo])[0, :, 0, 0]
    tensor([1., 1., 1.])
    >>> Preprocessing(side=224, fit="keep").pixels(photo).shape
    (224, 288, 3)
    >>> Preprocessing(side=0)
    Traceback (most recent call last):
    ValueError: side is 0; expected a whole number of pixels from 1 to 1024
    """

    side: int = 84
    fit: str = "squash"
    interpolation: str = "bilinear"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)

    def __post_init__(self) -> None:
        if isinstance(self.side, bool) or not isinstance(self.side, int) or not 1 <= self.side <= _MOST:
            raise ValueError(f"side is {self.side!r}; expected a whole number of pixels from 1 to {_MOST}")
        if not isinstance(self.fit, str) or self.fit not in FITS:
            raise ValueError(f"fit is {self.fit!r}; expected one of {', '.join(FITS)}")
        if not isinstance(self.interpolation, str) or self.interpolation not in INTERPOLATIONS:
            raise ValueError(f"interpolation is {self.interpolation!r}; expected one of {', '.join(INTERPOLATIONS)}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if not _is_triple(values):
                raise ValueError(f"{name} is {values!r}; expected a tuple of three numbers, one for each channel")
        if min(self.std) <= 0:
            raise ValueError(f"std is {self.std}; expected three numbers above 0")

    def __call__(self, images: Sequence[ImageSource]) -> Float[Tensor, "B 3 h w"]:
        """Photos to a float batch, upright and in RGB.

        Raises:
            ImageError: a photo cannot be read.
            ValueError: no photos, or one that is in no list; or with "keep", photos of different shapes: give those of
                one shape at a time.
        """
        pixels = [self.pixels(image) for image in photo_stream(images)]
        shapes = dict.fromkeys(one.shape[:2] for one in pixels)
        if not pixels:
            raise ValueError("no photos; expected at least one")
        if len(shapes) > 1:
            sizes = ", ".join(f"{height} x {width}" for height, width in shapes)
            raise ValueError(f"photos of different shapes do not fit one batch: {sizes}; give those of one at a time")
        return self.normalise(torch.from_numpy(np.stack(pixels)))

    def pixels(self, image: ImageSource, name: str | None = None) -> UInt8[np.ndarray, "h w 3"]:
        """One photo, scaled; ``name`` is how an error names it.

        Raises:
            ImageError: it cannot be read.
        """
        with decoded(image, self.side, name) as whole:
            return np.array(self._scaled(whole))

    def normalise(self, pixels: UInt8[Tensor, "B h w 3"]) -> Float[Tensor, "B 3 h w"]:
        """uint8 pixels to a float batch, in channels-last memory."""
        return normalise(pixels, self.mean, self.std)

    def _scaled(self, image: Image.Image) -> Image.Image:
        width, height = image.size
        if self.fit == "squash":
            size = (self.side, self.side)
        elif self.fit == "crop":
            image = _middle(image, 4 * min(width, height))  # a very long photo must not become a giant one
            size = _with_short_side(image.size, self.side)
        else:
            size = _kept(image.size, self.side)
        if image.size != size:
            image = image.resize(size, INTERPOLATIONS[self.interpolation])
        return _middle(image, self.side) if self.fit == "crop" else image


def _is_triple(values: object) -> bool:
    return (
        isinstance(values, tuple)
        and len(values) == 3
        and all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in values)
    )


def _with_short_side(size: tuple[int, int], side: int) -> tuple[int, int]:
    short = min(size)
    return side * size[0] // short, side * size[1] // short


def _middle(image: Image.Image, longest: int) -> Image.Image:
    """The middle of an image, where a side is longer than ``longest``."""
    width, height = (min(length, longest) for length in image.size)
    left, top = round((image.size[0] - width) / 2), round((image.size[1] - height) / 2)
    whole = (width, height) == image.size
    return image if whole else image.crop((left, top, left + width, top + height))


def _kept(size: tuple[int, int], side: int) -> tuple[int, int]:
    wide = size[0] > size[1]
    short, long = sorted(size)
    scaled = _STEP * round(side * long / short / _STEP)
    longest = max(side, _LONGEST * side // _STEP * _STEP)
    length = side if short == long else max(side, min(scaled, longest))
    return (length, side) if wide else (side, length)
