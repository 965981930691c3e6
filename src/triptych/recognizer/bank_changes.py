"""Changes of a bank: each class in one commit, in time that does not grow with what is there."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.bank import Bank, Row, check_new_place, rows_of
from triptych.data import ImageSource, Photo, read_class_photos, refuse_alike
from triptych.methods import Method
from triptych.recognizer.bank_sample import axes_of, by_chance, renewed
from triptych.recognizer.bank_state import current, written
from triptych.recognizer.banked import Banked, key_of, label_of
from triptych.recognizer.calibration import Learnt
from triptych.recognizer.knowledge import Knowledge, fits
from triptych.recognizer.leaving_out import LeftOut
from triptych.support import Support, grow, restored
from triptych.system.progress import track

__all__ = ["added", "fitted", "without_class", "without_photo"]

_AT_ONCE = 1000  # photos that are learnt from and written together
_DIGITS = re.compile("[0-9a-f]+")
_RENEWED = 2  # times as many photos, or as few, after which what is known of all is learnt anew


def fitted(
    bank: Bank,
    method: Method,
    photos: Sequence[ImageSource],
    labels: Sequence[Any],
    dtype: np.dtype | None,
    views: int,
    calibrate: bool,
    thumbnails: bool,
) -> Banked:
    """A new bank of labelled photos; until it is whole it is none, and after an error nothing is left of it.

    Raises:
        ValueError: there is a bank already; and as ``Recognizer.fit``.
    """
    check_new_place(bank.place)
    with bank.changing():
        if bank.exists:
            raise ValueError(f"{bank.place}: a bank already; add to it, or name another place")
        bank.refuse_foreign()
        try:
            known = _filled(bank, method, photos, labels, dtype, views, calibrate, thumbnails)
            return written(renewed(known), thumbnails)
        except BaseException:
            bank.drop()
            raise


def added(known: Banked, photos: Sequence[ImageSource], label: Any, thumbnails: bool) -> Banked:
    """The bank with more photos of a class."""
    key, bank, method = key_of(label), known.bank, known.method
    read = read_class_photos(photos, [label] * len(photos), method.preprocess)
    decoded = list(track(read, "learning", total=len(photos)))
    with bank.changing():
        known = current(known)
        refuse_alike([*known.support.alike(label), label])
        owners = bank.owners(photo.id for _, photo in decoded)
        before = bank.supports(method, {key, *owners.values()}, known.views)
        there = {label_of(one): kept for one, kept in before.items()}
        support = grow(method, decoded, there, known.views, thumbnails, method.keep_compared)
        kept = support[label]
        old = there[label].ids if label in there else ()
        fresh = [i for i, photo in enumerate(kept.ids) if photo not in old]
        bank.add(rows_of(key, kept, _vectors(known, kept, fresh), fresh))
        dtype = known.shared.dtype
        if dtype is not None and not fits(dtype, label):
            known = replace(known, shared=replace(known.shared, dtype=None))
            known = written(known, thumbnails)
        return _renewed_in_time(known, thumbnails)


def without_class(known: Banked, label: Any, thumbnails: bool) -> Banked:
    """The bank without a class.

    Raises:
        ValueError: no such class, or fewer than two would remain.
    """
    with known.bank.changing():
        known = current(known)
        if label not in known.support:
            raise ValueError(f"no class {label!r} in {known.bank.place}; triptych show lists the classes")
        if not known.bank.has_others(key_of(label), 2):
            raise ValueError(f"removing {label!r} would leave one class; add another class first")
        known.bank.remove(key_of(label))
        return _renewed_in_time(known, thumbnails)


def without_photo(known: Banked, start: str, thumbnails: bool) -> Banked:
    """The bank without the photo whose id begins so.

    Raises:
        ValueError: no such photo, several, or the last one of its class.
    """
    with known.bank.changing():
        known = current(known)
        found = known.bank.photos_beginning(start) if _DIGITS.fullmatch(start) else {}
        if len(found) != 1:
            raise ValueError(f"{len(found)} photos have an id that begins with {start!r}; expected exactly one")
        [(photo, key)] = found.items()
        if known.bank.count(key) == 1:
            raise ValueError(f"photo {start!r} is the only one of class {label_of(key)!r}; remove the class instead")
        known.bank.remove_photo(photo)
        return _renewed_in_time(known, thumbnails)


def _filled(
    bank: Bank,
    method: Method,
    photos: Sequence[ImageSource],
    labels: Sequence[Any],
    dtype: np.dtype | None,
    views: int,
    calibrate: bool,
    thumbnails: bool,
) -> Banked:
    """The bank with all photos; nothing is known yet of all classes together."""
    known: Banked | None = None
    owners: dict[str, Any] = {}
    mine: dict[str, list[ImageSource]] = {}
    for photo, label in zip(photos, labels, strict=True):
        mine.setdefault(key_of(label), []).append(photo)
    parts = list(_parts(mine))
    for keys in track(parts, "learning", total=len(parts)):
        asked = [(label_of(key), photo) for key in keys for photo in mine[key]]
        read = read_class_photos([one for _, one in asked], [one for one, _ in asked], method.preprocess)
        support = grow(method, _of_one_class(read, owners), {}, views, thumbnails, method.keep_compared)
        if known is None:
            axes = axes_of(method, list(support.values()))
            bank.create(axes.axes.shape[1])
            known = Banked(bank, Knowledge(method, {}, dtype, _unlearnt(method), calibrate), axes, views, 0)
        rows: list[Row] = []
        for label, kept in support.items():
            everything = range(len(kept))
            rows += rows_of(key_of(label), kept, _vectors(known, kept, everything), everything)
        bank.add(rows)
    assert known is not None
    return known


def _parts(mine: dict[str, list[ImageSource]]) -> Iterator[list[str]]:
    """Labels with so many photos together, in the order of ``by_chance``: the first part tells the axes."""
    part: list[str] = []
    count = 0
    for key in by_chance(mine):
        if part and count + len(mine[key]) > _AT_ONCE:
            yield part
            part, count = [], 0
        part.append(key)
        count += len(mine[key])
    yield part


def _of_one_class(read: Iterator[tuple[Any, Photo]], owners: dict[str, Any]) -> Iterator[tuple[Any, Photo]]:
    """The photos; one that came earlier in another class is an error."""
    for label, photo in read:
        owner = owners.setdefault(photo.id, label)
        if owner != label:
            raise ValueError(
                f"{photo.name}: the same photo is given as {owner!r} and as {label!r}; keep it in one class"
            )
        yield label, photo


@torch.no_grad()
def _vectors(known: Banked, support: Support, photos: Sequence[int]) -> dict[int, Tensor]:
    return {photo: known.vectors(restored(known.method, support, photo))[0] for photo in photos}


def _renewed_in_time(known: Banked, thumbnails: bool) -> Banked:
    """With what is known of all learnt anew, where there are twice as many photos as then, or half as many."""
    count = len(known.bank)
    if known.photos / _RENEWED < count < known.photos * _RENEWED:
        return known
    if count <= known.photos / _RENEWED:
        known.bank.compact()
    return written(renewed(known), thumbnails)


def _unlearnt(method: Method) -> Learnt:
    return Learnt(method.fusion, None, LeftOut({}, torch.empty(0, dtype=torch.int64), (), ()))
