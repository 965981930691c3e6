"""Which matches a picture shows, and the boxes around them."""

from collections.abc import Sequence

from triptych.evidence.pieces import Box
from triptych.evidence.records import PatchMatch

__all__ = ["PATCHES", "PHOTOS", "box_of", "reach_of", "shown_matches"]

PATCHES, PHOTOS = 5, 2  # shown at most, of a class
_BOX_CELLS = 3  # side of a box: the patch and its neighbours


def shown_matches(matches: Sequence[PatchMatch], grid: tuple[int, int]) -> list[PatchMatch]:
    """The first matches that speak for the class, in few photos, with boxes that do not overlap."""
    least = 2 * reach_of(grid) + 1
    chosen: list[PatchMatch] = []
    for match in matches:
        if len(chosen) == PATCHES:
            break
        if (
            match.margin > 0
            and len({match.photo, *(one.photo for one in chosen)}) <= PHOTOS
            and all(
                _distance(match.query, one.query) >= least
                and (match.photo != one.photo or _distance(match.support, one.support) >= least)
                for one in chosen
            )
        ):
            chosen.append(match)
    return chosen


def _distance(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def reach_of(grid: tuple[int, int]) -> int:
    """How many cells a box takes in around its patch: none where the cells are large."""
    return _BOX_CELLS // 2 if min(grid) > 3 * _BOX_CELLS else 0


def box_of(place: tuple[int, int], grid: tuple[int, int]) -> Box:
    """(left, top, width, height), as parts of the photo, of the box of a patch."""
    reach = reach_of(grid)
    (top, bottom), (left, right) = (
        (max(at - reach, 0) / count, min(at + reach + 1, count) / count) for at, count in zip(place, grid, strict=True)
    )
    return left, top, right - left, bottom - top
