"""Labelled photos in whatever form the caller has them: lists, arrays, a pandas frame, a folder, a table."""

import csv
import sys
from collections.abc import Hashable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from triptych.data.images import ImageSource
from triptych.data.listing import list_folder
from triptych.system.wording import counted

__all__ = ["LabelledPhotos", "as_photos", "check_label", "labelled_photos", "photo_stream"]

LabelledPhotos: TypeAlias = "str | PathLike[str] | Iterable[ImageSource]"

_PATH_COLUMNS = ("path", "image", "filename")


def labelled_photos(
    images: LabelledPhotos, labels: Iterable[Hashable] | None
) -> tuple[list[ImageSource], list[Any], np.dtype | None]:
    """Photos, their labels, and the dtype in which labels are returned (None for any object).

    Raises:
        ValueError: different numbers of photos and labels, NaN for a label, or what holds no labelled photos; the
            message says what was expected.

    >>> from triptych.data.inputs import labelled_photos
    >>> labelled_photos(["1.jpg", "2.jpg"], ["plum", "lemon"])
    (['1.jpg', '2.jpg'], ['plum', 'lemon'], dtype('<U5'))
    """
    if labels is None:
        images, labels = _described(images)
    photos, names = as_photos(images), list(_sequence(labels, "labels"))
    if len(photos) != len(names):
        given = f"{counted(len(photos), 'image')} and {counted(len(names), 'label')}"
        raise ValueError(f"expected one label per image, got {given}")
    for label in names:
        _check_hashable(label)
    if missing := [number for number, label in enumerate(names) if _is_missing(label)]:
        raise ValueError(f"images without a label (NaN): {len(missing)}, the first is number {missing[0]}; label them")
    for label in names:
        check_label(label)
    return photos, names, _dtype_of(labels, names)


def check_label(label: Any) -> None:
    """Refuse what names no class.

    Raises:
        ValueError: an empty text, NaN, or what cannot be hashed.

    >>> from triptych.data.inputs import check_label
    >>> check_label("")
    Traceback (most recent call last):
    ValueError: a label is empty; expected the name of a class
    """
    _check_hashable(label)
    if _is_missing(label):
        raise ValueError(f"a label is {label!r}; expected the name of a class")
    if isinstance(label, str | bytes) and not label:
        raise ValueError("a label is empty; expected the name of a class")


def as_photos(images: LabelledPhotos) -> list[ImageSource]:
    """A list of photos; a single photo is refused, a frame gives its column of paths.

    >>> from triptych.data.inputs import as_photos
    >>> as_photos(path for path in ("1.jpg", "2.jpg"))
    ['1.jpg', '2.jpg']
    >>> as_photos("1.jpg")
    Traceback (most recent call last):
    ValueError: expected a sequence of images, got a single str; wrap it in a list
    """
    return list(photo_stream(images))


def photo_stream(images: LabelledPhotos) -> Iterable[ImageSource]:
    """``as_photos`` for any number of photos: a generator stays one.

    >>> from triptych.data.inputs import photo_stream
    >>> next(photo_stream(path for path in ("1.jpg", "2.jpg")))
    '1.jpg'
    """
    if _is_frame(images):
        return images[_path_column(images)]  # type: ignore[index,call-overload]
    if isinstance(images, np.ndarray) and (images.ndim == 2 or (images.ndim == 3 and images.shape[2] in {3, 4})):
        raise ValueError(f"expected a sequence of images, got a single array of shape {images.shape}")
    return _sequence(images, "images")


def _described(images: Any) -> tuple[Iterable[ImageSource], Iterable[Hashable]]:
    """Photos and labels of what names both."""
    if _is_frame(images):
        if "label" not in images.columns:
            raise ValueError(f"the frame has the columns {list(images.columns)}; expected one named label")
        return images[_path_column(images)], images["label"]
    if not isinstance(images, str | PathLike):
        raise ValueError(
            "labels are missing; without them, expected a folder of class folders, a CSV file with the columns path "
            f"and label, or a pandas frame with them, got {type(images).__name__}"
        )
    path = Path(images)
    if path.is_dir():
        listing = list_folder(path, to_learn=True)
        return listing.sources, [listing.classes[label] for label in listing.labels]
    if not path.is_file():
        raise ValueError(f"{path}: no such file or folder; expected a folder of class folders or a CSV file")
    return _read_table(path)


def _read_table(path: Path) -> tuple[list[Path], list[str]]:
    """The photos and labels of a CSV file; its paths are relative to it."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = list(reader.fieldnames or ())
            column = next((name for name in _PATH_COLUMNS if name in columns), None)
            if column is None or "label" not in columns:
                raise ValueError(f"{path}: columns are {columns}; expected path and label, separated by commas")
            rows = [(row[column], row["label"]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{path}: not a CSV file in UTF-8 ({error}); save it as such, with the columns path and label"
        ) from error
    if not rows:
        raise ValueError(f"{path}: no rows below the columns; add one with path and label for each photo")
    for number, cells in enumerate(rows, start=1):
        if not all(cells):
            raise ValueError(f"{path}: row {number} has no path or no label; fill in or remove it")
    return [path.parent / photo for photo, _ in rows], [label for _, label in rows]


def _is_frame(value: Any) -> bool:
    pandas = sys.modules.get("pandas")  # who has not imported it has no frame of it
    return pandas is not None and isinstance(value, pandas.DataFrame)


def _path_column(frame: Any) -> str:
    columns = list(frame.columns)
    if len(columns) == 1:
        return columns[0]
    for name in _PATH_COLUMNS:
        if name in columns:
            return name
    raise ValueError(f"the frame has the columns {columns}; expected one named path")


def _sequence(values: Any, what: str) -> Iterable[Any]:
    if isinstance(values, str | PathLike | bytes | Image.Image) or not isinstance(values, Iterable):
        raise ValueError(f"expected a sequence of {what}, got a single {type(values).__name__}; wrap it in a list")
    return values


def _check_hashable(label: Any) -> None:
    try:
        hash(label)
    except TypeError as error:
        raise ValueError(f"label {label!r} is a {type(label).__name__}; expected a text or a number") from error


def _is_missing(label: Any) -> bool:
    """Whether it is what frames and arrays write for a value that is not there."""
    try:
        return bool(label != label)
    except TypeError:  # pandas' NA
        return True


def _dtype_of(labels: Any, names: list[Any]) -> np.dtype | None:
    """The caller's dtype, or what NumPy makes of strings and numbers, its own too: a list of an array's labels."""
    pandas = sys.modules.get("pandas")
    if isinstance(labels, np.ndarray) or (pandas is not None and isinstance(labels, pandas.Series | pandas.Index)):
        dtype = np.asarray(labels).dtype
        return None if dtype.hasobject else dtype
    kinds = {type(name) for name in names}
    plain = all(kind in {str, int, float, bool} or issubclass(kind, np.number | np.bool | np.str_) for kind in kinds)
    return np.asarray(names).dtype if len(kinds) == 1 and plain else None
