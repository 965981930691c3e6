"""The .triptych file: a fitted recogniser as numbers and text, safe to open from a stranger."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from itertools import accumulate, pairwise
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.methods import Encoded, Method, method_from_bytes, method_to_bytes
from triptych.recognizer.file_checks import check_content, check_owners, check_thumbnails
from triptych.recognizer.knowledge import Knowledge, of_any_width, ordered
from triptych.recognizer.learnt_text import fusion_as_text, learnt_from
from triptych.recognizer.leaving_out import LeftOut
from triptych.support import Support, summarised
from triptych.system.devices import usable_device
from triptych.system.files import check_named, write_whole
from triptych.system.kinds import ONNX_MODEL, RECOGNIZER_FILE, TORCH_PROGRAM
from triptych.system.packed import check_packed, pack, read_packed, unpack

__all__ = [
    "Settings",
    "bytes_tensor",
    "check_file",
    "checksum",
    "fingerprint",
    "plain_label",
    "read_file",
    "write_file",
]

Settings = dict[str, Any]  # of a Recognizer: its views, whether it calibrates, whether it keeps thumbnails

_FORMAT = "triptych-recognizer"
_VERSION = 6
_EXPORTS = {*ONNX_MODEL.beginnings, *TORCH_PROGRAM.beginnings}
_TEXTS = ("labels", "dtype", "names", "ids", "calibration", "settings", "fusion")
_LARGEST = 1e18  # similarity: its square is finite in single precision
_ENCODED = "encoded."  # before the name of each tensor of what is encoded
_TENSORS = {
    "method": torch.uint8,
    "owners": torch.int64,
    "left_out": torch.int64,
    "similarities": torch.float32,
    "thumbnails": torch.uint8,
    "thumbnail_sizes": torch.int64,
}


def write_file(known: Knowledge, settings: Settings, path: str | PathLike[str]) -> None:
    """Write what a fitted recogniser knows, whole or not at all.

    Raises:
        ValueError: a label is no string, number or boolean.
        OSError: the file cannot be written.
    """
    tensors, content = _contents(known, settings)
    write_whole(path, pack(tensors, _FORMAT, _VERSION, content))


def read_file(path: str | PathLike[str], device: str = "cpu") -> tuple[Knowledge, Settings]:
    """Read what ``write_file`` wrote.

    Raises:
        ValueError: the file is missing, damaged, altered, or from a newer version; the message names it.
    """
    check_named(path, RECOGNIZER_FILE)
    with _named(path):
        data = read_packed(path, _FORMAT)
    tensors, content = unpack(data, _FORMAT, _VERSION, str(path))
    if content["version"] < _VERSION:
        raise ValueError(f"{path}: written by an earlier triptych, which kept other numbers; fit it anew")
    kinds = {name: tensor.dtype for name, tensor in tensors.items() if not name.startswith(_ENCODED)}
    if kinds != _TENSORS or len(kinds) == len(tensors):
        raise ValueError(f"{path}: damaged: its contents are not those of a .triptych file; fit it anew")
    if checksum(tensors, _texts(content)) != content.get("checksum"):
        raise ValueError(f"{path}: damaged or altered since it was written; fit it anew or fetch it again")
    method = method_from_bytes(tensors["method"].numpy().tobytes(), f"{path} (its method)").to(usable_device(device))
    try:
        return _restore(method, tensors, content)
    except ValueError as error:
        raise ValueError(f"{path}: damaged: its parts do not fit together ({error}); fit it anew") from error
    except (
        AttributeError,
        ArithmeticError,
        KeyError,
        IndexError,
        TypeError,
        RuntimeError,
    ) as error:  # no words of ours
        raise ValueError(f"{path}: damaged: its parts do not fit together; fit it anew") from error


def check_file(path: str | PathLike[str]) -> None:
    """Refuse, by its first bytes, what ``read_file`` would refuse too.

    Raises:
        ValueError: as ``read_file``.
    """
    check_named(path, RECOGNIZER_FILE)
    with _named(path):
        check_packed(path, _FORMAT)


@contextmanager
def _named(path: str | PathLike[str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; expected {RECOGNIZER_FILE}") from error
    except ValueError as error:
        if Path(path).suffix.lower() not in _EXPORTS:
            raise
        raise ValueError(
            f"{path} is an export, not a recogniser; expected the .triptych file it was made of"
        ) from error


def fingerprint(known: Knowledge, settings: Settings) -> str:
    """A hash of all that a recogniser's answers depend on, 64 hexadecimal digits; saving and loading keep it.

    Raises:
        ValueError: a label is no string, number or boolean.
    """
    return _contents(known, settings)[1]["checksum"]


def _contents(known: Knowledge, settings: Settings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    labels = [plain_label(label) for label in known.order]  # not as they came: add and fit give the same file
    kept = known.supports
    thumbnails = [thumbnail for support in kept for thumbnail in support.thumbnails]
    ids = [photo for support in kept for photo in support.ids]
    dtype, learnt, encoded = known.dtype, known.learnt, Encoded.join([support.encoded for support in kept])
    tensors = {
        "method": bytes_tensor(method_to_bytes(known.method, whole=False)),
        **{f"{_ENCODED}{name}": value.cpu().contiguous() for name, value in encoded.tensors.items()},
        "owners": torch.repeat_interleave(torch.tensor([len(support) for support in kept])),
        "left_out": torch.tensor([ids.index(photo) for photo in learnt.left_out.photos], dtype=torch.int64),
        "similarities": torch.stack(list(learnt.left_out.levels.values()), dim=2).cpu(),  # (R, N, L)
        "thumbnails": bytes_tensor(b"".join(thumbnails)),
        "thumbnail_sizes": torch.tensor([len(thumbnail) for thumbnail in thumbnails]),
    }
    content = {
        "labels": labels,
        "dtype": None if dtype is None else dtype.str,
        "names": [name for support in kept for name in support.names],
        "ids": ids,
        "calibration": None if learnt.calibration is None else asdict(learnt.calibration),
        "settings": {
            "views": known.views,
            "calibrate": known.calibrate,
            "thumbnails": bool(settings["thumbnails"]),
        },
        "fusion": None if learnt.fusion is known.method.fusion else fusion_as_text(learnt.fusion),
    }
    content["checksum"] = checksum(tensors, _texts(content))
    return tensors, content


@torch.no_grad()
def _restore(method: Method, tensors: dict[str, Tensor], content: dict[str, Any]) -> tuple[Knowledge, Settings]:
    device = next(method.parameters()).device
    check_content(content, _TEXTS)
    owners, names, ids, views = tensors["owners"], content["names"], content["ids"], content["settings"]["views"]
    thumbnails = _cut(tensors["thumbnails"].numpy().tobytes(), tensors["thumbnail_sizes"].tolist())
    check_thumbnails(thumbnails)
    check_owners(owners, len(content["labels"]))
    encoded = _encoded(method, tensors)
    if not len(encoded) == len(owners) * views or not len(owners) == len(names) == len(ids) == len(thumbnails):
        raise ValueError("photos, names and maps disagree")
    support = {}
    for number, label in enumerate(content["labels"]):
        mine = torch.nonzero(owners == number).flatten().tolist()
        own = encoded[[i * views + view for i in mine for view in range(views)]].each(lambda value: value.to(device))
        support[label] = Support(
            encoded=own,
            views=views,
            ids=tuple(ids[i] for i in mine),
            names=tuple(names[i] for i in mine),
            thumbnails=tuple(thumbnails[i] for i in mine),
            summary=summarised(method, own, views),
        )
    dtype = None if content["dtype"] is None else of_any_width(np.dtype(content["dtype"]))
    settings = content["settings"]
    supports = [support[label] for label in ordered(support)]  # in the order of the similarities
    left_out = _left_out(method, supports, ids, tensors["left_out"], tensors["similarities"])
    return Knowledge(method, support, dtype, learnt_from(method, content, left_out), settings["calibrate"]), settings


def _encoded(method: Method, tensors: dict[str, Tensor]) -> Encoded:
    """What the method keeps of the photos."""
    found = {name.removeprefix(_ENCODED): value for name, value in tensors.items() if name.startswith(_ENCODED)}
    side = method.preprocess.side
    blank = method.encode(torch.zeros(1, 3, side, side, device=next(method.parameters()).device))
    expected = method.keep(blank)
    shapes = {name: (value.dtype, value.shape[1:]) for name, value in found.items()}
    if shapes != {name: (value.dtype, value.shape[1:]) for name, value in expected.tensors.items()}:
        raise ValueError("the maps of its photos are not those of its method")
    encoded = Encoded(found)
    if not encoded.finite():
        raise ValueError("maps hold numbers that are not finite")
    return encoded


def _left_out(method: Method, supports: list[Support], ids: list[str], rows: Tensor, similarities: Tensor) -> LeftOut:
    """The leave-one-out results.

    Args:
        method: what compares.
        supports: the classes, in the order of all scores.
        ids: of all photos, as the file lists them.
        rows: (R,) which of them were left out.
        similarities: (R, N, L)
    """
    levels = method.level_names
    if rows.ndim != 1 or similarities.shape != (len(rows), len(supports), len(levels)):
        raise ValueError("the photos left out and their similarities disagree")
    if not bool((similarities.abs() <= _LARGEST).all()):  # nor is NaN
        raise ValueError("the similarities of photos left out are not finite or out of range")
    if not bool(((rows >= 0) & (rows < len(ids))).all()) or len(rows.unique()) < len(rows):
        raise ValueError("a photo is left out twice, or is not there")
    photos = [ids[row] for row in rows.tolist()]
    similarities = similarities.to(next(method.parameters()).device)
    owners = {photo: number for number, support in enumerate(supports) for photo in support.ids}
    return LeftOut(
        levels={level: similarities[:, :, number] for number, level in enumerate(levels)},
        truth=torch.tensor([owners[photo] for photo in photos], dtype=torch.int64, device=similarities.device),
        photos=tuple(photos),
        classes=tuple(support.ids for support in supports),
    )


def _cut(data: bytes, sizes: list[int]) -> list[bytes]:
    if sum(sizes) != len(data) or min(sizes, default=0) < 0:
        raise ValueError("thumbnails and their sizes disagree")
    return [data[start:end] for start, end in pairwise(accumulate(sizes, initial=0))]


def _texts(content: Mapping[str, Any]) -> dict[str, Any]:
    return {name: content.get(name) for name in _TEXTS}


def checksum(tensors: Mapping[str, Tensor], text: Mapping[str, Any]) -> str:
    """A hash of tensors on the processor and of JSON content."""
    whole = hashlib.sha256(json.dumps(text, sort_keys=True).encode())
    for name in sorted(tensors):
        whole.update(f"{name} {tuple(tensors[name].shape)}".encode())
        whole.update(tensors[name].numpy().tobytes())
    return whole.hexdigest()


def bytes_tensor(data: bytes) -> Tensor:
    """Bytes as a file of tensors holds them."""
    if not data:
        return torch.empty(0, dtype=torch.uint8)
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def plain_label(label: Any) -> str | int | float | bool:
    """A label as a file holds it.

    Raises:
        ValueError: it is no string, number or boolean.
    """
    # NumPy's dates become integers, or dates, according to their unit: none comes back as it was.
    value = label.item() if isinstance(label, np.generic) and label.dtype.kind not in "mM" else label
    if not isinstance(value, str | int | float):
        raise ValueError(f"label {label!r} cannot be saved; expected a string, a number or a boolean")
    return value
