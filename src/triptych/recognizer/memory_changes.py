"""Changes of what is known in memory: a new state each, the old one stays as it is."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from triptych.data import ImageSource, read_class_photos, refuse_alike
from triptych.methods import Method
from triptych.recognizer.knowledge import Knowledge, fits
from triptych.support import grow, reduced_to, without
from triptych.system.progress import track
from triptych.system.wording import first_line

__all__ = ["added", "fitted", "without_class", "without_photo"]


def fitted(
    method: Method,
    photos: Sequence[ImageSource],
    labels: Sequence[Any],
    dtype: np.dtype | None,
    views: int,
    components: int | None,
    calibrate: bool,
    thumbnails: bool,
) -> Knowledge:
    """What labelled photos tell.

    Raises:
        ValueError: the method cannot compare photos of this size; and as ``Recognizer.fit``.
    """
    read: Iterable[Any] = read_class_photos(photos, labels, method.preprocess)
    read = track(read, "learning", total=len(photos))
    if components is not None:
        decoded = list(read)
        method = reduced_to(method, [photo for _, photo in decoded], components)
        read = iter(decoded)
    try:
        support = grow(method, read, {}, views, thumbnails)
    except RuntimeError as error:
        side, reason = method.preprocess.side, first_line(error)
        raise ValueError(f"the method cannot compare photos of {side} pixels, as it takes them ({reason})") from error
    return Knowledge.learn(method, support, dtype, calibrate)


def added(known: Knowledge, photos: Sequence[ImageSource], label: Any, thumbnails: bool) -> Knowledge:
    """With more photos of a class.

    Raises:
        ValueError: it is new, and reads like another one.
    """
    if label not in known.support:
        refuse_alike([*known.support, label])
    read = read_class_photos(photos, [label] * len(photos), known.method.preprocess)
    read = track(read, "learning", total=len(photos))
    support = grow(known.method, read, known.support, known.views, thumbnails)
    dtype = known.dtype if known.dtype is not None and fits(known.dtype, label) else None
    return known.changed(support, dtype)


def without_class(known: Knowledge, label: Any) -> Knowledge:
    """Without a class.

    Raises:
        ValueError: no such class, or fewer than two would remain.
    """
    if label not in known.support:
        raise ValueError(f"no class {label!r}; expected one of {', '.join(map(repr, known.support))}")
    if len(known.support) <= 2:
        raise ValueError(f"removing {label!r} would leave one class; add another class first")
    support = {name: kept for name, kept in known.support.items() if name != label}
    return known.changed(support, known.dtype)


def without_photo(known: Knowledge, start: str) -> Knowledge:
    """Without the photo whose id begins so.

    Raises:
        ValueError: no such photo, several, or the last one of its class.
    """
    found = [
        (label, number)
        for label, kept in known.support.items()
        for number, name in enumerate(kept.ids)
        if start and name.startswith(start)
    ]
    if len(found) != 1:
        raise ValueError(f"{len(found)} photos have an id that begins with {start!r}; expected exactly one")
    label, number = found[0]
    if len(known.support[label]) == 1:
        raise ValueError(f"photo {start!r} is the only one of class {label!r}; remove the class instead")
    support = {**known.support, label: without(known.method, known.support[label], number)}
    return known.changed(support, known.dtype)
