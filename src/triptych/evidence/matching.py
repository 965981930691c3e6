"""Which patches and parts of a photo match which photos of a class."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.similarity import nearest_similarity
from triptych.support import Support

__all__ = ["Match", "margins_of", "matches_of"]

_BLOCK = 1 << 16  # members of a pool that are compared at once


class Match(NamedTuple):
    """One of the nearest of a row: which photo and view of the class, which member of that view, how similar."""

    photo: int
    view: int
    member: int
    similarity: float


def margins_of(
    rows: Float[Tensor, "R D"], pools: Sequence[Float[Tensor, "_ D"]], k: int
) -> tuple[Float[Tensor, "R N"], Float[Tensor, " R"]]:
    """What each row scores with each class, less the mean over the classes; and that mean.

    >>> import torch
    >>> from triptych.evidence.matching import margins_of
    >>> margins_of(torch.eye(2), [torch.eye(2), torch.zeros(2, 2)], k=1)
    (tensor([[ 0.5000, -0.5000],
            [ 0.5000, -0.5000]]), tensor([0.5000, 0.5000]))
    """
    # Each row as a query of its own: its similarity to every class, without a table of all pairs.
    scores = nearest_similarity(rows[:, None], pools, k)
    mean = scores.mean(1)
    return scores - mean[:, None], mean


def matches_of(
    rows: Float[Tensor, "R D"],
    pool: Float[Tensor, "J D"],
    support: Support,
    k: int,
    positions: Int64[Tensor, " J"] | None = None,
) -> list[list[Match]]:
    """The k nearest of each row in the pool of a class, nearest first.

    A member is counted within its view, or is what ``positions`` says of it.
    """
    views = support.views
    members = len(pool) // (len(support) * views)  # of one view of one photo
    similarities, indices = _nearest(rows, pool, k)
    within = indices % members if positions is None else positions[indices]
    columns = (indices // (members * views), indices // members % views, within, similarities)
    found = zip(*(column.tolist() for column in columns), strict=True)
    return [[Match(*match) for match in zip(*row, strict=True)] for row in found]


def _nearest(rows: Tensor, pool: Tensor, k: int) -> tuple[Float[Tensor, "R k"], Tensor]:
    """The k largest products of each row with the members of a pool, and which members they are with."""
    values, indices = [], []
    for number, block in enumerate(pool.split(_BLOCK)):
        best = (rows @ block.T).topk(min(k, len(block)), dim=1)
        values.append(best.values)
        indices.append(best.indices + number * _BLOCK)
    top = torch.cat(values, dim=1).topk(k, dim=1)
    return top.values, torch.cat(indices, dim=1).gather(1, top.indices)
