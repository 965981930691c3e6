"""From what lies on a shelf to what is learnt of it, without encoding anything twice."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from triptych.data import NamedBytes, Photo, read_photos
from triptych.methods import Encoded, Method
from triptych.serve.index import Index
from triptych.support import Support, grow, picked

__all__ = ["learnt_from"]

Pool = dict[str, tuple[Support, int]]  # photo -> where it is encoded


def learnt_from(
    method: Method, index: Index, before: Mapping[Any, Support], photo_file: Callable[[str], bytes | None]
) -> tuple[dict[str, Support], tuple[str, ...]]:
    """What is kept of each class of a shelf that has photos.

    Args:
        method: what encodes photos.
        index: what lies on the shelf.
        before: what was learnt of an earlier state, whatever its classes were called; photos in it are not read.
        photo_file: the bytes of a photo, or None where there is no file of it.

    Returns:
        label -> what is kept of it; and the ids of photos that are neither in ``before`` nor can be read.
    """
    pool: Pool = {photo: (kept, number) for kept in before.values() for number, photo in enumerate(kept.ids)}
    same = {kept.ids: kept for kept in before.values()}
    views = next((kept.views for kept in before.values()), 1)
    support, lost = {}, []
    for label in index.classes:
        ids = index.ids(label)
        if ids in same:
            support[label] = _named(same[ids], index)
            continue
        fresh = [photo for photo in ids if photo not in pool]
        read = list(_read(method, index, fresh, photo_file))
        there = {one.id for one in read}
        lost += [photo for photo in fresh if photo not in there]
        parts = list(_parts([pool[photo] for photo in ids if photo in pool]))
        parts += grow(method, ((label, photo) for photo in read), {}, views, thumbnails=True).values()
        if parts:
            support[label] = _named(_joined(method, parts), index)
    return support, tuple(lost)


def _read(
    method: Method, index: Index, photos: list[str], photo_file: Callable[[str], bytes | None]
) -> Iterator[Photo]:
    sources = (NamedBytes(photo_file(photo) or b"", index.photos[photo].name) for photo in photos)  # a few at a time
    for photo, read in zip(photos, read_photos(sources, method.preprocess), strict=True):
        if isinstance(read, Photo):
            yield replace(read, id=photo)  # that under which the shelf knows it


def _parts(kept: list[tuple[Support, int]]) -> Iterator[Support]:
    """Those photos, of each class that they were in together."""
    numbers: dict[int, list[int]] = {}
    classes = {id(support): support for support, _ in kept}
    for support, number in kept:
        numbers.setdefault(id(support), []).append(number)
    for place, mine in numbers.items():
        support = classes[place]
        rows = [number * support.views + view for number in mine for view in range(support.views)]
        yield Support(
            encoded=support.encoded[rows],
            views=support.views,
            ids=tuple(support.ids[number] for number in mine),
            names=tuple(support.names[number] for number in mine),
            thumbnails=tuple(support.thumbnails[number] for number in mine),
            summary={},
        )


def _joined(method: Method, parts: list[Support]) -> Support:
    """One class of the photos of several, in the order of their ids."""
    whole = Support(
        encoded=Encoded.join([part.encoded for part in parts]),
        views=parts[0].views,
        ids=tuple(photo for part in parts for photo in part.ids),
        names=tuple(name for part in parts for name in part.names),
        thumbnails=tuple(small for part in parts for small in part.thumbnails),
        summary={},
    )
    return picked(method, whole, sorted(range(len(whole)), key=whole.ids.__getitem__))


def _named(kept: Support, index: Index) -> Support:
    return replace(kept, names=tuple(index.photos[photo].name for photo in kept.ids))
