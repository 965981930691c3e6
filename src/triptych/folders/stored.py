"""Photos in object storage, and whatever else fsspec reads: s3://, gs://, https:// and more."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Self

import fsspec

from triptych.data import IMAGE_ENDINGS, ImageError, ImageSource, RemotePhoto, current_limits
from triptych.engines import PhotoSet
from triptych.system.wording import counted, printable

__all__ = ["StoredObject", "StoredPhotos", "file_system", "is_url", "listed_at", "stored_mark", "stored_photos"]

# What storages call what changes with an object; the last, `created`, may stay as it is.
_VERSIONS = ("ETag", "etag", "md5Hash", "LastModified", "last_modified", "updated", "mtime", "modified", "created")


@dataclass(frozen=True)
class StoredObject:
    """What a storage says of an object.

    Attributes:
        size: its bytes; None where the storage does not say.
        version: differs from that of what replaces it; "" where the storage does not say.
    """

    size: int | None
    version: str


@dataclass(frozen=True)
class StoredPhotos(PhotoSet):
    """Objects below an address.

    Attributes:
        url: the address.
        names: their paths below it.
        objects: what the storage says of each.
    """

    url: str
    names: tuple[str, ...]
    objects: tuple[StoredObject, ...]

    def part(self, start: int, stop: int) -> Self:
        return replace(self, names=self.names[start:stop], objects=self.objects[start:stop])

    def sources(self) -> Iterator[ImageSource]:
        storage, root = file_system(self.url)
        most = current_limits().megabytes * 1e6
        for name, one in zip(self.names, self.objects, strict=True):
            shown = f"{self.url.rstrip('/')}/{name}"
            yield RemotePhoto(partial(_fetched, storage, f"{root.rstrip('/')}/{name}", one.size, most, shown), shown)

    def marks(self) -> Iterator[str]:
        return (f"{self.url} {one.size} {one.version}" for one in self.objects)

    def refuse_unreachable(self) -> None:
        file_system(self.url)


def is_url(place: str) -> bool:
    """Whether a place is an address of fsspec.

    >>> from triptych.folders.stored import is_url
    >>> is_url("s3://bucket/photos"), is_url("photos")
    (True, False)
    """
    return "://" in place


def file_system(url: str) -> tuple[Any, str]:
    """What reads an address, and the path that it calls it by.

    Raises:
        ValueError: nothing reads such addresses.
        RuntimeError: the library that reads them is missing.
    """
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:  # fsspec's message names the package
        raise RuntimeError(f"{url}: needs a library that is not installed ({printable(error)})") from error
    except ValueError as error:
        raise ValueError(f"{url}: {printable(error)}") from error


def stored_mark(url: str) -> str:
    """The address of an object, its size and its version.

    Raises:
        RuntimeError: the storage does not answer.
    """
    storage, path = file_system(url)
    try:
        found = _object(storage.info(path))
    except Exception as error:  # each storage has errors of its own
        raise RuntimeError(f"{printable(url)}: cannot be read ({printable(error)})") from error
    return f"{url} {found.size} {found.version}"


def _object(info: Mapping[str, Any]) -> StoredObject:
    return StoredObject(info.get("size"), next((str(info[key]) for key in _VERSIONS if info.get(key)), ""))


def listed_at(url: str) -> tuple[str, dict[str, StoredObject]]:
    """What lies below an address, without what is hidden: the address, and the objects by their names.

    Raises:
        ValueError: there is no such place.
        RuntimeError: the storage refuses to list it.
    """
    storage, root = file_system(url)
    try:
        if not (found := storage.find(root, detail=True)):
            storage.info(root)  # says why
    except FileNotFoundError as error:
        raise ValueError(f"{printable(url)}: nothing lies there, or it does not answer; expected photos") from error
    except Exception as error:  # each storage has errors of its own
        raise RuntimeError(f"{printable(url)}: cannot be listed ({printable(error)})") from error
    if set(found) == {root}:  # a single object
        url, root = (one.rstrip("/").rpartition("/")[0] for one in (url, root))
    start = f"{root.rstrip('/')}/"
    below = {path.removeprefix(start): _object(one) for path, one in found.items() if path.startswith(start)}
    return url, {name: below[name] for name in sorted(below) if not _is_hidden(name)}


def stored_photos(url: str, objects: Mapping[str, StoredObject]) -> StoredPhotos:
    """The photos among what lies below an address.

    They are told by the endings of their names: to look at the beginning of each would be a request each.

    Raises:
        ValueError: no photos.
    """
    names = tuple(name for name in objects if PurePosixPath(name).suffix.lower() in IMAGE_ENDINGS)
    if not names:
        others = f", but {counted(len(objects), 'other object')}" if objects else ""
        raise ValueError(f"{printable(url)}: no photos there by the endings of their names{others}; expected photos")
    return StoredPhotos(url, names, tuple(objects[name] for name in names))


def _is_hidden(name: str) -> bool:
    *folders, last = PurePosixPath(name).parts or ("",)
    return last.startswith(".") or any(one.startswith((".", "__")) for one in folders)


def _fetched(storage: Any, path: str, size: int | None, most: float, shown: str) -> bytes:
    """The bytes of an object."""
    if size is not None and size > most:
        raise ImageError(
            f"{printable(shown)}: {size / 1e6:.0f} MB, expected at most {most / 1e6:g}; "
            "scale it down, or set TRIPTYCH_MAX_MEGABYTES higher"
        )
    try:
        return storage.cat_file(path)
    except (FileNotFoundError, PermissionError) as error:
        reason = "No such file" if isinstance(error, FileNotFoundError) else "Permission denied"
        raise ImageError(f"{printable(shown)}: {reason}; expected an image file") from error
    except Exception as error:  # an outage is not the photo's fault
        raise RuntimeError(
            f"{printable(shown)}: cannot be fetched ({printable(error)}); run again, to go on"
        ) from error
