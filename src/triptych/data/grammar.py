"""The one door to labelled photos: what every command and function takes for data.

- a folder with one sub-folder of photos per class;
- a folder with ``train/``, ``val/`` and ``test/`` (or validation, valid, dev) in which such class folders lie;
- a folder with ``images/`` and tables: ``train.csv``, ``val.csv`` and ``test.csv``, or a single one of any name;
- a CSV file with the columns path (or image, or filename; relative to the file) and label;
- a Parquet file with the columns image and label, or a folder of such files, whose names begin with their split;
- miniImageNet, tieredImageNet, CUB-200-2011, Stanford Dogs, Stanford Cars, CIFAR-FS and FC100 as they are shipped; see
  ``triptych.data.layouts``, ``triptych.data.cars`` and ``triptych.data.pickled``;
- class folders with the splits of Chen et al. in JSON beside them; see ``triptych.data.json_splits``;
- ``hf:NAME``, a data set of the Hugging Face hub;
- a list or an array of photos with labels, or a pandas frame of both.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from triptych.data.cars import devkit_tables, list_cars, list_devkit_table
from triptych.data.errors import NoSplitError
from triptych.data.files import is_image
from triptych.data.folders import is_class_folder, list_folder, split_folders
from triptych.data.hub import check_hub_data, list_hub
from triptych.data.images import ImageSource, source_name
from triptych.data.inputs import (
    LabelledPhotos,
    as_label,
    as_photos,
    as_sequence,
    check_labels,
    common_dtype,
    frame_columns,
    is_frame,
    plain_labels,
)
from triptych.data.json_splits import json_splits, list_json_split
from triptych.data.layouts import (
    class_lists,
    image_folder,
    list_class_list,
    list_table_of_folder,
    whole_folder,
)
from triptych.data.listing import SPLITS, Listing, choose_split, listing_of, one_of_each, refuse_split, split_of
from triptych.data.pickled import list_pickled, pickled_splits
from triptych.data.shards import parquet_files
from triptych.data.tables import list_csv, list_parquet
from triptych.system.files import as_path
from triptych.system.kinds import RECOGNIZER
from triptych.system.wording import LAYOUTS, first_few, listed, printable

__all__ = ["check_data", "labelled", "list_images", "packed_splits"]

_HUB = "hf:"
# Of data sets that are shipped in splits: the file of each split of a folder, and what reads such a file.
_SHIPPED: tuple[tuple[Callable[[Path], dict[str, Path]], Callable[[Path], Listing]], ...] = (
    (pickled_splits, list_pickled),
    (class_lists, list_class_list),
    (devkit_tables, list_devkit_table),
    (json_splits, list_json_split),
)


def check_data(source: str | PathLike[str]) -> None:
    """Refuse a place where there is nothing, before anything is loaded or read.

    Raises:
        ValueError: no such file or folder, or no plain file.
        OSError: it is to be had of the Hugging Face hub, which cannot be reached.

    >>> from triptych.data import check_data
    >>> check_data("nowhere")
    Traceback (most recent call last):
    ValueError: nowhere: no such file or folder; expected a folder with one sub-folder per class; ...
    """
    if str(source).startswith(_HUB):
        return check_hub_data(str(source).removeprefix(_HUB))
    source = as_path(source)
    if not os.path.isdir(source) and not os.path.isfile(source):
        what = "no plain file" if os.path.lexists(source) else "no such file or folder"
        raise ValueError(f"{printable(source)}: {what}; expected {LAYOUTS}")
    return None


def labelled(
    source: LabelledPhotos, labels: Iterable[Any] | None = None, split: str | None = None
) -> tuple[list[ImageSource], list[Any], np.dtype | None]:
    """Photos to learn from, their labels, and the dtype in which labels are returned (None for any object).

    Args:
        source: photos, or what names labelled photos; see this module.
        labels: of the photos, where ``source`` does not name them.
        split: "train", "val" or "test" of a data set that has several: none is taken by chance.

    Raises:
        ValueError: a split of what has none, different numbers of photos and labels, NaN for a label, or what holds no
            labelled photos; the message says what was expected.

    >>> from triptych.data import labelled
    >>> labelled(["1.jpg", "2.jpg"], ["plum", "lemon"])
    (['1.jpg', '2.jpg'], ['plum', 'lemon'], dtype('<U5'))
    """
    _check_split(split)
    if split is not None and not (labels is None and isinstance(source, str | PathLike)):
        raise ValueError(f"split {split!r} is of a data set that a path names, and photos are given; leave it out")
    if labels is None and is_frame(source):
        source, labels = frame_columns(source)
    elif labels is None and isinstance(source, str | PathLike):
        listing = _listed(source, split, to_learn=True)
        source, labels = listing.photos(), listing.class_names()
    elif labels is None:
        raise ValueError(f"labels are missing; without them, expected {LAYOUTS}, got {type(source).__name__}")
    labels = plain_labels(labels)
    photos, names = as_photos(source), [as_label(label) for label in as_sequence(labels, "labels")]
    check_labels(photos, names)
    return photos, names, common_dtype(labels, names)


def list_images(data: LabelledPhotos, split: str | None = None, labels: Iterable[Any] | None = None) -> Listing:
    """List the images of a data set, to evaluate or to train on: no class may be lost.

    Args:
        data: see this module.
        split: "train", "val" or "test"; None for "test" where there are splits. A plain folder of class folders has
            none: it is one whole, which cannot be trained on. A single table is one whole, whatever the split.
        labels: of the photos, where ``data`` does not name them.

    Raises:
        ValueError: there is nothing there that can be listed; the message says what was expected.

    >>> from importlib import resources
    >>> from triptych.data import list_images
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     list_images(folder).classes[:3]
    ('Avocado', 'Carrots', 'Garlic')
    """
    _check_split(split)
    if labels is None and isinstance(data, str | PathLike):
        return _listed(data, split, to_learn=False)
    photos, names, _ = labelled(data, labels)
    return listing_of(photos, [source_name(photo) for photo in photos], list(map(str, names)))


def packed_splits(data: str | PathLike[str]) -> dict[str, list[Path]]:
    """The files of each split of a data set that is pickles or Parquet files, which hold photos; else empty.

    >>> from triptych.data.grammar import packed_splits
    >>> packed_splits("nowhere")
    {}
    """
    root = Path(data)
    if not root.is_dir():
        return {}
    pickles, tables = pickled_splits(root), parquet_files(root)
    found = {split: [path for path in tables if split_of(path.name, prefix=True) == split] for split in SPLITS}
    found |= {split: [path] for split, path in pickles.items()}
    return {split: files for split, files in found.items() if files}


def _check_split(split: str | None) -> None:
    if split is not None and split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")


def _listed(source: str | PathLike[str], split: str | None, to_learn: bool) -> Listing:
    check_data(source)
    if str(source).startswith(_HUB):
        return list_hub(str(source).removeprefix(_HUB), split, to_learn)
    root = Path(source)
    if os.path.isdir(root):
        return _listed_folder(root, split, to_learn)
    if to_learn:
        refuse_split(printable(root), split)
    return _listed_file(root)


def _listed_file(path: Path) -> Listing:
    try:
        with path.open("rb") as file:
            is_parquet = file.read(4) == b"PAR1"
    except OSError as error:
        raise ValueError(f"{printable(path)}: cannot be read ({error.strerror or error})") from error
    if is_parquet or path.suffix.lower() == ".parquet":
        return list_parquet([path])
    if RECOGNIZER.wrote(path):
        raise ValueError(f"{printable(path)}: a recogniser, in which photos are not; expected {LAYOUTS}")
    if path.stat().st_size and is_image(path):
        raise ValueError(f"{printable(path)}: a single image; expected {LAYOUTS}")
    return list_csv(path, path.parent)


def _listed_folder(root: Path, split: str | None, to_learn: bool) -> Listing:
    shipped = [(parts, read) for files_of, read in _SHIPPED if (parts := files_of(root))]
    one_of_each(((part, path.name, path) for parts, _ in shipped for part, path in parts.items()), printable(root))
    tables = sorted(root.glob("*.csv"))
    if (images := image_folder(root)) and tables and (not shipped or any(split_of(path.stem) for path in tables)):
        return list_table_of_folder(_of_split(root, tables, split, to_learn)[0], images)
    for parts, read in shipped:
        return read(choose_split(parts, split, printable(root), _names(parts), to_learn))
    if files := parquet_files(root):
        named = any(split_of(path.name, prefix=True) for path in files)
        folders = sorted(path for path in root.iterdir() if is_class_folder(path))
        if named or not folders:
            tables = [path for path in sorted(root.glob("*.csv")) if split_of(path.stem)]
            _warn_of_beside(root, folders + tables)
            return list_parquet(_of_split(root, files, split, to_learn))
    if splits := split_folders(root):
        told = [f"{path.name}/" for path in splits.values()]
        instead = f", or name its folder: {printable(next(iter(splits.values())))}"
        return list_folder(choose_split(splits, split, printable(root), told, to_learn, instead), to_learn)
    whole = whole_folder(root)
    if whole is None:
        _refuse_tables_alone(root)
    if to_learn:
        refuse_split(printable(root), split)
    cars = None if whole else list_cars(root)
    if split in {"train", "val"}:
        why = (
            f"has no split {split!r}, it is one whole; expected train/ and val/ in it, each with one sub-folder per "
            "class (to evaluate on all of it, leave the split out)"
        )
        if whole or cars:
            why = "has no few-shot split; put train.csv, val.csv and test.csv (filename,label) into it"
        raise NoSplitError(f"{printable(root)}: {why}")
    return cars or list_folder(whole or root, to_learn)


def _refuse_tables_alone(root: Path) -> None:
    """Refuse the tables of a split without their folder of images: all that lies there would be one whole."""
    tables = [path.name for path in sorted(root.glob("*.csv")) if split_of(path.stem)]
    if len(tables) > 1 and image_folder(root) is None:
        raise ValueError(
            f"{printable(root)}: {listed(list(map(printable, tables)))} are of a folder of images, which is missing; "
            "call it images/ (for Stanford Cars car_ims/), or remove the tables"
        )


def _warn_of_beside(root: Path, paths: list[Path]) -> None:
    """Say what lies beside Parquet files and could be data too."""
    if paths:
        names = first_few([printable(path.name) for path in paths])
        warnings.warn(f"{printable(root)}: left out {names}; only the Parquet files are read", stacklevel=4)


def _names(parts: Mapping[str, Path]) -> list[str]:
    return [path.name for path in parts.values()]


def _of_split(root: Path, files: list[Path], split: str | None, to_learn: bool) -> list[Path]:
    """The files of a split; all, where none is called after one."""
    found: dict[str, list[Path]] = {}
    for path in files:
        named = split_of(path.name, prefix=True) if path.suffix == ".parquet" else split_of(path.stem)
        if named:
            found.setdefault(named, []).append(path)
    tables = [(part, path.name, path) for part in found for path in found[part] if path.suffix == ".csv"]
    beside = [(part, path.name, path) for part, path in json_splits(root).items() if tables]
    one_of_each(tables + beside, printable(root))
    if found:
        return choose_split(found, split, printable(root), [path.name for path in files], to_learn)
    if files[0].suffix == ".csv" and len(files) > 1:
        raise ValueError(f"{printable(root)}: several tables, expected one or train.csv, val.csv and test.csv")
    if to_learn:
        refuse_split(printable(root), split)
    return files
