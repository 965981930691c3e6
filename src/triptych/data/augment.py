"""Batched augmentation: random crops, flips and colour jitter of a whole batch at once.

Every random number comes from the generator that the caller passes, so that a resumed training run sees the
same images as an uninterrupted one.
"""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional

__all__ = ["centre_crop", "colour_jitter", "normalise", "random_crop_flip", "resize"]

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as Pillow's and torchvision's greyscale


def random_crop_flip(
    images: UInt8[Tensor, "B side side 3"], crop: int, rng: np.random.Generator, padding: int = 0
) -> UInt8[Tensor, "B crop crop 3"]:
    """Cut a random (crop, crop) window from each image and mirror half of them.

    Args:
        images: a batch.
        crop: the side of the window.
        rng: where it lies, and which images are mirrored.
        padding: how far a window may reach beyond each edge, where it sees the image reflected.

    Raises:
        ValueError: the crop does not fit, or the padding is as wide as the images.

    >>> import numpy as np
    >>> import torch
    >>> from triptych.data import random_crop_flip
    >>> random_crop_flip(torch.zeros(2, 92, 92, 3, dtype=torch.uint8), 84, np.random.default_rng(0)).shape
    torch.Size([2, 84, 84, 3])
    """
    count, side = images.shape[:2]
    if not 0 <= padding < side:
        raise ValueError(f"padding must be 0 to {side - 1} for images of {side} pixels, got {padding}")
    _check_crop(crop, side, side + 2 * padding)
    offsets = rng.integers(-padding, side + padding - crop + 1, size=(2, count, 1))
    span = np.arange(crop)
    rows = _reflected(offsets[0] + span, side)  # (B, crop)
    columns = _reflected(offsets[1] + np.where(rng.random((count, 1)) < 0.5, span, span[::-1]), side)  # (B, crop)
    device = images.device
    batch = torch.arange(count, device=device)[:, None, None]
    return images[
        batch,
        torch.from_numpy(rows).to(device)[:, :, None],
        torch.from_numpy(columns).to(device)[:, None, :],
    ]


def _check_crop(crop: int, side: int, most: int) -> None:
    if not 0 < crop <= most:
        raise ValueError(f"a crop of {crop} pixels does not fit images of {side}; expected 1 to {most}")


def _reflected(positions: np.ndarray, side: int) -> np.ndarray:
    """Positions beyond an edge, mirrored about the outermost pixel, which is not repeated."""
    inside = np.abs(positions)
    return np.minimum(inside, 2 * (side - 1) - inside)


def centre_crop(images: UInt8[Tensor, "B side side 3"], crop: int) -> UInt8[Tensor, "B crop crop 3"]:
    """The middle (crop, crop) window of each image.

    Raises:
        ValueError: the crop does not fit.

    >>> import torch
    >>> from triptych.data import centre_crop
    >>> centre_crop(torch.zeros(2, 100, 100, 3, dtype=torch.uint8), 84).shape
    torch.Size([2, 84, 84, 3])
    """
    _check_crop(crop, images.shape[1], images.shape[1])
    margin = (images.shape[1] - crop) // 2
    return images[:, margin : margin + crop, margin : margin + crop]


def normalise(
    images: UInt8[Tensor, "B h w 3"], mean: tuple[float, ...], std: tuple[float, ...]
) -> Float[Tensor, "B 3 h w"]:
    """uint8 to floats in [0, 1], minus mean, over std, per channel; in channels-last memory.

    >>> import torch
    >>> from triptych.data import normalise
    >>> white = torch.full((1, 1, 1, 3), 255, dtype=torch.uint8)
    >>> normalise(white, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).flatten()
    tensor([1., 1., 1.])
    """
    scale = 1.0 / (255.0 * torch.tensor(std, device=images.device))
    shift = torch.tensor(mean, device=images.device) / torch.tensor(std, device=images.device)
    return (images * scale - shift).permute(0, 3, 1, 2)  # (B, 3, h, w)


def resize(images: Float[Tensor, "B 3 h w"], side: int | None) -> Float[Tensor, "B 3 side side"]:
    """Scale images to (side, side), bilinear with antialiasing; None leaves them as they are.

    >>> import torch
    >>> from triptych.data import resize
    >>> resize(torch.zeros(2, 3, 84, 84), 56).shape
    torch.Size([2, 3, 56, 56])
    """
    if side is None or images.shape[2:] == (side, side):
        return images
    return functional.interpolate(images, (side, side), mode="bilinear", antialias=True)


def colour_jitter(
    images: UInt8[Tensor, "B h w 3"], strength: float, rng: np.random.Generator
) -> UInt8[Tensor, "B h w 3"]:
    """Scale brightness, contrast and saturation of each image by factors from U(1 - strength, 1 + strength).

    The three are applied in this order for the whole batch; torchvision's ColorJitter draws an order per image.

    >>> import numpy as np
    >>> import torch
    >>> from triptych.data import colour_jitter
    >>> grey = torch.full((2, 4, 4, 3), 100, dtype=torch.uint8)
    >>> first, second = colour_jitter(grey, 0.4, np.random.default_rng(0))
    >>> bool((first == second).all())
    False
    """
    if strength == 0:
        return images
    factors = rng.uniform(1 - strength, 1 + strength, size=(3, len(images), 1, 1, 1))
    brightness, contrast, saturation = torch.from_numpy(factors).to(images.device, torch.float32)
    luma = torch.tensor(_LUMA, device=images.device)
    x = (images * brightness).clamp(0, 255)
    grey = (x @ luma).mean(dim=(1, 2))[:, None, None, None]
    x = torch.lerp(grey, x, contrast).clamp(0, 255)
    x = torch.lerp((x @ luma)[..., None], x, saturation).clamp(0, 255)
    return x.round().to(torch.uint8)
