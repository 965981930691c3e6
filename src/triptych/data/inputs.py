"""Photos and labels that are in memory: lists, arrays, pandas frames."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath
from os.path import isdir
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from triptych.data.images import ImageSource
from triptych.data.tables import path_column
from triptych.system.wording import composed, counted, printable

__all__ = [
    "LabelledPhotos",
    "as_label",
    "as_photos",
    "as_sequence",
    "check_label",
    "check_labels",
    "common_dtype",
    "frame_columns",
    "is_frame",
    "photo_stream",
    "plain_labels",
    "refuse_alike",
]

LabelledPhotos: TypeAlias = "str | PathLike[str] | Iterable[ImageSource]"


def check_labels(photos: Sequence[ImageSource], labels: Sequence[Any]) -> None:
    """Refuse labels that do not fit the photos, or name no class.

    Raises:
        ValueError: different numbers of photos and labels, NaN for a label, an empty one, one that is no label, or two
            classes that read the same.

    >>> from triptych.data.inputs import check_labels
    >>> check_labels(["1.jpg", "2.jpg"], ["plum"])
    Traceback (most recent call last):
    ValueError: expected one label per image, got 2 images and 1 label
    """
    if len(photos) != len(labels):
        given = f"{counted(len(photos), 'image')} and {counted(len(labels), 'label')}"
        raise ValueError(f"expected one label per image, got {given}")
    for label in labels:
        _check_hashable(label)
    if missing := [number for number, label in enumerate(labels) if _is_missing(label)]:
        raise ValueError(
            f"images without a label (NaN or None): {len(missing)}, the first is number {missing[0]}; label them"
        )
    for label in labels:
        check_label(label)
    refuse_alike(dict.fromkeys(labels))


def refuse_alike(labels: Iterable[Any]) -> None:
    """Refuse different labels that read the same: tables, folders and pages would take them for one class.

    Raises:
        ValueError: there are such.

    >>> from triptych.data.inputs import refuse_alike
    >>> refuse_alike(["1", 1])
    Traceback (most recent call last):
    ValueError: the labels '1' and 1 read the same; expected classes that differ as text
    """
    seen: dict[str, Any] = {}
    for label in labels:
        other = seen.setdefault(composed(str(label)), label)
        if label not in {other}:  # by their hash too: single precision's 0.1 equals 0.1
            told = " and ".join(ascii(one) if isinstance(one, str) else repr(one) for one in (other, label))
            raise ValueError(f"the labels {told} read the same; expected classes that differ as text")


def check_label(label: Any) -> None:
    """Refuse what names no class.

    Raises:
        ValueError: an empty text, NaN, None, a tensor, or what cannot be hashed.

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


def as_label(label: Any) -> Any:
    """A label; what NumPy or PyTorch holds as an array without axes becomes its plain value.

    PyTorch's tensors are hashed by identity: each would be a class of its own.

    >>> import numpy as np
    >>> from triptych.data.inputs import as_label
    >>> as_label(np.array(3)), as_label("plum")
    (3, 'plum')
    """
    return label.item() if _is_scalar(label) and label is not np.ma.masked else label


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
    if is_frame(images):
        return images[_path_column(images)]  # type: ignore[index,call-overload]
    if isinstance(images, np.ndarray) and (images.ndim == 2 or (images.ndim == 3 and images.shape[2] in {3, 4})):
        raise ValueError(f"expected a sequence of images, got a single array of shape {images.shape}")
    return as_sequence(images, "images")


def as_sequence(values: Any, what: str) -> Iterable[Any]:
    """What holds several; a single value is refused, and ``what`` says of what several were expected.

    >>> from triptych.data.inputs import as_sequence
    >>> as_sequence("plum", "labels")
    Traceback (most recent call last):
    ValueError: expected a sequence of labels, got a single str; wrap it in a list
    """
    if isinstance(values, str | PathLike) and isdir(values):
        raise ValueError(
            f"expected a sequence of {what}, got the folder {printable(values)}; give the photos in it, "
            f"such as sorted(Path({printable(repr(fspath(values)))}).rglob('*.jpg'))"
        )
    if isinstance(values, set | frozenset | Mapping):  # the keys of a dict have their order
        raise ValueError(
            f"expected a sequence of {what}, got a {type(values).__name__}, in which nothing has a place; give a list"
        )
    if isinstance(values, str | PathLike | bytes | Image.Image) or not isinstance(values, Iterable):
        raise ValueError(f"expected a sequence of {what}, got a single {type(values).__name__}; wrap it in a list")
    return values


