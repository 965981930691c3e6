"""Crops of images, for methods that look at parts of an image one by one."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["Box", "crops_of", "drawn_enlargement", "drawn_seed", "pyramid_boxes", "random_boxes"]

Box = tuple[float, float, float, float]  # top, left, bottom, right, as shares of the image's side


def pyramid_boxes(grids: Sequence[int], enlarged: float = 2.0) -> tuple[Box, ...]:
    """The cells of grids of so many rows and columns, each made larger around its middle, as far as the image reaches.

    >>> from triptych.methods.crops import pyramid_boxes
    >>> pyramid_boxes([1])
    ((0.0, 0.0, 1.0, 1.0),)
    >>> len(pyramid_boxes([3, 2]))
    13
    """
    spans = {
        grid: [
            (max(0.0, (i + 0.5 - enlarged / 2) / grid), min(1.0, (i + 0.5 + enlarged / 2) / grid)) for i in range(grid)
        ]
        for grid in grids
    }
    return tuple(
        (top, left, bottom, right) for grid in grids for top, bottom in spans[grid] for left, right in spans[grid]
    )


def drawn_enlargement() -> float:
    """How much larger cells are made in training: 1 to 3 times, drawn by torch's generator.

    As in the code of DeepEMD, which draws for each photo and flips each crop; here all photos of an episode have the
    same boxes, and photos are flipped whole.
    """
    return 1 + 2 * torch.rand((), device="cpu").item()


def drawn_seed() -> int:
    """A seed of ``random_boxes`` for training, drawn by torch's generator."""
    return int(torch.randint(1 << 62, (), device="cpu"))


def random_boxes(count: int, seed: int) -> tuple[Box, ...]:
    """So many boxes of 8% to 100% of the area and an aspect of 3:4 to 4:3, drawn by a seed.

    >>> from triptych.methods.crops import random_boxes
    >>> len(random_boxes(9, seed=0)), random_boxes(2, seed=1) == random_boxes(3, seed=1)[:2]
    (9, True)
    """
    generator = torch.Generator("cpu").manual_seed(seed)
    boxes = []
    for _ in range(count):
        area, aspect, down, across = torch.rand(4, generator=generator, dtype=torch.float64, device="cpu").tolist()
        area, ratio = 0.08 + 0.92 * area, (4 / 3) ** (2 * aspect - 1)
        height, width = min(1.0, (area / ratio) ** 0.5), min(1.0, (area * ratio) ** 0.5)
        top, left = down * (1 - height), across * (1 - width)
        boxes.append((top, left, top + height, left + width))
    return tuple(boxes)


def crops_of(images: Float[Tensor, "B 3 h w"], boxes: Sequence[Box]) -> Float[Tensor, "BP 3 h w"]:
    """P boxes of each image, scaled to the size of the image: those of one image after those of the other.

    In channels-last memory, as images are elsewhere: convolutions on a CPU take up to twice the time in another.

    >>> import torch
    >>> from triptych.methods.crops import crops_of, pyramid_boxes
    >>> crops_of(torch.zeros(2, 3, 8, 8), pyramid_boxes([2])).shape
    torch.Size([8, 3, 8, 8])
    """
    height, width = images.shape[2:]
    crops = []
    for top, left, bottom, right in boxes:
        rows = slice(int(top * height), max(int(top * height) + 1, round(bottom * height)))
        columns = slice(int(left * width), max(int(left * width) + 1, round(right * width)))
        crop = images[:, :, rows, columns]
        crops.append(functional.interpolate(crop, (height, width), mode="bilinear", antialias=True))
    return torch.stack(crops, dim=1).flatten(0, 1).contiguous(memory_format=torch.channels_last)  # (B*P, 3, h, w)
