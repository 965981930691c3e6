"""A photo's patches and channels beside those of every class, as evidence lists them."""

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from triptych.evidence.matching import Match, margins_of, matches_of
from triptych.evidence.naming import Named, naming_order
from triptych.evidence.records import PartMatch, PatchMatch
from triptych.methods import Encoded, Method
from triptych.support import Support, views_of

__all__ = ["Compared", "compared_units", "part_matches", "patch_matches"]


def compared_units(method: Method, query: Encoded, supports: Sequence[Support]) -> dict[str, "Compared"]:
    """What the first level that matches patches finds, and the first that matches channels, by their unit."""
    compared: dict[str, Compared] = {}
    for level, matching in method.matchings().items():
        if matching.unit not in compared:
            pools = [matching.pool(support.summary[level]) for support in supports]
            weights = None if matching.weights is None else matching.weights(query)
            positions = None
            if matching.positions is not None:
                positions = [matching.positions(support.summary[level]) for support in supports]
            compared[matching.unit] = Compared(matching.rows(query), pools, supports, matching.k, weights, positions)
    return compared


class Compared:
    """A photo's patches or channels beside those of every class."""

    def __init__(
        self,
        rows: Tensor,
        pools: Sequence[Tensor],
        supports: Sequence[Support],
        k: int,
        weights: Tensor | None,
        positions: Sequence[Tensor] | None,
    ) -> None:
        self.rows, self.pools, self.supports, self.k = rows, pools, supports, k
        self.positions = positions
        self.weights = [1.0] * len(rows) if weights is None else weights.tolist()
        margins, mean = margins_of(rows, pools, k)
        self.margins, self.mean = margins.cpu().numpy(), mean.tolist()  # (R, N), (R,)

    def matches(self, n: int, order: Sequence[int]) -> Iterator[tuple[int, Match, float]]:
        """(row, match, its share of the row's margin) in class n, rows in this order; similarities without weights."""
        positions = None if self.positions is None else self.positions[n]
        found = matches_of(self.rows, self.pools[n], self.supports[n], self.k, positions)
        for row in order:
            for match in found[row]:
                plain = match.similarity / self.weights[row] if self.weights[row] else 0.0
                yield row, match._replace(similarity=plain), match.similarity - self.mean[row] / self.k


def patch_matches(patches: Compared, n: int, grid: tuple[int, int], side: int, named: Named | None) -> list[PatchMatch]:
    """The matches of a photo's patches in class n, those named first before the others."""
    support = patches.supports[n]
    views = [views_of(photo, support.views, side) for photo in support.ids]
    width = grid[1]
    order = naming_order(patches.margins[:, n].reshape(grid)) if named is None else named.order
    return [
        PatchMatch(
            query=divmod(row, width),
            photo=match.photo,
            name=support.names[match.photo],
            view=match.view,
            support=views[match.photo][match.view].locate(*divmod(match.member, width), grid, side),
            similarity=match.similarity,
            margin=margin,
        )
        for row, match, margin in patches.matches(n, order)
    ]


def part_matches(parts: Compared, n: int) -> list[PartMatch]:
    """The matches of a photo's channels in class n, those that speak most for it first."""
    names = parts.supports[n].names
    order = np.argsort(-parts.margins[:, n], kind="stable").tolist()
    return [
        PartMatch(channel, match.photo, names[match.photo], match.view, match.member, match.similarity, margin)
        for channel, match, margin in parts.matches(n, order)
    ]
