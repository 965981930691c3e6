"""What well-known few-shot data sets hold: a wrong copy or a wrong split is found before a figure is made of it."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from triptych.data.apart import listed_splits, shared_by_splits
from triptych.data.errors import ImageError, NoSplitError, NotAnImageError
from triptych.data.files import check_photo
from triptych.data.grammar import list_images
from triptych.data.listing import Listing
from triptych.system.wording import listed, printable

__all__ = ["KNOWN_DATA", "KnownData", "check_known", "count_splits"]


@dataclass(frozen=True)
class KnownData:
    """A data set that others have measured on.

    Attributes:
        classes: split -> how many.
        images: split -> how many; empty where the source does not say.
        total: images in all.
        source: of these numbers.
    """

    classes: Mapping[str, int]
    images: Mapping[str, int]
    total: int
    source: str


def _known(classes: tuple[int, int, int], images: tuple[int, ...], total: int, source: str) -> KnownData:
    splits = ("train", "val", "test")
    return KnownData(dict(zip(splits, classes, strict=True)), dict(zip(splits, images, strict=False)), total, source)


_DN4 = "the split of DN4 (Li et al., CVPR 2019)"
KNOWN_DATA: dict[str, KnownData] = {
    "miniimagenet": _known((64, 16, 20), (38400, 9600, 12000), 60000, "Ravi and Larochelle, ICLR 2017"),
    "tieredimagenet": _known((351, 97, 160), (448695, 124261, 206209), 779165, "Ren et al., ICLR 2018"),
    "cub": _known((130, 20, 50), (7648, 1182, 2958), 11788, f"Wah et al., 2011; {_DN4}"),
    "cub-100": _known((100, 50, 50), (), 11788, "Wah et al., 2011; the split of FEAT (Ye et al., CVPR 2020)"),
    "dogs": _known((70, 20, 30), (11962, 3478, 5140), 20580, f"Khosla et al., 2011; {_DN4}"),
    "cars": _known((130, 17, 49), (10744, 1408, 4033), 16185, f"Krause et al., 2013; {_DN4}"),
    "cifar-fs": _known((64, 16, 20), (38400, 9600, 12000), 60000, "Bertinetto et al., ICLR 2019"),
    "fc100": _known((60, 20, 20), (36000, 12000, 12000), 60000, "Oreshkin et al., NeurIPS 2018"),
}


def count_splits(data: str | Path) -> dict[str, dict[str, int]]:
    """How many classes and images each split of a data set has; of one without splits the whole, as "all".

    Files that are no images, and photos that cannot be opened, do not count; a warning names them. Other warnings
    name what two splits share.

    Raises:
        ValueError: it cannot be listed, or has a class of which no photo can be opened.

    >>> from importlib import resources
    >>> from triptych.data import count_splits
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     count_splits(folder)
    {'all': {'classes': 8, 'images': 104, 'smallest_class': 13, 'largest_class': 13}}
    """
    found = listed_splits(data)
    for told in shared_by_splits(data, found):
        warnings.warn(told, stacklevel=2)
    return {split: _counts(_opened(listing)) for split, listing in found.items()}


def check_known(data: str | Path, name: str, known: Mapping[str, KnownData] = KNOWN_DATA) -> dict[str, dict[str, int]]:
    """Check that a data set holds what is known of it: classes and images of each split, and nothing in two splits.

    Args:
        data: a data set with splits; see ``list_images``.
        name: of ``known``.
        known: what there should be.

    Returns:
        split -> how many classes and images there are, and of the smallest and the largest class.

    Raises:
        ValueError: no such name, or something else than expected; the message says what, and the source of the number.

    >>> from triptych.data import check_known
    >>> check_known("photos", "cup")
    Traceback (most recent call last):
    ValueError: unknown data set 'cup'; expected one of miniimagenet, ...
    """
    if name not in known:
        raise ValueError(f"unknown data set {name!r}; expected one of {', '.join(known)}")
    expected, place = known[name], printable(data)
    listings = {split: _wanted_split(data, split, name, expected) for split in expected.classes}
    for split, listing in listings.items():
        for what, got, wanted in (
            ("classes", len(listing.classes), expected.classes[split]),
            ("images", len(listing.labels), expected.images.get(split)),
        ):
            if wanted is not None and got != wanted:
                raise ValueError(f"{place}: {split} has {got} {what}, expected {wanted} ({expected.source})")
    total = sum(len(listing.labels) for listing in listings.values())
    if total != expected.total:
        raise ValueError(f"{place}: {total} images in all, expected {expected.total} ({expected.source})")
    if told := next(shared_by_splits(data, listings), None):
        raise ValueError(told)
    return {split: _counts(listing.labels) for split, listing in listings.items()}


def _wanted_split(data: str | Path, split: str, name: str, expected: KnownData) -> Listing:
    try:
        return list_images(data, split)
    except NoSplitError as error:
        raise ValueError(
            f"{printable(data)}: has no split {split!r}; {name} has {listed(list(expected.classes))} "
            f"({expected.source}): give it as it is shipped, or leave --expect out"
        ) from error


def _opened(listing: Listing) -> np.ndarray:
    """The labels of the photos that can be opened, each told by its first bytes."""
    lost = {}
    for number, source in enumerate(listing.sources):
        try:
            if isinstance(source, str | Path):
                check_photo(source)
        except ImageError as error:
            lost[number] = error
    if lost:
        from triptych.data.photos import Unreadable, left_out_warnings, refuse_lost_classes  # which load torch

        unread = {
            number: Unreadable(listing.names[number], str(error), not isinstance(error, NotAnImageError))
            for number, error in lost.items()
        }
        refuse_lost_classes(listing.class_names(), unread)
        for told in left_out_warnings(list(unread.values())):
            warnings.warn(told, stacklevel=3)
    return np.delete(listing.labels, list(lost))


def _counts(labels: np.ndarray) -> dict[str, int]:
    each = np.bincount(labels)
    return {
        "classes": len(each),
        "images": len(labels),
        "smallest_class": int(each.min()),
        "largest_class": int(each.max()),
    }
