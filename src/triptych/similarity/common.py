"""What the levels share: grouping by class, normalisation, and a shield against autocast."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "at_least_float32",
    "check_maps",
    "class_members",
    "is_recorded",
    "split_classes",
    "unit_descriptors",
    "without_autocast",
]

P = ParamSpec("P")
R = TypeVar("R")


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function in the precision it chooses itself, also inside ``torch.autocast``."""

    @functools.wraps(function)
    def shielded(*args: P.args, **kwargs: P.kwargs) -> R:
        if is_recorded():  # a graph has its precision from its input
            return function(*args, **kwargs)
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            return function(*args, **kwargs)

    return shielded


def is_recorded() -> bool:
    """Whether a graph for any number of images is being recorded, so that images cannot be counted into blocks."""
    return torch.compiler.is_compiling()


def class_members(labels: Tensor, images: int) -> list[Tensor]:
    """Which of so many support images are of each class n = 0..N-1, (K_n,) each, in their order.

    Raises:
        ValueError: there are not as many labels as images, or a label between 0 and the largest has no image.

    >>> import torch
    >>> from triptych.similarity import class_members
    >>> class_members(torch.tensor([1, 0, 1]), images=3)
    [tensor([1]), tensor([0, 2])]
    """
    if not isinstance(labels, Tensor) or labels.shape != (images,) or labels.dtype != torch.int64:
        raise ValueError(f"expected one int64 label for each of the {images} support images, got {_told(labels)}")
    if len(labels) == 0:
        raise ValueError("the support is empty; expected at least one image per class")
    if labels.min() < 0:
        raise ValueError(f"labels must be 0..N-1, got {int(labels.min())}")
    shots = torch.bincount(labels).tolist()
    if 0 in shots:
        raise ValueError(f"class {shots.index(0)} of 0..{len(shots) - 1} has no support image; labels must be 0..N-1")
    return list(torch.argsort(labels, stable=True).split(shots))


def check_maps(query: Any, support: Any, axes: str = "feature maps (B, C, H, W)", channels: int | None = None) -> None:
    """Refuse what cannot be compared, before a product of matrices says so in its own words.

    Args:
        query: of the queries.
        support: of the support.
        axes: what both are, for the message.
        channels: how many they have; by default as many as the other.

    Raises:
        ValueError: no tensors of four axes and of floating-point numbers, or of different channels or precision.

    >>> import torch
    >>> from triptych.similarity.common import check_maps
    >>> check_maps(torch.zeros(1, 64, 5, 5), torch.zeros(5, 32, 5, 5))
    Traceback (most recent call last):
    ValueError: expected query and support of as many channels, got 64 and 32
    """
    for name, maps in (("query", query), ("support", support)):
        if not isinstance(maps, Tensor) or maps.ndim != 4 or not maps.is_floating_point():
            raise ValueError(f"{name}: expected {axes} in floating point, got {_told(maps)}")
    if query.shape[1] != support.shape[1] or query.shape[1] == 0 or query.shape[1] != (channels or query.shape[1]):
        many = "as many" if channels is None else channels
        raise ValueError(f"expected query and support of {many} channels, got {query.shape[1]} and {support.shape[1]}")
    if (query.dtype == torch.float64) != (support.dtype == torch.float64):
        raise ValueError(f"expected query and support of one precision, got {query.dtype} and {support.dtype}")


def _told(value: Any) -> str:
    return f"{tuple(value.shape)} of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def split_classes(support: Tensor, labels: Tensor) -> list[Tensor]:
    """Support maps (S, C, H, W) as one (K_n, C, H, W) tensor per class; errors as ``class_members``."""
    return [support[members] for members in class_members(labels, len(support))]


def at_least_float32(maps: Tensor) -> Tensor:
    """Half-precision maps as float32; others as they are."""
    return maps if maps.dtype == torch.float64 else maps.float()


def unit_descriptors(maps: Tensor) -> Tensor:
    """Feature maps (B, C, H, W) as unit-length local descriptors (B, M, C); at least float32, zeros stay zeros."""
    descriptors = at_least_float32(maps).flatten(2).transpose(1, 2).contiguous()  # (B, M, C)
    return functional.normalize(descriptors, dim=2)
