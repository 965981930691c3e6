"""Photos that are files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Self

from triptych.data import ImageSource
from triptych.engines import PhotoSet
from triptych.system.wording import printable

__all__ = ["FilePhotos", "mark_of", "refuse_hidden"]


@dataclass(frozen=True)
class FilePhotos(PhotoSet):
    """Files in a folder and its sub-folders.

    Attributes:
        folder: where.
        names: their paths in it.
    """

    folder: Path
    names: tuple[str, ...]

    def part(self, start: int, stop: int) -> Self:
        return replace(self, names=self.names[start:stop])

    def sources(self) -> Iterator[ImageSource]:
        return (self.folder / name for name in self.names)

    def marks(self) -> Iterator[str]:
        return (mark_of(self.folder / name) for name in self.names)

    def refuse_unreachable(self) -> None:
        refuse_hidden(self.folder)


def mark_of(path: str | PathLike[str]) -> str:
    """Where a file really lies, its size and the time of its last change; the place alone if it may not be looked at.

    >>> from triptych.folders.files import mark_of
    >>> mark_of("/nowhere.jpg")
    '/nowhere.jpg'
    """
    try:
        status = os.stat(path)
    except OSError:  # its row says so
        return os.path.realpath(path)
    return f"{os.path.realpath(path)} {status.st_size} {status.st_mtime_ns}"


def refuse_hidden(place: str | PathLike[str]) -> None:
    """Raise a RuntimeError where this machine does not see a folder or a file that another one named."""
    if not os.path.exists(place):
        raise RuntimeError(
            f"{printable(place)}: a worker does not see it; put the photos where every machine of the cluster sees "
            "them, such as a shared folder or object storage"
        )
