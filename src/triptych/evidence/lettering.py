"""Text in pictures: any label, in any script; what no installed font has becomes a box."""

import textwrap
import unicodedata
from functools import lru_cache
from typing import Any

__all__ = ["lettering", "wrapped"]

_FONT = "DejaVu Sans"  # comes with matplotlib
_BOX = "\u25af"


def lettering(text: str, size: float, weight: str = "normal") -> dict[str, Any]:
    """Settings of a matplotlib text that show this text as it is, whatever the user's own settings.

    Args:
        text: in one line.
        size: in points.
        weight: "normal" or "bold"; normal where only that has all characters.

    >>> settings = lettering("costs $1 or $2", 9)
    >>> settings["s"], settings["family"], settings["parse_math"]
    ('costs $1 or $2', ['DejaVu Sans'], False)
    """
    families, unknown = _families(text, weight)
    if unknown and weight != "normal" and len(_families(text, "normal")[1]) < len(unknown):
        weight = "normal"
        families, unknown = _families(text, weight)
    plain = "".join(_BOX if character in unknown else character for character in text)
    return {"s": plain, "family": families, "size": size, "weight": weight, "parse_math": False, "usetex": False}


def wrapped(text: str, width: int, most: int = 1) -> list[str]:
    """A text in at most so many lines of so many characters; the last one says that more was cut off.

    >>> wrapped("a label of several words", width=10, most=2)
    ['a label of', 'several \u2026']
    >>> wrapped("IMG_20260412_101523.jpg", width=10)
    ['IMG_20260\u2026']
    """
    plain = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    wide = sum(unicodedata.east_asian_width(character) in {"F", "W"} for character in plain)
    width = max(4, width * len(plain) // max(len(plain) + wide, 1))  # a wide character takes the room of two
    if most == 1:
        return [plain if len(plain) <= width else plain[: width - 1] + "\u2026"]
    return textwrap.wrap(plain, width, max_lines=most, placeholder=" \u2026") or [""]


def _families(text: str, weight: str) -> tuple[list[str], set[str]]:
    """Fonts that together have the characters of a text, and the characters that none has."""
    families, unknown = [_FONT], set(text) - _characters(_FONT, weight)
    for family in _installed(weight) if unknown else ():
        if unknown & _characters(family, weight):
            families.append(family)
            unknown -= _characters(family, weight)
        if not unknown:
            break
    return families, unknown


@lru_cache
def _installed(weight: str) -> tuple[str, ...]:
    """The system's upright fonts in exactly this weight: matplotlib complains of another; its own are for formulas."""
    from matplotlib import get_data_path
    from matplotlib.font_manager import fontManager, weight_dict

    names = {name for name, number in weight_dict.items() if number == weight_dict[weight]}
    fitting = [
        font.name
        for font in fontManager.ttflist
        if font.weight in {*names, weight_dict[weight]} and (font.stretch, font.style) == ("normal", "normal")
        if not font.fname.startswith(get_data_path())
    ]
    return tuple(sorted({*fitting} - {_FONT}))


@lru_cache
def _characters(family: str, weight: str) -> frozenset[str]:
    """What a font can write."""
    from matplotlib.font_manager import FontProperties, fontManager, get_font

    try:
        path = fontManager.findfont(FontProperties(family=family, weight=weight), fallback_to_default=False)
        font = get_font(path)
        font.set_size(12, 72)  # fails for a font of pictures, which cannot be scaled
        return frozenset(map(chr, font.get_charmap()))
    except (OSError, RuntimeError, ValueError):
        return frozenset()
