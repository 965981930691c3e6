"""What a recogniser keeps of the photos that it has learnt from, and how it is made."""

import io
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from triptych.data import Photo, squash
from triptych.methods import Encoded, Method, Summary, encode_images
from triptych.system.batches import in_batches
from triptych.system.threads import map_over_cores
from triptych.system.wording import first_few, in_lines

__all__ = [
    "Support",
    "View",
    "encode",
    "grow",
    "in_one_pass",
    "is_thumbnail",
    "picked",
    "reduced_to",
    "restored",
    "summarised",
    "support_of",
    "thumbnail",
    "views_of",
    "without",
]

_THUMBNAIL = 224  # pixels a side, about 9 KB: large enough to be looked at beside another photo
_THUMBNAIL_QUALITY = 70  # of JPEG
_LARGEST_THUMBNAIL = 1024  # pixels a side that a file may hold
_CROP = 0.8
_IN_ONE_PASS: ContextVar[int] = ContextVar("images in one pass", default=1)
_TOGETHER = 32  # images that are spread over the cores
_COMPONENT_PHOTOS = 256  # of which principal components are learnt: tens of thousands of descriptors


@dataclass(frozen=True)
class Support:
    """What is kept of one class.

    Photos lie in the order of their ids, so that nothing depends on the order in which they came.

    Attributes:
        encoded: as ``Method.keep`` gives it, in a bank ``Method.keep_compared``, of V views of each photo, first
            the photo itself: K * V rows, the views of one photo after those of the other.
        views: V.
        ids: of each photo.
        names: the file name of each photo, or "".
        thumbnails: each photo as a small JPEG, or b"".
        summary: what queries are compared with; derived from what is encoded.
    """

    encoded: Encoded
    views: int
    ids: tuple[str, ...]
    names: tuple[str, ...]
    thumbnails: tuple[bytes, ...]
    summary: Summary

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class View:
    """A square of a photo, in pixels, perhaps mirrored.

    Attributes:
        top: its first row.
        left: its first column.
        size: its side; scaled up to the photo's.
        mirrored: left and right are exchanged.
    """

    top: int
    left: int
    size: int
    mirrored: bool

    def locate(self, row: int, column: int, grid: tuple[int, int], side: int) -> tuple[int, int]:
        """The cell of the photo's grid in which the middle of a cell of the view's grid lies.

        >>> View(top=0, left=0, size=84, mirrored=True).locate(3, 0, grid=(21, 21), side=84)
        (3, 20)
        >>> View(top=10, left=0, size=67, mirrored=False).locate(0, 20, grid=(21, 21), side=84)
        (2, 16)
        """
        rows, columns = grid
        if self.mirrored:
            column = columns - 1 - column
        down, right = self.top + (row + 0.5) / rows * self.size, self.left + (column + 0.5) / columns * self.size
        return int(down / side * rows), int(right / side * columns)


def views_of(photo: str, count: int, side: int) -> list[View]:
    """The photo with this id, its mirror image, then crops; the id is the seed of the crops."""
    rng = np.random.default_rng(int(photo, 16))
    size = round(_CROP * side)
    views = [View(0, 0, side, False), View(0, 0, side, True)][:count]
    for number in range(2, count):
        top, left = rng.integers(0, side - size + 1, 2).tolist()
        views.append(View(top, left, size, mirrored=number % 2 == 1))
    return views


def support_of(method: Method, encoded: Encoded) -> Support:
    """A class of encoded photos that have neither ids nor names."""
    count = len(encoded)
    nothing, kept = ("",) * count, method.keep(encoded.float())
    return Support(kept, 1, nothing, nothing, (b"",) * count, summarised(method, kept, views=1))


def summarised(method: Method, kept: Encoded, views: int) -> Summary:
    """The summary of a class, from what is kept of it."""
    return method.summarise(method.restore(kept), views)


def restored(method: Method, support: Support, photo: int) -> Encoded:
    """One photo as it is, to be compared."""
    return method.restore(support.encoded[photo * support.views : photo * support.views + 1])


