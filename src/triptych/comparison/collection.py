"""A user's labelled photos, each encoded once and counted once."""

import hashlib
import warnings
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from triptych.data import (
    LabelledPhotos,
    Photo,
    Unreadable,
    appearance,
    copies,
    labelled,
    left_out_warnings,
    read_photos,
)
from triptych.methods import Encoded, Method
from triptych.recognizer import QUERY_BATCH, even_shares
from triptych.support import encode, thumbnail
from triptych.system.batches import in_batches
from triptych.system.progress import track
from triptych.system.wording import counted

__all__ = ["Collection", "collect"]


@dataclass(frozen=True)
class Collection:
    """Photos that accuracy can be measured on: no two of them are copies; see ``triptych.data.same``.

    Attributes:
        encoded: as a ``Recognizer`` keeps them.
        labels: (B,) int64, an index into ``classes``.
        classes: the class names; each has at least one photo.
        names: how messages name each photo.
        ids: a hash of each photo's pixels.
        thumbnails: each photo as a small JPEG.
        fingerprint: a hash of the photos and their classes; of their pixels, never of their names.
        unreadable: why a photo could not be read; such photos are left out.
        repeated: (kept, left out): the same photo twice in one class.
        contested: (class, name) of each copy of a photo that lies in several classes; all of them are left out.
        missing: classes of which no photo is left.
        unread: how many photos were not looked at, because there were more than ``most``.
    """

    encoded: Encoded
    labels: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    ids: tuple[str, ...]
    thumbnails: tuple[bytes, ...]
    fingerprint: str
    unreadable: tuple[str, ...] = ()
    repeated: tuple[tuple[str, str], ...] = ()
    contested: tuple[tuple[tuple[str, str], ...], ...] = ()
    missing: tuple[str, ...] = ()
    unread: int = 0

    def __len__(self) -> int:
        return len(self.labels)


@torch.no_grad()
def collect(
    method: Method,
    images: LabelledPhotos,
    labels: Iterable[Hashable] | None = None,
    most: int = 3000,
    seed: int = 0,
    split: str | None = None,
) -> Collection:
    """Read and encode labelled photos, and set aside what would spoil a measurement.

    Args:
        method: what encodes them.
        images: photos, or what names labelled photos; see ``Recognizer.fit``.
        labels: of the photos, where ``images`` does not name them.
        most: how many photos are looked at; beyond, an even share of each class is drawn.
        seed: of that draw.
        split: of photos that have splits; see ``labelled``.

    Raises:
        ValueError: no labelled photos there, or no photo of at least two classes left.
    """
    sources, given, _ = labelled(images, labels, split)
    drawn = _drawn(given, most, seed)
    read = track(read_photos([sources[i] for i in drawn], method.preprocess), "encoding", total=len(drawn))
    with closing(read):
        all_read = [one for photos in in_batches(read, QUERY_BATCH) for one in _encoded(method, photos)]
    photos = [photo for photo in all_read if isinstance(photo, _Encoded)]
    names = [given[i] for i, photo in zip(drawn, all_read, strict=True) if isinstance(photo, _Encoded)]
    refused = [photo for photo in all_read if isinstance(photo, Unreadable)]
    for told in left_out_warnings([photo for photo in refused if not photo.is_image]):
        warnings.warn(told, stacklevel=2)
    groups = copies(np.stack([photo.appearance for photo in photos])) if photos else np.empty(0, np.int64)
    kept, repeated, contested = _counted_once(photos, names, groups)
    return _collection(
        [photos[i] for i in kept],
        [names[i] for i in kept],
        dict.fromkeys(given),
        unreadable=tuple(photo.error for photo in refused if photo.is_image),
        repeated=tuple((photos[i].name, photos[j].name) for i, j in repeated),
        contested=tuple(tuple((str(names[i]), photos[i].name) for i in group) for group in contested),
        unread=len(given) - len(drawn),
    )


@dataclass(frozen=True)
class _Encoded:
    """What is needed of a photo; its pixels are not kept, to save memory."""

    name: str
    id: str
    encoded: Encoded
    thumbnail: bytes
    appearance: np.ndarray


def _encoded(method: Method, read: Sequence[Photo | Unreadable]) -> Iterator[_Encoded | Unreadable]:
    """What is needed of photos; those that cannot be read keep their place."""
    pixels = [photo.pixels for photo in read if isinstance(photo, Photo)]
    rows = iter(encode(method, np.stack(pixels)).to_keep().split([1] * len(pixels))) if pixels else iter(())
    for photo in read:
        if isinstance(photo, Unreadable):
            yield photo
        else:
            yield _Encoded(photo.name, photo.id, next(rows), thumbnail(photo.pixels), appearance(photo.pixels))


def _drawn(names: list[Any], most: int, seed: int) -> list[int]:
    """Which photos are looked at, in order: all, or an even share of each class."""
    members: dict[Any, list[int]] = {}
    for i, name in enumerate(names):
        members.setdefault(name, []).append(i)
    rng = np.random.default_rng(seed)
    shares = even_shares([len(mine) for mine in members.values()], most)
    drawn = [rng.permutation(mine)[:share] for mine, share in zip(members.values(), shares, strict=True)]
    return np.sort(np.concatenate(drawn)).tolist() if drawn else []


def _counted_once(
    photos: list[_Encoded], names: list[Any], groups: np.ndarray
) -> tuple[list[int], list[tuple[int, int]], list[list[int]]]:
    """Which photos stay; (kept, left out) of each repetition within a class; the groups that span classes."""
    members: dict[int, list[int]] = {}
    for i, group in enumerate(groups.tolist()):
        members.setdefault(group, []).append(i)
    contested = [group for group in members.values() if len({names[i] for i in group}) > 1]
    agreed = [group for group in members.values() if len({names[i] for i in group}) == 1]
    return [group[0] for group in agreed], [(group[0], i) for group in agreed for i in group[1:]], contested


def _collection(photos: list[_Encoded], names: list[Any], given: dict[Any, None], **reports: Any) -> Collection:
    present = _ordered(set(names))
    if len(present) < 2:
        contested = [f"{name}: in several classes" for copies in reports["contested"] for _, name in copies]
        reasons = [*reports["unreadable"], *contested]
        raise ValueError(
            f"expected usable photos of at least two classes, got {len(present)}"
            + (f"; {counted(len(reasons), 'photo')} cannot be used, the first: {reasons[0]}" if reasons else "")
        )
    index = {name: n for n, name in enumerate(present)}
    labels = np.array([index[name] for name in names], dtype=np.int64)
    return Collection(
        encoded=Encoded.join([photo.encoded for photo in photos]),
        labels=labels,
        classes=tuple(map(str, present)),
        names=tuple(photo.name for photo in photos),
        ids=tuple(photo.id for photo in photos),
        thumbnails=tuple(photo.thumbnail for photo in photos),
        fingerprint=_fingerprint(photos, [str(name) for name in names]),
        missing=tuple(str(name) for name in given if name not in index),
        **reports,
    )


def _ordered(names: Iterable[Any]) -> list[Any]:
    names = list(names)
    try:
        return sorted(names)
    except TypeError:  # labels of mixed types have no order of their own
        return sorted(names, key=repr)


def _fingerprint(photos: list[_Encoded], names: list[str]) -> str:
    lines: Iterator[str] = (f"{photo.id} {name}" for photo, name in zip(photos, names, strict=True))
    return hashlib.blake2b("\n".join(sorted(lines)).encode(), digest_size=16).hexdigest()
