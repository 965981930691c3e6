"""Figures and places in words that need no dictionary."""

from collections.abc import Mapping
from typing import Any

from triptych.system.wording import counted

__all__ = ["percent", "signed", "sureness", "trust", "where"]

_ROWS, _COLUMNS = ("top", "", "bottom"), ("left", "", "right")


def percent(share: float, digits: int = 0) -> str:
    """A share in percent.

    >>> percent(0.5), percent(0.8125, 1)
    ('50%', '81.2%')
    """
    return f"{share:.{digits}%}"


def sureness(probability: float) -> str:
    """A probability in whole percent that is never rounded to certainty.

    >>> sureness(0.931), sureness(0.9991), sureness(0.0004)
    ('93%', '>99%', '<1%')
    """
    if 0.995 <= probability < 1:
        return ">99%"
    return "<1%" if 0 < probability < 0.005 else percent(probability)


def signed(value: float) -> str:
    """A number that carries its sign, with a true minus.

    >>> signed(2.34), signed(-0.56), signed(-0.01)
    ('+2.3', '−0.6', '0.0')
    """
    shown = f"{value:+.1f}"
    return "0.0" if float(shown) == 0 else shown.replace("-", "\u2212")


def where(place: tuple[int, int], grid: tuple[int, int]) -> str:
    """Where in a photo a cell (row, column) of a grid (rows, columns) lies.

    >>> where((0, 2), (21, 21)), where((10, 10), (21, 21)), where((20, 9), (21, 21))
    ('top left', 'centre', 'bottom')
    """
    row, column = (min(int(3 * (at + 0.5) / count), 2) for at, count in zip(place, grid, strict=True))
    return " ".join(word for word in (_ROWS[row], _COLUMNS[column]) if word) or "centre"


def trust(calibration: Mapping[str, Any] | None) -> str:
    """What ``describe_calibration`` found, in one or two sentences.

    >>> trust({"left_out": 40, "accuracy": 0.8, "ece": 0.131})  # doctest: +NORMALIZE_WHITESPACE
    'Of 40 of its own photos, each left out and recognised by the others, 80.0% were right.
    Its probabilities are off by 13 points on average.'
    >>> trust(None)
    'No class has a second photo, so nothing shows how often its answers are right.'
    """
    if calibration is None:
        return "No class has a second photo, so nothing shows how often its answers are right."
    off = round(100 * calibration["ece"])
    return (
        f"Of {calibration['left_out']} of its own photos, each left out and recognised by the others, "
        f"{percent(calibration['accuracy'], 1)} were right. Its probabilities are off by "
        f"{counted(off, 'point') if off else 'less than a point'} on average."
    )
