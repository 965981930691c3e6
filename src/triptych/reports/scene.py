"""A photo beside photos learnt from, with boxes around what matches and lines between them, as plain coordinates."""

from collections.abc import Callable, Sequence
from typing import Any

from triptych.evidence import PatchMatch
from triptych.reports.words import where

__all__ = ["matched", "scene"]

_MOST, _PHOTOS = 4, 2  # matches, and photos that they lead to
_BOX = 1 / 8  # side of a box at least, as part of the photo's: a patch sees beyond its own cell
_CONTEXT = 0.5  # of a box, around it in a crop
_WIDTH, _GAP, _BETWEEN = 320, 36, 8  # of the drawing, between both columns, between the photos of one
_COLUMN = (_WIDTH - _GAP) / 2
_HIGHEST = 4 / 3  # height of a photo, at most, as part of its column's width
_NIL = 1e-9

Rectangle = tuple[float, float, float, float]  # left, top, width, height


def matched(matches: Sequence[PatchMatch], grid: tuple[int, int]) -> list[PatchMatch]:
    """The first matches that speak for the class, in few photos, with boxes that do not overlap."""
    chosen: list[PatchMatch] = []
    for match in matches:
        photos = {match.photo, *(one.photo for one in chosen)}
        if len(chosen) < _MOST and match.margin > 0 and len(photos) <= _PHOTOS:
            here = [one.query for one in chosen]
            there = [one.support for one in chosen if one.photo == match.photo]
            if _apart(match.query, here, grid) and _apart(match.support, there, grid):
                chosen.append(match)
    return chosen


def scene(
    photo: dict[str, Any],
    matches: Sequence[PatchMatch],
    grid: tuple[int, int],
    picture_of: Callable[[PatchMatch], dict[str, Any]],
) -> dict[str, Any]:
    """The drawing of a photo's matches.

    Args:
        photo: as ``pictures.picture`` gives it.
        matches: what to draw, one at least; numbered from 1 in this order.
        grid: (rows, columns) that the places of matches are counted in.
        picture_of: the photo learnt from in which a match lies.

    Returns:
        Photos, boxes and lines with their coordinates, the size of the whole, and each match in words.
    """
    learnt = {match.photo: picture_of(match) for match in matches}
    places, height = _placed(photo, list(learnt.values()))
    shown = dict(zip(learnt, places[1:], strict=True))
    ends = [
        (_inside(_box(one.query, grid), places[0]), _inside(_box(one.support, grid), shown[one.photo]))
        for one in matches
    ]
    return {
        "width": _WIDTH,
        "height": round(height, 1),
        "photos": [
            {"image": one["image"], **_rounded(place)}
            for one, place in zip([photo, *learnt.values()], places, strict=True)
        ],
        "links": [
            _link(number, *pair, (places[0], shown[match.photo]))
            for number, (pair, match) in enumerate(zip(ends, matches, strict=True), start=1)
        ],
        "matches": [_in_words(number, match, grid) for number, match in enumerate(matches, start=1)],
    }


def _placed(photo: dict[str, Any], learnt: Sequence[dict[str, Any]]) -> tuple[list[Rectangle], float]:
    """Where the photo lies, on the left, and those learnt from, one above the other on the right; and the height."""
    sizes = [_fitting(photo, _HIGHEST)] + [_fitting(one, _HIGHEST / len(learnt)) for one in learnt]
    column = sum(height for _, height in sizes[1:]) + _BETWEEN * (len(learnt) - 1)
    total = max(sizes[0][1], column)
    places = [_centred(sizes[0], 0, (total - sizes[0][1]) / 2)]
    top = (total - column) / 2
    for size in sizes[1:]:
        places.append(_centred(size, _COLUMN + _GAP, top))
        top += size[1] + _BETWEEN
    return places, total


def _apart(place: tuple[int, int], others: Sequence[tuple[int, int]], grid: tuple[int, int]) -> bool:
    """Whether the box of a place overlaps none of the others'."""
    left, top, width, height = _box(place, grid)
    boxes = [_box(other, grid) for other in others]
    return all(abs(left - box[0]) > width - _NIL or abs(top - box[1]) > height - _NIL for box in boxes)


def _fitting(photo: dict[str, Any], highest: float) -> tuple[float, float]:
    """Width and height of a photo in its column."""
    scale = min(_COLUMN / photo["width"], highest * _COLUMN / photo["height"])
    return photo["width"] * scale, photo["height"] * scale


def _centred(size: tuple[float, float], left: float, top: float) -> Rectangle:
    return left + (_COLUMN - size[0]) / 2, top, *size


def _box(place: tuple[int, int], grid: tuple[int, int]) -> Rectangle:
    """The box around the middle of a cell, as parts of the photo's width and height; it lies inside the photo."""
    height, width = (max(_BOX, 1 / count) for count in grid)
    top, left = ((at + 0.5) / count for at, count in zip(place, grid, strict=True))
    return min(max(left - width / 2, 0.0), 1 - width), min(max(top - height / 2, 0.0), 1 - height), width, height


def _inside(box: Rectangle, photo: Rectangle) -> Rectangle:
    """A box in parts of a photo, in the drawing in which the photo lies."""
    left, top, width, height = photo
    return left + box[0] * width, top + box[1] * height, box[2] * width, box[3] * height


def _link(number: int, here: Rectangle, there: Rectangle, photos: Sequence[Rectangle]) -> dict[str, Any]:
    """Two boxes in two photos, the line between their near edges, and what lies around them."""
    return {
        "number": number,
        "boxes": [_rounded(here), _rounded(there)],
        "crops": [_rounded(_around(*one)) for one in zip((here, there), photos, strict=True)],
        "from": [round(here[0] + here[2], 1), round(here[1] + here[3] / 2, 1)],
        "to": [round(there[0], 1), round(there[1] + there[3] / 2, 1)],
    }


def _around(box: Rectangle, photo: Rectangle) -> Rectangle:
    """A box and a margin, inside the photo."""
    width, height = (min(side * (1 + 2 * _CONTEXT), most) for side, most in zip(box[2:], photo[2:], strict=True))
    left = min(max(box[0] + (box[2] - width) / 2, photo[0]), photo[0] + photo[2] - width)
    top = min(max(box[1] + (box[3] - height) / 2, photo[1]), photo[1] + photo[3] - height)
    return left, top, width, height


def _rounded(place: Rectangle) -> dict[str, float]:
    return dict(zip(("x", "y", "width", "height"), (round(one, 1) for one in place), strict=True))


def _in_words(number: int, match: PatchMatch, grid: tuple[int, int]) -> dict[str, Any]:
    return {
        "number": number,
        "here": where(match.query, grid),
        "there": where(match.support, grid),
        "photo": match.name,
        "similarity": f"{match.similarity:.2f}",
        "strength": round(100 * min(max(match.similarity, 0.0), 1.0)),
    }
