"""Where a bank lies: a folder, or object storage."""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike, fspath
from pathlib import Path

from triptych.system.files import as_path
from triptych.system.locks import turn_to_write
from triptych.system.outputs import check_spared

__all__ = [
    "PHOTOS",
    "RECENT",
    "STATE",
    "absolute",
    "check_new_place",
    "is_bank",
    "is_remote",
    "place_of",
    "turn_to_change",
]

PHOTOS, RECENT, STATE = "photos", "recent", "state"  # the tables
_REMOTE = re.compile(r"(s3|gs|az|s3\+ddb):/+(?=[^/])")


def place_of(place: str | PathLike[str]) -> str:
    """A folder, or an address of object storage, also where a path has swallowed one of its slashes.

    >>> from pathlib import Path
    >>> from triptych.bank.place import place_of
    >>> place_of(Path("s3://photos/shelf")), place_of("fruit-bank")
    ('s3://photos/shelf', 'fruit-bank')

    Raises:
        ValueError: neither.
    """
    as_path(place)
    if not (name := str(fspath(place))):
        raise ValueError("expected the folder of a bank, or its address on object storage, got ''")
    return _REMOTE.sub(lambda found: f"{found[1]}://", name, count=1)


def is_remote(place: str) -> bool:
    """Whether it is on object storage."""
    return _REMOTE.match(place) is not None


def absolute(place: str | PathLike[str]) -> str:
    """The same place from any folder.

    >>> from triptych.bank import absolute
    >>> absolute("s3://photos/shelf")
    's3://photos/shelf'
    """
    name = place_of(place)
    return name if is_remote(name) else os.path.abspath(name)


def is_bank(place: str | PathLike[str]) -> bool:
    """Whether this is the place of a bank, and not a file; of object storage, nothing is asked.

    >>> from triptych.bank import is_bank
    >>> is_bank("s3://photos/shelf"), is_bank("README.md")
    (True, False)
    """
    name = place_of(place)
    return is_remote(name) or (Path(name) / f"{PHOTOS}.lance").is_dir()


def check_new_place(place: str | PathLike[str], read: Iterable[Path] = ()) -> None:
    """Refuse a place where no bank may be made: it holds something, or lies inside what is read.

    Raises:
        ValueError: it is such a place.

    >>> from triptych.bank import check_new_place
    >>> check_new_place("README.md")
    Traceback (most recent call last):
    ValueError: README.md: a file; a bank is a folder: name a new one
    """
    name = place_of(place)
    if is_remote(name):
        return
    path = Path(name)
    if path.exists() and not path.is_dir():
        raise ValueError(f"{name}: a file; a bank is a folder: name a new one")
    if not path.parent.is_dir():
        raise ValueError(f"{name}: expected a new folder in a folder that exists")
    check_spared(path, read)
    ours = {f"{table}.lance" for table in (PHOTOS, RECENT, STATE)}
    if path.is_dir() and (others := sorted(one.name for one in path.iterdir() if one.name not in ours)):
        raise ValueError(f"{name}: holds other things than a bank ({others[0]}); name a folder of its own")
    if (path / f"{STATE}.lance").is_dir():
        raise ValueError(f"{name}: a bank already; add to it, or name another place")


@contextmanager
def turn_to_change(place: str) -> Iterator[None]:
    """Processes that change one bank take turns; on object storage, whoever changes it sees to that."""
    if is_remote(place):
        yield
        return
    with turn_to_write(Path(place).resolve()):
        yield
