"""Cells of a photo, and what the photo looks like without them."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageFilter

Cells = Sequence[tuple[int, int]]
_BLUR = 1 / 16  # radius, as part of the side


def mean_colour(image: np.ndarray) -> np.ndarray:
    return np.broadcast_to(image.reshape(-1, 3).mean(0).round().astype(np.uint8), image.shape)


def blurred(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(_BLUR * len(image))))


FILLS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType(
    {"mean colour": mean_colour, "blur": blurred}
)


def covered(image: np.ndarray, cells: Cells, grid: tuple[int, int], fill: np.ndarray) -> np.ndarray:
    """The photo (side, side, 3) with these cells of its grid taken from ``fill``, another photo of its size."""
    hidden = image.copy()
    rows, columns = (np.arange(count + 1) * length // count for count, length in zip(grid, image.shape, strict=False))
    for row, column in cells:
        here = np.s_[rows[row] : rows[row + 1], columns[column] : columns[column + 1]]
        hidden[here] = fill[here]
    return hidden


def scattered(grid: tuple[int, int], rng: np.random.Generator) -> Cells:
    """All cells in a random order."""
    return [divmod(int(cell), grid[1]) for cell in rng.permutation(grid[0] * grid[1])]


def moved(cells: Cells, grid: tuple[int, int], rng: np.random.Generator) -> Cells:
    """The cells, shifted together to a random other place, round the edge."""
    down, right = divmod(int(rng.integers(1, grid[0] * grid[1])), grid[1])
    return [((row + down) % grid[0], (column + right) % grid[1]) for row, column in cells]


def central(grid: tuple[int, int]) -> Cells:
    """All cells, those nearest to the middle first."""
    cells = [divmod(cell, grid[1]) for cell in range(grid[0] * grid[1])]
    return sorted(cells, key=lambda cell: (cell[0] - (grid[0] - 1) / 2) ** 2 + (cell[1] - (grid[1] - 1) / 2) ** 2)


def on_border(cells: Cells, grid: tuple[int, int]) -> float:
    """The share of cells that lie in the outermost rows and columns."""
    return float(np.mean([row in (0, grid[0] - 1) or column in (0, grid[1] - 1) for row, column in cells]))
