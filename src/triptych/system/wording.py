"""Words of messages that depend on numbers, and names that may hold anything."""

import unicodedata
from collections.abc import Sequence

__all__ = ["counted", "first_few", "listed", "printable"]

_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # Unicode's names of these characters


def counted(number: int, noun: str) -> str:
    """A number and what it counts, in the singular or the plural.

    >>> counted(1, "photo"), counted(0, "photo")
    ('1 photo', '0 photos')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def printable(text: object) -> str:
    """Text as a terminal and a file in UTF-8 can take it.

    Control characters, lone surrogates (a file's name may be any bytes) and what turns the writing direction are
    written as escapes.

    >>> printable("caf\\udce9\\x1b[31m.jpg")
    'caf\\\\udce9\\\\x1b[31m.jpg'
    """
    plain = str(text)
    if plain.isprintable():
        return plain
    return "".join(_escaped(one) if _is_unsafe(one) else one for one in plain)


def first_few(names: Sequence[str], number: int = 3) -> str:
    """The first of many names.

    >>> first_few(["a", "b", "c", "d"]), first_few(["a"])
    ('a, b, c, ...', 'a')
    """
    return ", ".join([*names[:number], *(["..."] if len(names) > number else [])])


def listed(names: Sequence[object]) -> str:
    """Names in a sentence.

    >>> listed([2, 5, 10]), listed(["a"])
    ('2, 5 and 10', 'a')
    """
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last


def _is_unsafe(one: str) -> bool:
    return unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(one) in _TURNS


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
