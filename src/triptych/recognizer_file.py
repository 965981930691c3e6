"""The .triptych file: a fitted recogniser as numbers and text, safe to open from a stranger."""

import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.files import pack, unpack, write_whole
from triptych.methods import MML, method_from_bytes, method_to_bytes
from triptych.recognizer import Recognizer, Support

__all__ = ["read_recognizer", "write_recognizer"]

_FORMAT = "triptych-recognizer"
_VERSION = 1
_TENSORS = {"method": torch.uint8, "maps": torch.float16, "owners": torch.int64, "digests": torch.uint8}


def write_recognizer(recognizer: Recognizer, path: str | PathLike[str]) -> None:
    """Write a fitted recogniser, whole or not at all.

    Raises:
        ValueError: a label is no string, number or boolean.
        OSError: the file cannot be written.
    """
    labels = [_plain(label) for label in recognizer.support_]
    kept = list(recognizer.support_.values())
    digests = b"".join(digest for support in kept for digest in support.digests)
    tensors = {
        "method": _bytes_tensor(method_to_bytes(recognizer.method_)),
        "maps": torch.cat([support.maps for support in kept]).cpu().contiguous(),
        "owners": torch.repeat_interleave(torch.tensor([len(support.digests) for support in kept])),
        "digests": _bytes_tensor(digests).view(-1, 16),
    }
    dtype = recognizer._label_dtype
    content = {
        "labels": labels,
        "dtype": None if dtype is None else dtype.str,
        "names": [name for support in kept for name in support.names],
    }
    content["checksum"] = _checksum(tensors, content)
    write_whole(path, pack(tensors, _FORMAT, _VERSION, content))


def read_recognizer(path: str | PathLike[str], device: str = "cpu") -> Recognizer:
    """Read what ``write_recognizer`` wrote.

    Raises:
        ValueError: the file is missing, damaged, altered, or from a newer version; the message names it.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}; expected a .triptych file") from error
    tensors, content = unpack(data, _FORMAT, _VERSION, str(path))
    if {name: tensor.dtype for name, tensor in tensors.items()} != _TENSORS:
        raise ValueError(f"{path}: damaged: its contents are not those of a .triptych file; fit it anew")
    if _checksum(tensors, content) != content.get("checksum"):
        raise ValueError(f"{path}: damaged or altered since it was written; fit it anew or fetch it again")
    method = method_from_bytes(tensors["method"].numpy().tobytes(), f"{path} (its method)").to(device)
    try:
        return _restore(method, tensors, content)
    except (KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged: its parts do not fit together ({error}); fit it anew") from error


@torch.no_grad()
def _restore(method: MML, tensors: dict[str, Tensor], content: dict[str, Any]) -> Recognizer:
    device = next(method.parameters()).device
    maps, owners, names = tensors["maps"], tensors["owners"], content["names"]
    digests = [bytes(row) for row in tensors["digests"].numpy()]
    if not len(maps) == len(owners) == len(names) == len(digests) or not maps.isfinite().all():
        raise ValueError("photos, names and maps disagree")
    if maps.ndim != 4 or maps.shape[1] != method.backbone.channels:
        raise ValueError(f"maps of shape {tuple(maps.shape)} are not those of its backbone")
    support = {}
    for number, label in enumerate(content["labels"]):
        mine = torch.nonzero(owners == number).flatten()
        own_maps = maps[mine].to(device)
        support[label] = Support(
            maps=own_maps,
            digests=tuple(digests[i] for i in mine),
            names=tuple(names[i] for i in mine),
            summary=method.summarise(own_maps.float()),
        )
    dtype = None if content["dtype"] is None else np.dtype(content["dtype"])
    return Recognizer(method, str(device))._restore(method, support, dtype)


def _checksum(tensors: dict[str, Tensor], content: dict[str, Any]) -> str:
    text = {name: content.get(name) for name in ("labels", "dtype", "names")}
    whole = hashlib.sha256(json.dumps(text, sort_keys=True).encode())
    for name in sorted(tensors):
        whole.update(f"{name} {tuple(tensors[name].shape)}".encode())
        whole.update(tensors[name].numpy().tobytes())
    return whole.hexdigest()


def _bytes_tensor(data: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy())


def _plain(label: Any) -> str | int | float | bool:
    value = label.item() if isinstance(label, np.generic) else label
    if not isinstance(value, str | int | float):
        raise ValueError(f"label {label!r} cannot be saved; expected a string, a number or a boolean")
    return value