def plain_labels(labels: Any) -> Any:
    """Labels that are a tensor as an array; others as they are.

    >>> import torch
    >>> from triptych.data.inputs import plain_labels
    >>> plain_labels(torch.tensor([0, 1])), plain_labels(["plum"])
    (array([0, 1]), ['plum'])
    """
    if not _is_tensor(labels) or labels.is_meta or not labels.ndim:
        return labels
    try:
        return labels.numpy(force=True)
    except TypeError:  # of a precision that NumPy does not have
        return labels.tolist()


def is_frame(value: Any) -> bool:
    """Whether it is a pandas frame.

    >>> from triptych.data.inputs import is_frame
    >>> is_frame(["1.jpg"])
    False
    """
    pandas = sys.modules.get("pandas")  # who has not imported it has no frame of it
    return pandas is not None and isinstance(value, pandas.DataFrame)


def frame_columns(frame: Any) -> tuple[Any, Any]:
    """The photos and the labels of a pandas frame; headings in any case.

    Raises:
        ValueError: it has no such columns.

    >>> import pandas
    >>> from triptych.data.inputs import frame_columns
    >>> photos, labels = frame_columns(pandas.DataFrame({"Path": ["1.jpg"], "Label": ["plum"]}))
    >>> list(photos), list(labels)
    (['1.jpg'], ['plum'])
    """
    column = _plain(list(frame.columns)).get("label")
    if column is None:
        raise ValueError(f"the frame has the columns {list(frame.columns)}; expected one named label")
    return frame[_path_column(frame)], frame[column]


def common_dtype(labels: Any, names: list[Any]) -> np.dtype | None:
    """The dtype in which labels are returned: the caller's, or what NumPy makes of texts and numbers; else None.

    >>> from triptych.data.inputs import common_dtype
    >>> common_dtype(["plum", "lemon"], ["plum", "lemon"])
    dtype('<U5')
    """
    pandas = sys.modules.get("pandas")
    if isinstance(labels, np.ndarray) or (pandas is not None and isinstance(labels, pandas.Series | pandas.Index)):
        dtype = np.asarray(labels).dtype
        return None if dtype.hasobject else dtype
    kinds = {type(name) for name in names}
    plain = all(kind in {str, int, float, bool} or issubclass(kind, np.number | np.bool | np.str_) for kind in kinds)
    return np.asarray(names).dtype if len(kinds) == 1 and plain else None


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")  # who has not imported it has no tensor
    return torch is not None and isinstance(value, torch.Tensor)


def _is_scalar(label: Any) -> bool:
    return (isinstance(label, np.ndarray) or (_is_tensor(label) and not label.is_meta)) and label.ndim == 0


def _path_column(frame: Any) -> Any:
    columns = list(frame.columns)
    if len(columns) == 1:
        return columns[0]
    plain = _plain(columns)
    if (column := path_column(list(plain))) is None:
        raise ValueError(f"the frame has the columns {columns}; expected one named path")
    return plain[column]


def _plain(columns: Sequence[Any]) -> dict[str, Any]:
    """Headings in lower case and without spaces around them -> as they are."""
    return {str(column).strip().lower(): column for column in reversed(columns)}


def _check_hashable(label: Any) -> None:
    try:
        hash(label)
    except TypeError as error:
        raise ValueError(
            f"label {printable(repr(label))} is a {type(label).__name__}; expected a text or a number"
        ) from error


def _is_missing(label: Any) -> bool:
    """Whether it is what tables, frames and arrays write for a value that is not there."""
    if label is None:
        return True
    if _is_tensor(label):
        raise ValueError(f"a label is a {type(label).__name__}; expected a text or a number")
    try:
        return bool(label != label)
    except TypeError:  # pandas' NA
        return True
    except (ValueError, RuntimeError) as error:  # what is no single value
        raise ValueError(f"a label is a {type(label).__name__}; expected a text or a number") from error
