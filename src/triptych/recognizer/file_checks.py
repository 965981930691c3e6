"""What the contents of a .triptych file must be: anyone can write one with the right checksum."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from triptych.data import refuse_alike
from triptych.recognizer.knowledge import of_any_width
from triptych.recognizer.learnt_text import check_calibration
from triptych.support import is_thumbnail
from triptych.system.settings import FLAG, whole
from triptych.system.wording import printable

__all__ = ["check_content", "check_owners", "check_thumbnails"]

_SETTINGS = {"views": whole(1), "calibrate": FLAG, "thumbnails": FLAG}
_ID = re.compile("[0-9a-f]{32}")
_LABELS = "biufU"  # kinds of dtypes of labels that a file can hold


def check_content(content: dict[str, Any], names: Sequence[str]) -> None:
    """Refuse what would fail only later, or answer wrongly.

    Args:
        content: the JSON of the file.
        names: what it must tell.

    Raises:
        ValueError: something is missing, or is not what it should be.
    """
    if missing := [name for name in names if name not in content]:
        raise ValueError(f"{missing[0]} is missing")
    _check_labels(content["labels"])
    _check_dtype(content["dtype"], content["labels"])
    _check_photos(content["names"], content["ids"])
    _check_settings(content["settings"])
    check_calibration(content["calibration"])


def check_owners(owners: Tensor, classes: int) -> None:
    """Refuse photos of no class, and classes of no photo.

    Raises:
        ValueError: there are such.
    """
    if owners.ndim != 1 or owners.unique().tolist() != list(range(classes)):
        raise ValueError("a class has no photo, or a photo has no class")


def check_thumbnails(thumbnails: Sequence[bytes]) -> None:
    """Refuse thumbnails that are no small JPEGs; no bytes stand for one that is not kept.

    Raises:
        ValueError: there are such.
    """
    if not all(is_thumbnail(one) for one in thumbnails if one):
        raise ValueError("a thumbnail is no small JPEG")


def _check_labels(labels: Any) -> None:
    told = f"labels are {printable(repr(labels)):.80}"
    if not isinstance(labels, list) or not all(isinstance(label, str | int | float) for label in labels):
        raise ValueError(f"{told}; expected strings, numbers and booleans")
    if len(set(labels)) < 2:
        raise ValueError(f"{told}; expected two classes or more")
    if len(set(labels)) < len(labels):
        raise ValueError(f"{told}; expected different ones")
    if any(label != label for label in labels):
        raise ValueError(f"{told}; NaN names no class")
    refuse_alike(labels)


def _check_dtype(given: Any, labels: list[Any]) -> None:
    """Refuse a type of labels that these labels are not of."""
    if given is None:
        return
    try:
        dtype = np.dtype(given if isinstance(given, str) else "O")
        with np.errstate(all="ignore"):
            same = dtype.kind in _LABELS and np.array(labels, of_any_width(dtype)).tolist() == labels
    except (TypeError, ValueError, OverflowError):
        same = False
    if not same:
        raise ValueError(f"its labels are not of the type {printable(repr(given)):.80}")


def _check_photos(names: Any, ids: Any) -> None:
    if not _are_texts(ids) or not all(map(_ID.fullmatch, ids)):
        raise ValueError("an id of a photo is not 32 hexadecimal digits")
    if len(set(ids)) < len(ids):
        raise ValueError("two photos have the same id")
    if not _are_texts(names):
        raise ValueError("the name of a photo is no text")


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def _check_settings(settings: Any) -> None:
    if not isinstance(settings, dict) or settings.keys() != _SETTINGS.keys():
        raise ValueError(f"its settings are {printable(repr(settings)):.80}; expected {', '.join(_SETTINGS)}")
    for name, check in _SETTINGS.items():
        check.ask(f"its setting {name}", settings[name])
