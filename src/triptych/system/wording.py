"""Words of messages: numbers, names that may hold anything, and what levels compare."""

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches

__all__ = [
    "LAYOUTS",
    "SPLIT_LAYOUTS",
    "compared_in_words",
    "composed",
    "counted",
    "did_you_mean",
    "first_few",
    "first_line",
    "in_lines",
    "level_in_words",
    "listed",
    "nearest",
    "printable",
    "with_interval",
]

# Where labelled photos come from. The help of commands says so without loading what reads them.
LAYOUTS = (
    "a folder with one sub-folder per class; such folders in train/, val/ and test/; a folder with images/ and "
    "train.csv, val.csv and test.csv; a CSV file of path,label; Parquet files (image, label); or hf:NAME"
)
# Of these, what has the splits that training needs.
SPLIT_LAYOUTS = (
    "a folder with train/ and val/, each with one sub-folder per class; a folder with images/, train.csv and val.csv; "
    "a folder of Parquet files train-*.parquet and val-*.parquet; or hf:NAME"
)
_TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}  # Unicode's names of these characters


# What each level compares, for people who do not know what is inside.
_LEVELS = {
    "attention": "the photos that it resembles most",
    "cosine": "the whole photo by its direction",
    "covariance": "which colours and textures go together",
    "distribution": "the mix of colours and textures",
    "global": "the photo as a whole",
    "linear": "the whole photo by a boundary between classes",
    "part": "matched patterns",
    "pixel": "matched patches",
    "pixel-16": "matched patches, finest",
    "pixel-last": "matched patches, a layer earlier",
    "plda": "traits of the classes it was trained on",
    "reconstruction": "how well patches of the class make up the photo",
    "relation": "a comparison that was learnt",
    "transport": "patches matched one to one",
}


def level_in_words(name: str) -> str:
    """What a level compares, with its name.

    >>> level_in_words("pixel"), level_in_words("no-such")
    ('matched patches (pixel level)', 'no-such level')
    """
    return f"{_LEVELS[name]} ({name} level)" if name in _LEVELS else f"{name} level"


def compared_in_words(level: str) -> str:
    """What a level compares, where there is no room for its name.

    >>> compared_in_words("pixel-16"), compared_in_words("no-such")
    ('matched patches, finest', 'no-such level')
    """
    return _LEVELS.get(level, f"{level} level")


def composed(name: str) -> str:
    """A name with its accents in one form (Unicode's NFC): some systems write a letter and its accent apart.

    >>> composed("Apfel\\u0308") == "Apfel\\u0308", len(composed("A\\u0308pfel"))
    (True, 5)
    """
    return unicodedata.normalize("NFC", name)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """A number and what it counts, in the singular or the plural.

    >>> counted(1, "photo"), counted(0, "photo"), counted(2, "class", "classes")
    ('1 photo', '0 photos', '2 classes')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {plural or noun + 's'}"


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


def in_lines(head: str, items: Sequence[str], most: int = 20) -> str:
    """A head and what it is about, each on a line of its own; of very many, the first.

    >>> print(in_lines("2 photos are empty:", ["1.jpg", "2.jpg"], most=1))
    2 photos are empty:
      1.jpg
      and 1 more
    """
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return "\n  ".join([head, *items[:most], *more])


def first_line(error: BaseException) -> str:
    """The first line of what an error says; its kind where it says nothing.

    >>> first_line(OSError("no room\\nand much more")), first_line(KeyError())
    ('no room', 'KeyError')
    """
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def listed(names: Sequence[object]) -> str:
    """Names in a sentence.

    >>> listed([2, 5, 10]), listed(["a"])
    ('2, 5 and 10', 'a')
    """
    *others, last = map(str, names)
    return f"{', '.join(others)} and {last}" if others else last


def nearest(name: str, known: list[str]) -> str:
    """The known name that is most like another, or all of them, for a message.

    >>> nearest("learning-rat", ["learning-rate", "way"]), nearest("xyz", ["way", "shot"])
    ("did you mean 'learning-rate'?", 'expected some of shot, way')
    """
    return did_you_mean(name, known) or f"expected some of {', '.join(sorted(known))}"


def did_you_mean(name: str, known: Sequence[str]) -> str | None:
    """The known name that is most like another, or else the first that it begins, for a message; None without one.

    >>> did_you_mean("faet-conv64f", ["mml-conv64f", "feat-conv64f"]), did_you_mean("mml", ["feat", "mml-conv64f"])
    ("did you mean 'feat-conv64f'?", "did you mean 'mml-conv64f'?")
    """
    close = get_close_matches(name, known, n=1) or [one for one in known if one.startswith(f"{name}-")]
    return f"did you mean {close[0]!r}?" if close else None


def with_interval(mean: float, ci95: float, digits: int = 2) -> str:
    """A share in % with half of its 95% interval.

    >>> with_interval(0.642, 0.0043), with_interval(0.642, 0.0043, digits=1)
    ('64.20 ± 0.43', '64.2 ± 0.4')
    """
    return f"{100 * mean:.{digits}f} ± {100 * ci95:.{digits}f}"


def _is_unsafe(one: str) -> bool:
    return unicodedata.category(one) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(one) in _TURNS


def _escaped(one: str) -> str:
    return one.encode("unicode_escape").decode("ascii")
