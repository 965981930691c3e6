"""What a bank knows of all its classes together, as bytes: numbers and text, which never run code."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.bank import Axes, Bank
from triptych.methods import Method, method_from_bytes, method_to_bytes
from triptych.recognizer.banked import Banked
from triptych.recognizer.file import bytes_tensor, checksum
from triptych.recognizer.knowledge import Knowledge, of_any_width
from triptych.recognizer.learnt_text import check_calibration, fusion_as_text, learnt_from
from triptych.recognizer.leaving_out import LeftOut
from triptych.system.devices import usable_device
from triptych.system.packed import pack, unpack
from triptych.system.settings import FLAG, whole

__all__ = ["current", "open_bank", "state_bytes", "written"]

_FORMAT = "triptych-bank"
_VERSION = 3
_CHECKS = {"views": whole(1), "photos": whole(1), "calibrate": FLAG, "thumbnails": FLAG}
_LARGEST = 1e18  # the squares of larger numbers overflow in single precision
_COMMON = "common."


def state_bytes(known: Banked, thumbnails: bool) -> bytes:
    """What is known of all classes together."""
    shared, learnt = known.shared, known.learnt
    assert shared.common is not None
    tensors = {
        "method": bytes_tensor(method_to_bytes(shared.method, whole=False)),
        "centre": known.axes.centre,
        "axes": known.axes.axes,
        "similarities": torch.stack(list(learnt.left_out.levels.values()), dim=2),  # (R, N, L)
        "truth": learnt.left_out.truth,
        **{f"{_COMMON}{name}": value for name, value in shared.common.items()},
    }
    content = {
        "dtype": None if shared.dtype is None else shared.dtype.str,
        "calibration": None if learnt.calibration is None else asdict(learnt.calibration),
        "fusion": None if learnt.fusion is shared.method.fusion else fusion_as_text(learnt.fusion),
        "left_out": list(learnt.left_out.photos),
        "views": known.views,
        "photos": known.photos,
        "calibrate": shared.calibrate,
        "thumbnails": thumbnails,
    }
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    return pack(tensors, _FORMAT, _VERSION, {**content, "checksum": checksum(tensors, content)})


def written(known: Banked, thumbnails: bool) -> Banked:
    """Replace the state of the bank by what is known."""
    known.bank.write_state(state_bytes(known, thumbnails))
    return replace(known, state_version=known.bank.state_version, version=known.bank.version)


def current(known: Banked) -> Banked:
    """What is known now: another process may have changed the bank since.

    Raises:
        ValueError: the bank is damaged.
    """
    version, state_version = known.bank.version, known.bank.state_version
    if state_version[0] != known.state_version[0]:
        raise ValueError(f"{known.bank.place}: a bank that was fitted anew since it was opened; load it again")
    if state_version != known.state_version:
        return _read(known.bank, known.method)[0]
    return known if version == known.version else replace(known, version=version)


def open_bank(place: str, device: str) -> tuple[Banked, dict[str, Any]]:
    """A bank that was fitted, and the settings of its recogniser.

    Raises:
        ValueError: there is none, or it is damaged or from a newer version.
        RuntimeError: LanceDB is not installed.
    """
    return _read(Bank(place), usable_device(device))


def _read(bank: Bank, on: Method | torch.device) -> tuple[Banked, dict[str, Any]]:
    """What is known, and the settings; ``on`` is the method, which stays the same, or where to put it."""
    photos, state = bank.version, bank.state_version  # before what is read: a later one is read again
    tensors, content = unpack(bank.read_state(), _FORMAT, _VERSION, bank.place)
    if content.pop("version") < _VERSION:
        raise ValueError(f"{bank.place}: filled by an earlier triptych; remove it, and fit it anew")
    told = content.pop("checksum", None)
    text = {name: value for name, value in content.items() if name != "format"}
    if told != checksum(tensors, text):
        raise ValueError(f"{bank.place}: damaged or altered since it was written; take a copy, or fit it anew")
    if "method" not in tensors:
        raise ValueError(f"{bank.place}: damaged: it holds no method; remove it, and fit it anew")
    if isinstance(on, torch.device):
        method = method_from_bytes(tensors["method"].numpy().tobytes(), f"{bank.place} (its method)").to(on)
    else:
        method = on
    try:
        settings = {name: content[name] for name in ("views", "calibrate", "thumbnails")}
        known = _restored(bank, method, tensors, content)
    except ValueError as error:
        raise ValueError(f"{bank.place}: damaged ({error}); remove it, and fit it anew") from error
    except (AttributeError, ArithmeticError, KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(f"{bank.place}: damaged: its parts do not fit together; remove it, and fit it anew") from error
    bank.check(known.axes.axes.shape[1])
    return replace(known, version=photos, state_version=state), settings


def _restored(bank: Bank, method: Method, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> Banked:
    device = next(method.parameters()).device
    tensors = {name: one.to(device) for name, one in tensors.items() if name != "method"}
    if not all(bool((one.abs() <= _LARGEST).all()) for one in tensors.values()):  # nor is NaN
        raise ValueError("it holds numbers that are not finite or out of range")
    for name, check in _CHECKS.items():
        check.ask(f"its {name}", content[name])
    check_calibration(content["calibration"])
    left_out = _left_out(method, tensors, content["left_out"])
    common = {name.removeprefix(_COMMON): one for name, one in tensors.items() if name.startswith(_COMMON)}
    dtype = None if content["dtype"] is None else of_any_width(np.dtype(content["dtype"]))
    learnt = learnt_from(method, dict(content), left_out)
    shared = Knowledge(method, {}, dtype, learnt, content["calibrate"], common)
    return Banked(bank, shared, _axes(method, tensors), content["views"], content["photos"])


def _left_out(method: Method, tensors: Mapping[str, Tensor], photos: Any) -> LeftOut:
    """The leave-one-out results of R photos and N classes."""
    similarities, truth = tensors["similarities"], tensors["truth"]  # (R, N, L) and (R,)
    levels, float32 = method.level_names, similarities.dtype == torch.float32
    if similarities.ndim != 3 or (len(similarities), similarities.shape[2]) != (len(truth), len(levels)) or not float32:
        raise ValueError("the photos left out and their similarities disagree")
    if truth.dtype != torch.int64 or not bool(((truth >= 0) & (truth < similarities.shape[1])).all()):
        raise ValueError("a photo that was left out is of no class")
    if not isinstance(photos, list) or not all(isinstance(one, str) for one in photos) or len(photos) != len(truth):
        raise ValueError("the photos left out and their ids disagree")
    found = {level: similarities[:, :, number] for number, level in enumerate(levels)}
    return LeftOut(found, truth, tuple(photos), ())


@torch.no_grad()
def _axes(method: Method, tensors: Mapping[str, Tensor]) -> Axes:
    centre, axes, side = tensors["centre"], tensors["axes"], method.preprocess.side
    size = method.pooled(method.encode(torch.zeros(1, 3, side, side, device=axes.device))).shape[1]
    if centre.shape != (size,) or axes.ndim != 2 or len(axes) != size or {centre.dtype, axes.dtype} != {torch.float32}:
        raise ValueError("its axes are not those of its method's vectors")
    return Axes(centre, axes)
