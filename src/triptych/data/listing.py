"""The images of one split of a data set, by name and class, undecoded; and what splits are called."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from triptych.data.errors import NoSplitError
from triptych.data.files import content_digest
from triptych.data.images import ImageSource, NamedBytes, RemotePhoto
from triptych.system.wording import composed

__all__ = ["SPLITS", "Listing", "choose_split", "listing_of", "one_of_each", "plain_name", "refuse_split", "split_of"]

SPLITS = ("train", "val", "test")
_SPELLINGS = {
    "train": ("train", "training"),
    "val": ("val", "validation", "valid", "dev"),
    "test": ("test", "testing"),
}

T = TypeVar("T")


@dataclass(frozen=True)
class Listing:
    """The images of one split, undecoded.

    Attributes:
        sources: a file's path, the encoded bytes, or what else is a photo, of each of the B images.
        names: how a message names each image.
        labels: (B,) int64, an index into ``classes``.
        classes: the class names.

    >>> import numpy as np
    >>> from triptych.data import Listing
    >>> listing = Listing([b"1", b"2"], ["one", "two"], np.array([0, 1]), ("a", "b"))
    >>> listing.photos()[1], listing.class_names()
    (NamedBytes(data=b'2', name='two'), ['a', 'b'])
    """

    sources: Sequence[ImageSource]
    names: Sequence[str]
    labels: np.ndarray
    classes: tuple[str, ...]

    def photos(self) -> list[ImageSource]:
        """The sources, such that messages name those that are bytes too."""
        named = zip(self.sources, self.names, strict=True)
        return [NamedBytes(source, name) if isinstance(source, bytes) else source for source, name in named]

    def class_names(self) -> list[str]:
        """The class of each image."""
        return [self.classes[label] for label in self.labels]

    def fingerprint(self) -> str:
        """A hash of the contents: the images' bytes, their order, labels and class names; never of paths.

        A file that cannot be read counts by its name, one that is no image by its size and beginning.
        """
        whole = hashlib.blake2b(digest_size=16)
        whole.update(json.dumps(self.classes).encode())
        whole.update(self.labels.tobytes())
        for source in self.sources:
            whole.update(_digest(source))
        return whole.hexdigest()


def listing_of(sources: Sequence[ImageSource], names: Sequence[str], class_names: Sequence[str]) -> Listing:
    """A listing of images whose classes are given by name; they get their numbers in alphabetical order.

    Names whose accents are composed in two ways, or that have spaces around them, are of one class.
    """
    class_names = list(map(plain_name, class_names))
    classes = sorted(set(class_names))
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[name] for name in class_names], dtype=np.int64)
    return Listing(sources, names, labels, tuple(classes))


def plain_name(name: str) -> str:
    """The name of a class in one form: its accents composed, and no spaces around it.

    >>> from triptych.data.listing import plain_name
    >>> plain_name(" plum ")
    'plum'
    """
    return composed(name).strip()


def split_of(name: str, prefix: bool = False) -> str | None:
    """Which split a folder, a table or a part of a data set is by its name; None for another name.

    Args:
        name: in any case.
        prefix: it may go on, as in ``train-00000-of-00002.parquet``.

    >>> split_of("Validation"), split_of("tests"), split_of("train-00000-of-00002.parquet", prefix=True)
    ('val', None, 'train')
    """
    plain = name.lower()
    for split, spellings in _SPELLINGS.items():
        if plain.startswith(spellings) if prefix else plain in spellings:
            return split
    return None


def one_of_each(parts: Iterable[tuple[str, str, T]], data: str) -> dict[str, T]:
    """The part of each split.

    Args:
        parts: of each the split, its name for messages, and the part.
        data: how a message names the data set.

    Raises:
        ValueError: two parts are of one split; neither is taken by chance.

    >>> from triptych.data.listing import one_of_each
    >>> one_of_each([("val", "val/", 1), ("val", "dev/", 2)], "photos")
    Traceback (most recent call last):
    ValueError: photos: val/ and dev/ are both the split val; keep one
    """
    found: dict[str, tuple[str, T]] = {}
    for split, name, part in parts:
        if split in found:
            raise ValueError(f"{data}: {found[split][0]} and {name} are both the split {split}; keep one")
        found[split] = name, part
    return {split: part for split, (_, part) in found.items()}


def refuse_split(data: str, split: str | None) -> None:
    """Refuse a split of data that has none: all of the data would be the wrong answer.

    Raises:
        NoSplitError: one is asked for.
    """
    if split is not None:
        raise NoSplitError(f"{data}: has no splits, and {split!r} is asked for; leave the split out")


def choose_split(
    found: Mapping[str, T], split: str | None, data: str, told: Iterable[str], to_learn: bool, instead: str = ""
) -> T:
    """The wanted split of those that a data set has.

    Args:
        found: split -> what it is.
        split: "train", "val", "test", or None: to learn from, the only one there is; else "test".
        data: how a message names the data set.
        told: how a message names the splits.
        to_learn: see ``split``. To learn from several splits at once, or by chance from one of them, is an error.
        instead: how a message goes on that asks for a split.

    Raises:
        NoSplitError: there is no such split.
        ValueError: it has to be named.
    """
    if split is None and to_learn and len(found) == 1:
        return next(iter(found.values()))
    if split is None and to_learn and found:
        raise ValueError(
            f"{data}: {', '.join(told)} are splits and no classes; choose one, "
            f'such as --split {next(iter(found))} (in Python split="{next(iter(found))}"){instead}'
        )
    wanted = split or "test"
    if wanted not in found:
        raise NoSplitError(f"{data}: no split {wanted!r}; it has {', '.join(told)}")
    return found[wanted]


def _digest(source: ImageSource) -> bytes:
    if isinstance(source, NamedBytes | RemotePhoto):
        source = source.data
    if isinstance(source, bytes):
        return hashlib.blake2b(source, digest_size=16).digest()
    if isinstance(source, Image.Image | np.ndarray):
        values = np.asarray(source)
        head = f"{values.shape}{values.dtype}".encode()
        return hashlib.blake2b(head + values.tobytes(), digest_size=16).digest()
    return content_digest(source)
