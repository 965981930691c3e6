"""The order in which evidence names patches: each next one adds most to those before it."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

__all__ = ["Named", "named_by_loss", "naming_order"]

# How much of a patch is hidden by a cover over it or beside it: a descriptor sees the neighbouring cells too.
_REACH = np.array([[0.25, 0.5, 0.25], [0.5, 1.0, 0.5], [0.25, 0.5, 0.25]])
_LEFT_OUT = np.array([[0.1, 0.25, 0.1], [0.25, 1.0, 0.25], [0.1, 0.25, 0.1]])  # chosen on groceries, birds and signs
_STEPS = 12  # patches that are named one after the other; the rest follow by what each alone is worth


class Named(NamedTuple):
    """The patches of a map, row by row: in which order they are named, and what the score loses without each alone."""

    order: list[int]
    losses: Float[np.ndarray, "H W"]


def named_by_loss(
    score: Callable[[Float[Tensor, "P M"]], Float[Tensor, " P"]],
    grid: tuple[int, int],
    device: torch.device | None = None,
) -> Named:
    """Name the patches whose absence costs a score most, together.

    The first is the patch without which the score is least; each next one lowers it most beside those already left
    out. A patch takes a part of its neighbours with it, as a descriptor sees them too.

    Args:
        score: of one photo, by the share of each of its M patches that is kept, for P sets of shares.
        grid: (H, W), M = H * W.
        device: of the shares.

    >>> import torch
    >>> from triptych.evidence.naming import named_by_loss
    >>> worth = torch.tensor([0.0, 1.0, 5.0, 0.0, 3.0])
    >>> named_by_loss(lambda kept: kept @ worth, grid=(1, 5)).order
    [2, 4, 1, 3, 0]
    """
    covers = _covers(grid).to(device)
    whole = torch.ones(1, len(covers), device=device)
    least = float(score(whole))
    alone = (least - score(whole - covers)).double().cpu().numpy()
    kept = whole
    order: list[int] = []
    for _ in range(min(_STEPS, len(covers))):
        left = (kept - covers).clamp_min(0)
        scores = score(left).clone()
        scores[order] = torch.inf
        best = int(scores.argmin())
        if not float(scores[best]) < least:
            break
        least, kept = float(scores[best]), left[best : best + 1]
        order.append(best)
    rest = [int(cell) for cell in np.argsort(-alone, kind="stable") if int(cell) not in order]
    return Named(order + rest, alone.reshape(grid))


def _covers(grid: tuple[int, int]) -> Float[Tensor, "M M"]:
    """How much of each patch is gone (columns) where one is left out (rows)."""
    height, width = grid
    covers = np.zeros((height * width, height + 2, width + 2), dtype=np.float32)
    for cell in range(height * width):
        row, column = divmod(cell, width)
        covers[cell, row : row + 3, column : column + 3] = _LEFT_OUT
    return torch.from_numpy(covers[:, 1:-1, 1:-1].reshape(height * width, -1).copy())


def naming_order(margins: Float[np.ndarray, "H W"]) -> list[int]:
    """Name patches by their margins alone: each adds most to those before it.

    Neighbouring patches see nearly the same of a photo, so that the strongest alone would name one spot many times.
    The next patch is therefore, of those that speak for the class, the one whose surroundings have most margin that
    no earlier one has accounted for. When no surroundings have any left, the others follow by their margin.

    >>> import numpy as np
    >>> from triptych.evidence.naming import naming_order
    >>> naming_order(np.array([[4.0, 3.0, 0.0, 2.0]]))
    [0, 3, 1, 2]
    """
    width = margins.shape[1]
    left = np.pad(np.ones(margins.shape), 1)  # how much of each margin is not accounted for
    around = sliding_window_view(np.pad(margins.astype(np.float64), 1), _REACH.shape)  # (H, W, 3, 3)
    left_around = sliding_window_view(left, _REACH.shape)  # follows what is written into left
    named = np.zeros(margins.shape, dtype=bool)
    order: list[int] = []
    while not named.all():
        gains = (np.minimum(_REACH, left_around) * around).sum((2, 3))
        gains[named | (margins <= 0)] = -np.inf
        i, j = divmod(int(gains.argmax()), width)
        if gains[i, j] <= 0:
            break
        order.append(i * width + j)
        named[i, j] = True
        left[i : i + 3, j : j + 3] = np.maximum(left[i : i + 3, j : j + 3] - _REACH, 0)
    return order + [int(cell) for cell in np.argsort(-margins, axis=None, kind="stable") if not named.flat[cell]]
