"""Where photos to be recognised lie: folders, Parquet files, object storage; one place or several."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from os import PathLike, fspath
from pathlib import Path
from typing import Self

from triptych.data import ImageSource, parquet_files, refuse_missing_shards
from triptych.engines import PhotoSet
from triptych.folders.cells import cell_photos, is_parquet
from triptych.folders.files import FilePhotos
from triptych.folders.photos import photos_below
from triptych.folders.stored import is_url, listed_at, stored_photos
from triptych.system.files import as_path
from triptych.system.wording import printable

__all__ = ["FoundPhotos", "JoinedPhotos", "is_place", "photos_at", "photos_of"]


@dataclass(frozen=True)
class FoundPhotos:
    """What there is to recognise at a place.

    Attributes:
        photos: in the order of their names.
        not_images: how many other files lie there.
        unread: how many entries may not be read.
    """

    photos: PhotoSet
    not_images: int = 0
    unread: int = 0


class JoinedPhotos(PhotoSet):
    """The photos of several places, one after the other."""

    def __init__(self, sets: Sequence[PhotoSet]) -> None:
        self.sets = tuple(sets)
        self.names = tuple(name for one in self.sets for name in one.names)

    def part(self, start: int, stop: int) -> Self:
        parts, passed = [], 0
        for one in self.sets:
            first, last = max(0, start - passed), min(len(one.names), stop - passed)
            passed += len(one.names)
            if first < last:
                parts.append(one.part(first, last))
        return type(self)(parts)

    def sources(self) -> Iterator[ImageSource]:
        return chain.from_iterable(one.sources() for one in self.sets)

    def marks(self) -> Iterator[str]:
        return chain.from_iterable(one.marks() for one in self.sets)

    def refuse_unreachable(self) -> None:
        for one in self.sets:
            one.refuse_unreachable()


def is_place(place: str | PathLike[str]) -> bool:
    """Whether it is named as what holds several photos: a folder, a Parquet file or an address.

    >>> from triptych.folders.places import is_place
    >>> is_place("s3://bucket/photos"), is_place("photo.jpg")
    (True, False)
    """
    name = fspath(place)
    return is_url(name) or is_parquet(name) or os.path.isdir(name)


def photos_at(place: str | PathLike[str], without: Iterable[Path] = ()) -> FoundPhotos:
    """The photos at a place.

    Args:
        place: a folder, in which hidden files are left out; a Parquet file, or a folder of such files, with a column
            image; or an address that fsspec reads, of objects or of Parquet files.
        without: files and folders to leave out.

    Raises:
        ValueError: no such place, or no photos there.
        RuntimeError: it cannot be read.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from triptych.folders.places import photos_at
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new("RGB", (9, 9)).save(Path(folder, "1.png"))
    ...     photos_at(f"file://{folder}").photos.names
    ('1.png',)
    """
    name = place if isinstance(place, str) else str(as_path(place))
    if is_url(name):
        return _stored(name)
    if is_parquet(name) and not os.path.isdir(name):
        if not os.path.isfile(name):
            raise ValueError(f"{printable(name)}: no such file; expected a Parquet file of photos")
        return FoundPhotos(cell_photos([name]))
    try:
        found = photos_below(Path(name), without)
    except ValueError:
        if tables := parquet_files(Path(name)):
            return FoundPhotos(cell_photos(list(map(str, tables))))
        raise
    return FoundPhotos(FilePhotos(Path(name), found.names), found.not_images, found.unread)


def photos_of(places: Sequence[str]) -> FoundPhotos:
    """The photos that were named, and those at the places among them."""
    found = [photos_at(one) if is_place(one) else FoundPhotos(FilePhotos(Path(), (one,))) for one in places]
    return FoundPhotos(
        JoinedPhotos([one.photos for one in found]),
        sum(one.not_images for one in found),
        sum(one.unread for one in found),
    )


def _stored(named: str) -> FoundPhotos:
    """The photos at an address; the Parquet files there, where no photos are."""
    url, objects = listed_at(named)
    try:
        found = stored_photos(url, objects)
    except ValueError:
        if tables := [f"{url.rstrip('/')}/{name}" for name in objects if is_parquet(name)]:
            if not is_parquet(named):
                refuse_missing_shards((name for name in objects if is_parquet(name)), named)
            return FoundPhotos(cell_photos(tables))
        raise
    return FoundPhotos(found, len(objects) - len(found.names))
