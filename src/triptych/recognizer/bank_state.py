"""What a bank knows of all its classes together, as bytes: numbers and text, which never run code."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.bank import Axes, Bank
from triptych.methods import Method, method_from_bytes, method_to_bytes
from triptych.recognizer.banked import Banked
from triptych.recognizer.file import bytes_tensor
from triptych.recognizer.knowledge import Knowledge, of_any_width
from triptych.recognizer.learnt_text import check_calibration, fusion_as_text, learnt_from
from triptych.recognizer.leaving_out import LeftOut
from triptych.system.devices import usable_device
from triptych.system.packed import pack, unpack

__all__ = ["open_bank", "state_bytes"]

_FORMAT = "triptych-bank"
_VERSION = 2
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
    return pack({name: value.cpu().contiguous() for name, value in tensors.items()}, _FORMAT, _VERSION, content)


def open_bank(place: str, device: str) -> tuple[Banked, dict[str, Any]]:
    """A bank that was fitted, and the settings of its recogniser.

    Raises:
        ValueError: there is none, or it is damaged or from a newer version.
        RuntimeError: LanceDB is not installed.
    """
    bank = Bank(place)
    tensors, content = unpack(bank.read_state(), _FORMAT, _VERSION, bank.place)
    if content["version"] < _VERSION:
        raise ValueError(f"{bank.place}: filled by an earlier triptych; remove it, and fit it anew")
    if "method" not in tensors:
        raise ValueError(f"{bank.place}: damaged: it holds no method; remove it, and fit it anew")
    data = tensors["method"].numpy().tobytes()
    method = method_from_bytes(data, f"{bank.place} (its method)").to(usable_device(device))
    try:
        settings = {name: content[name] for name in ("views", "calibrate", "thumbnails")}
        return _restored(bank, method, tensors, content), settings
    except ValueError as error:
        raise ValueError(f"{bank.place}: damaged ({error}); remove it, and fit it anew") from error
    except (AttributeError, ArithmeticError, KeyError, IndexError, TypeError, RuntimeError) as error:
        raise ValueError(f"{bank.place}: damaged: its parts do not fit together; remove it, and fit it anew") from error


def _restored(bank: Bank, method: Method, tensors: Mapping[str, Tensor], content: Mapping[str, Any]) -> Banked:
    device = next(method.parameters()).device
    if not all(one.isfinite().all() for one in tensors.values()):
        raise ValueError("it holds numbers that are not finite")
    check_calibration(content["calibration"])
    similarities = tensors["similarities"].to(device)
    levels = {level: similarities[:, :, number] for number, level in enumerate(method.level_names)}
    left_out = LeftOut(levels, tensors["truth"].to(device), tuple(content["left_out"]), ())
    common = {name.removeprefix(_COMMON): one.to(device) for name, one in tensors.items() if name.startswith(_COMMON)}
    dtype = None if content["dtype"] is None else of_any_width(np.dtype(content["dtype"]))
    shared = Knowledge(
        method, {}, dtype, learnt_from(method, dict(content), left_out), bool(content["calibrate"]), common
    )
    axes = Axes(tensors["centre"].to(device), tensors["axes"].to(device))
    return Banked(bank, shared, axes, int(content["views"]), int(content["photos"]))