@torch.no_grad()
def grow(
    method: Method,
    read: Iterable[tuple[Any, Photo]],
    before: dict[Any, Support],
    views: int,
    thumbnails: bool,
    keep: Callable[[Encoded], Encoded] | None = None,
) -> dict[Any, Support]:
    """``before`` with the photos added; only the classes that change are summarised.

    Photos are kept as ``keep`` gives them, by default ``Method.keep``.

    Raises:
        ValueError: the same photo in two classes (all such photos are named), or as ``Method.keep``; nothing has
            changed then.
    """
    fresh: dict[Any, list[tuple[str, str, Encoded, bytes]]] = {}
    for some in in_batches(_new(read, before), max(1, _TOGETHER // views)):
        encoded = (keep or method.keep)(encode(method, np.concatenate([_views(photo, views) for _, photo in some])))
        for number, (label, photo) in enumerate(some):
            jpeg = thumbnail(photo.pixels) if thumbnails else b""
            mine = encoded[number * views : (number + 1) * views]
            fresh.setdefault(label, []).append((photo.id, Path(photo.name).name, mine, jpeg))
    support = dict(before)
    for label, photos in fresh.items():
        ids, names, parts, small = zip(*photos, strict=True)
        encoded = Encoded.join(parts)
        if old := before.get(label):
            encoded, ids = Encoded.join([old.encoded, encoded]), old.ids + ids
            names, small = old.names + names, old.thumbnails + small
        support[label] = _ordered(method, Support(encoded, views, ids, names, small, {}))
    return support


@torch.no_grad()
def reduced_to(method: Method, photos: Iterable[Photo], components: int) -> Method:
    """The method over the principal components of the photos' descriptors, whatever the order of the photos."""
    pixels = {photo.id: photo.pixels for photo in photos}
    sample = sorted(pixels)[:_COMPONENT_PHOTOS]  # ids are hashes: a sample that is random, and always the same
    return method.reduced(encode(method, np.stack([pixels[one] for one in sample])), components)


@torch.no_grad()
def without(method: Method, support: Support, photo: int) -> Support:
    """A class without one of its photos."""
    kept = [i for i in range(len(support)) if i != photo]
    return picked(method, support, kept)


@contextmanager
def in_one_pass(images: int) -> Iterator[None]:
    """Inside the block, ``encode`` sends so many images through the network at once; they may round differently then.

    >>> import numpy as np
    >>> from triptych.methods import build_method
    >>> from triptych.support import encode, in_one_pass
    >>> with in_one_pass(4):
    ...     len(encode(build_method("mml-conv64f"), np.zeros((6, 84, 84, 3), np.uint8)))
    6
    """
    token = _IN_ONE_PASS.set(images)
    try:
        yield
    finally:
        _IN_ONE_PASS.reset(token)


def encode(method: Method, pixels: np.ndarray) -> Encoded:
    """Encode images one at a time, or as ``in_one_pass`` says; on a CPU, one on each core.

    What is kept of a photo must not depend on what is encoded with it.
    """
    device = next(method.parameters()).device
    passes = torch.from_numpy(pixels).to(device).split(_IN_ONE_PASS.get())
    one_pass = partial(encode_images, method, batch=_IN_ONE_PASS.get())
    return Encoded.join(map_over_cores(one_pass, passes) if device.type == "cpu" else list(map(one_pass, passes)))


def thumbnail(pixels: np.ndarray) -> bytes:
    """Decoded pixels (side, side, 3) as a small JPEG."""
    encoded = io.BytesIO()
    squash(Image.fromarray(pixels), min(_THUMBNAIL, len(pixels))).save(
        encoded, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True
    )
    return encoded.getvalue()


def is_thumbnail(encoded: bytes) -> bool:
    """Whether bytes begin as a JPEG that is small; no other format is read, and no pixel decoded.

    >>> import numpy as np
    >>> from triptych.support import is_thumbnail, thumbnail
    >>> is_thumbnail(thumbnail(np.zeros((84, 84, 3), np.uint8))), is_thumbnail(b"<svg>")
    (True, False)
    """
    try:
        return max(Image.open(io.BytesIO(encoded), formats=["JPEG"]).size) <= _LARGEST_THUMBNAIL
    except Exception:  # a decoder fed a damaged file may raise anything
        return False


def _ordered(method: Method, support: Support) -> Support:
    return picked(method, support, sorted(range(len(support)), key=support.ids.__getitem__))


def picked(method: Method, support: Support, kept: Sequence[int]) -> Support:
    """A class with these of its photos alone, in this order."""
    encoded = support.encoded[[i * support.views + view for i in kept for view in range(support.views)]]
    return Support(
        encoded=encoded,
        views=support.views,
        ids=tuple(support.ids[i] for i in kept),
        names=tuple(support.names[i] for i in kept),
        thumbnails=tuple(support.thumbnails[i] for i in kept),
        summary=summarised(method, encoded, support.views),
    )


def _new(read: Iterable[tuple[Any, Photo]], before: dict[Any, Support]) -> Iterator[tuple[Any, Photo]]:
    """The photos that are neither in ``before`` nor have come already; those in two classes are an error at the end."""
    owners = {
        photo: (label, name) for label, kept in before.items() for photo, name in zip(kept.ids, kept.names, strict=True)
    }
    conflicts: list[str] = []
    repeated: list[str] = []
    for label, photo in read:
        if photo.id not in owners:
            owners[photo.id] = label, photo.name
            if not conflicts:  # else nothing more needs the network: the others are only compared
                yield label, photo
            continue
        owner, first = owners[photo.id]
        if owner == label:
            twin = f"the same photo as {first}" if first else "already"
            repeated.append(f"{photo.name}: {twin} among the photos of {label!r}")
        else:
            both = " and ".join(dict.fromkeys((first, photo.name)))
            conflicts.append(f"{both}: the same photo is given as {owner!r} and as {label!r}; keep it in one class")
    if repeated:
        several = f"{len(repeated)} photos are there already: " if len(repeated) > 1 else ""
        warnings.warn(f"{several}{first_few(repeated)}; counted once", stacklevel=6)
    if conflicts:
        several = f"{len(conflicts)} photos are given in two classes:"
        raise ValueError(conflicts[0] if len(conflicts) == 1 else in_lines(several, conflicts))


def _views(photo: Photo, count: int) -> np.ndarray:
    """What the network sees of a photo, (count, side, side, 3)."""
    side = len(photo.pixels)
    views = []
    for view in views_of(photo.id, count, side):
        crop = photo.pixels[view.top : view.top + view.size, view.left : view.left + view.size]
        upright = np.asarray(squash(Image.fromarray(crop), side))
        views.append(upright[:, ::-1] if view.mirrored else upright)
    return np.ascontiguousarray(np.stack(views))
