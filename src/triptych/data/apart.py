"""Whether the splits of a data set are apart: few-shot figures are of classes that training has not seen."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import combinations, product
from os import PathLike
from pathlib import Path

from triptych.data.errors import NoSplitError
from triptych.data.grammar import labelled, list_images, packed_splits
from triptych.data.listing import SPLITS, Listing
from triptych.system.wording import counted, first_few, printable

__all__ = ["listed_splits", "shared_by_splits", "warn_of_shared"]

_CHUNK = 1 << 20


def listed_splits(data: str | PathLike[str]) -> dict[str, Listing]:
    """The splits of a data set; of one without splits the whole, as "all".

    Raises:
        ValueError: it cannot be listed.
    """
    found = {}
    for split in SPLITS:
        try:
            found[split] = list_images(data, split)
        except NoSplitError:
            if split == "test" and not found:
                raise
    split, listing = next(iter(found.items()))
    alike = all(list(one.names) == list(listing.names) for one in found.values())
    return {"all": listing} if alike and _is_whole(data, split) else found


def shared_by_splits(data: str | PathLike[str], found: Mapping[str, Listing], of: str | None = None) -> Iterator[str]:
    """What two splits share, a sentence for each two: classes, photos, or files with the same bytes.

    Classes that their splits number anew share nothing by their numbers.

    Args:
        data: a data set.
        found: its splits.
        of: a split of which alone this is asked; None for all.
    """
    place = printable(data)
    for one, other in _pairs(found, of):
        if told := _shared(found[one], found[other]):
            yield f"{place}: {one} and {other} share {told}; expected each class in one split"
    yield from _same_files(place, packed_splits(data), of)


def warn_of_shared(data: str | PathLike[str], of: str | None = None) -> None:
    """Warn of what two splits share, as far as that can be told without reading photos.

    Of Parquet files and pickles the bytes are compared, and data of the hub is not looked at.

    Args:
        data: a data set.
        of: a split of which alone this is asked; None for all.
    """
    try:
        files = packed_splits(data)
        if files or not Path(data).is_dir():
            all_told = list(_same_files(printable(data), files, of))
        else:
            with warnings.catch_warnings(action="ignore"):  # who reads the photos tells of them
                all_told = list(shared_by_splits(data, listed_splits(data), of))
    except (ValueError, OSError):  # what is wrong with the data, who reads it tells too
        return
    for told in all_told:
        warnings.warn(told, stacklevel=2)


def _shared(one: Listing, other: Listing) -> str:
    """The classes and photos that two splits share, for a message; "" for none."""
    classes = set(one.classes) & set(other.classes) if _has_names(one) and _has_names(other) else set()
    photos = set(one.names) & set(other.names)
    told = []
    if classes:
        named = first_few(list(map(printable, sorted(classes))))
        told.append(f"{counted(len(classes), 'class', 'classes')} ({named})")
    if photos:
        told.append(f"{counted(len(photos), 'photo')}, such as {min(photos)}")
    return " and ".join(told)


def _has_names(listing: Listing) -> bool:
    """Whether classes are called the same in all splits: those of pickles and Parquet files may be numbers alone."""
    in_files = all(isinstance(source, str | PathLike) for source in listing.sources)
    return in_files or not any(name[:1].isdigit() for name in listing.classes)


def _is_whole(data: str | PathLike[str], split: str) -> bool:
    """Whether the data has no splits: it is listed as the same whole for each, and cannot be learnt from by one."""
    try:
        with warnings.catch_warnings(action="ignore"):  # it was listed before
            labelled(data, split=split)
    except NoSplitError:
        return True
    return False


def _pairs(splits: Iterable[str], of: str | None) -> Iterator[tuple[str, str]]:
    return (pair for pair in combinations(splits, 2) if of is None or of in pair)


def _same_files(place: str, files: Mapping[str, list[Path]], of: str | None) -> Iterator[str]:
    """Files of two splits with the same bytes, a sentence for each two; sizes are compared first."""
    for one, other in _pairs(files, of):
        for first, second in product(files[one], files[other]):
            if first.stat().st_size == second.stat().st_size and _digest(first) == _digest(second):
                yield (
                    f"{place}: {first.name} of {one} and {second.name} of {other} are the same file; expected each "
                    "class in one split"
                )


def _digest(path: Path) -> bytes:
    content = blake2b(digest_size=16)
    with path.open("rb") as file:
        while part := file.read(_CHUNK):
            content.update(part)
    return content.digest()
