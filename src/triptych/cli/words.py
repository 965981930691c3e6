"""Words of results, for people who do not know what is inside."""

from collections.abc import Sequence
from typing import Any

from triptych.system.wording import counted

__all__ = ["support", "trust", "where"]

# What each level compares.
_LEVELS = {
    "pixel": "single spots",
    "part": "patterns",
    "distribution": "the mix of colours and textures",
    "plda": "traits of the classes it was trained on",
    "global": "the photo as a whole",
}
_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "", "right")


def trust(calibration: dict[str, Any] | None) -> str:
    """How far the answers of a recogniser can be trusted.

    >>> from triptych.cli.words import trust
    >>> trust({"left_out": 40, "accuracy": 0.8, "ece": 0.131})  # doctest: +NORMALIZE_WHITESPACE
    'Of 40 of its own photos, each left out and recognised by the others, 80.0% were right.
    Its probabilities are off by 13 points on average.'
    """
    if calibration is None:
        return "No class has a second photo, so nothing shows how often its answers are right."
    return (
        f"Of {calibration['left_out']} of its own photos, each left out and recognised by the others, "
        f"{calibration['accuracy']:.1%} were right. "
        f"Its probabilities are off by {counted(round(100 * calibration['ece']), 'point')} on average."
    )


def where(place: tuple[int, int], grid: Sequence[int]) -> str:
    """Where in a photo a cell (row, column) of a grid (rows, columns) lies.

    >>> from triptych.cli.words import where
    >>> where((0, 2), (21, 21)), where((10, 10), (21, 21)), where((20, 9), (21, 21))
    ('top left', 'centre', 'bottom')
    """
    row, column = (min(int(3 * (at + 0.5) / count), 2) for at, count in zip(place, grid, strict=True))
    return " ".join(word for word in (_ROWS[row], _COLUMNS[column]) if word) or "centre"


def support(contributions: dict[str, float]) -> list[str]:
    """What speaks for a class and what against it, each level with its share of all that is said, largest first.

    >>> from triptych.cli.words import support
    >>> support({"pixel": 3.0, "part": -1.0})
    ['for it: single spots (pixel level) 75%', 'against it: patterns (part level) 25%']
    """
    total = sum(map(abs, contributions.values())) or 1.0
    lines = []
    for side, sign in (("for it", 1), ("against it", -1)):
        mine = {level: abs(value) / total for level, value in contributions.items() if sign * value > 0}
        said = [f"{_level(level)} {mine[level]:.0%}" for level in sorted(mine, key=lambda level: -mine[level])]
        if said:
            lines.append(f"{side}: {', '.join(said)}")
    return lines


def _level(name: str) -> str:
    return f"{_LEVELS[name]} ({name} level)" if name in _LEVELS else f"{name} level"
