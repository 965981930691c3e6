"""Photos decoded on all cores: the one decoder that recognisers, stores and measurements share."""

import os
import warnings
from collections import Counter, deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from triptych.data.images import ImageError, ImageSource, NotAnImageError, source_name
from triptych.data.inputs import as_sequence
from triptych.data.preprocessing import Preprocessing
from triptych.data.same import pixel_id
from triptych.system.wording import counted, first_few, in_lines

__all__ = ["Photo", "Unreadable", "left_out_warnings", "read_class_photos", "read_photos", "refuse_lost_classes"]

_READ_AHEAD = 64  # decoded photos that may wait to be used


@dataclass(frozen=True)
class Photo:
    """A decoded photo.

    Attributes:
        name: how messages name it.
        pixels: (h, w, 3) uint8; (side, side, 3) where the preprocessing makes squares.
        id: see ``pixel_id``.

    >>> import numpy as np
    >>> from triptych.data import Photo
    >>> Photo("1.jpg", np.zeros((84, 84, 3), np.uint8), "0" * 32).name
    '1.jpg'
    """

    name: str
    pixels: np.ndarray
    id: str


@dataclass(frozen=True)
class Unreadable:
    """A photo that cannot be read.

    Attributes:
        name: how messages name it.
        error: the message, which begins with the name.
        is_image: False for a file that is no image by its first bytes: no photo was lost.

    >>> from triptych.data import Unreadable
    >>> Unreadable("README.md", "README.md: not an image", is_image=False).is_image
    False
    """

    name: str
    error: str
    is_image: bool = True


def read_photos(
    sources: Iterable[ImageSource], preprocessing: Preprocessing
) -> Generator[Photo | Unreadable, None, None]:
    """Decode photos on all cores, in order, a bounded number ahead; one that cannot be read keeps its place.

    Images and arrays are read when they come: their owner may give the same one again, changed.

    >>> import numpy as np
    >>> from triptych.data import Preprocessing, read_photos
    >>> grey, nothing = read_photos([np.zeros((40, 60), np.uint8), "missing.jpg"], Preprocessing(side=84))
    >>> grey.pixels.shape, nothing.error
    ((84, 84, 3), 'missing.jpg: No such file or directory; expected an image file')
    """
    sources = as_sequence(sources, "images")
    pool = ThreadPoolExecutor(os.cpu_count())
    waiting: deque[Future[Photo | Unreadable]] = deque()
    try:
        for source in sources:
            if isinstance(source, Image.Image | np.ndarray):
                waiting.append(Future())
                waiting[-1].set_result(_read(source, preprocessing))
            else:
                waiting.append(pool.submit(_read, source, preprocessing))
            if len(waiting) >= _READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Without waiting for the threads: the garbage collector closes a generator that was left, in any thread, and
        # within the thread module's own lock, too. To wait there for another thread is to wait for ever.
        pool.shutdown(wait=False, cancel_futures=True)


def read_class_photos(
    sources: Sequence[ImageSource], labels: Sequence[Any], preprocessing: Preprocessing
) -> Iterator[tuple[Any, Photo]]:
    """(label, photo) of every photo that can be read; a warning lists the others.

    Raises:
        ImageError: none of a class can be read.

    >>> import numpy as np
    >>> from triptych.data import Preprocessing, read_class_photos
    >>> [(label, photo)] = read_class_photos([np.zeros((40, 60), np.uint8)], ["plum"], Preprocessing(side=84))
    >>> label, photo.pixels.shape
    ('plum', (84, 84, 3))
    """
    lost: dict[int, Unreadable] = {}
    for position, photo in enumerate(read_photos(sources, preprocessing)):
        if isinstance(photo, Unreadable):
            lost[position] = photo
        else:
            yield labels[position], photo
    refuse_lost_classes(labels, lost)
    for told in left_out_warnings(list(lost.values())):
        warnings.warn(told, stacklevel=3)


def refuse_lost_classes(labels: Sequence[Any], lost: Mapping[int, Unreadable]) -> None:
    """Raise ImageError for a class of which no photo can be read.

    Args:
        labels: of all photos.
        lost: position -> why that photo cannot be read.
    """
    total = Counter(labels)
    failed = Counter(labels[position] for position in lost)
    for label, count in failed.items():
        if count == total[label]:
            mine = [photo for position, photo in lost.items() if labels[position] == label]
            first = next((photo for photo in mine if photo.is_image), mine[0])
            raise ImageError(f"class {label!r}: none of its photos can be read ({count}); the first: {first.error}")


def left_out_warnings(lost: Sequence[Unreadable]) -> list[str]:
    """What to warn of: photos that cannot be read, one a line, and apart from them files that are no images."""
    told = []
    if unreadable := [one.error for one in lost if one.is_image]:
        told.append(in_lines(f"skipped {counted(len(unreadable), 'unreadable photo')}:", unreadable))
    if others := [one.name for one in lost if not one.is_image]:
        told.append(f"left out {counted(len(others), 'file')} that {_are(len(others))} no image: {first_few(others)}")
    return told


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _read(source: ImageSource, preprocessing: Preprocessing) -> Photo | Unreadable:
    try:
        name = source_name(source)
    except ImageError as error:
        return Unreadable(type(source).__name__, str(error))
    try:
        pixels = preprocessing.pixels(source)
    except ImageError as error:
        return Unreadable(name, str(error), is_image=not isinstance(error, NotAnImageError))
    return Photo(name, pixels, pixel_id(pixels))
