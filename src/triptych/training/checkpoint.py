"""What a training run is resumed from: its checkpoint, whether it is the same run, and its best weights."""

import io
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from triptych.methods import read_method
from triptych.system.files import plain_path
from triptych.system.precision import PRECISIONS

__all__ = ["CHECKPOINT", "begun_in", "check_best", "check_same", "damaged", "read_checkpoint"]

CHECKPOINT = "checkpoint.pt"  # of a run's folder
_PHOTOS = {"data": "the train split", "validation": "the validation split"}  # whose hashes tell a reader nothing


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What ``Run`` saved.

    Raises:
        ValueError: it cannot be read, or is damaged.
    """
    try:
        content = plain_path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror or error})") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch remarks on how a file was written that is no checkpoint
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch.load raises many kinds
        # Without PyTorch's own words, which advise to run the file.
        raise damaged(path) from error
    if not isinstance(state, dict) or not isinstance(state.get("identity"), dict):
        raise damaged(path)
    return state


def begun_in(folder: Path, precision: str, resume: bool) -> str:
    """The precision of a run: of one that goes on what "auto" became when it began, on whatever processor.

    Args:
        folder: of the run.
        precision: that is asked for.
        resume: whether a run in the folder goes on.

    Raises:
        ValueError: its checkpoint cannot be read, or is damaged.

    >>> from triptych.training.checkpoint import begun_in
    >>> begun_in(Path("no-such-run"), "auto", resume=True)
    'auto'
    """
    checkpoint = folder / CHECKPOINT
    if precision != "auto" or not resume or not checkpoint.exists():
        return precision
    before = read_checkpoint(checkpoint)["identity"].get("precision")
    return before if before in PRECISIONS else precision


def damaged(path: Path) -> ValueError:
    """The error of a checkpoint that cannot be resumed."""
    return ValueError(f"{path}: damaged checkpoint; remove it to start anew")


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], options: Mapping[str, str]) -> None:
    """Refuse to go on with a run that was started differently.

    Args:
        folder: of the run.
        before: what it was started with.
        now: what must be the same.
        options: what the command calls the settings among them.

    Raises:
        ValueError: something differs.

    >>> from triptych.training.checkpoint import check_same
    >>> check_same("run", {"seed": 0, "shots": [1]}, {"seed": 0, "shots": [1, 5]}, {"shots": "--shot"})
    Traceback (most recent call last):
    ValueError: run: this run was started differently (--shot 1 -> 1 5); resume it as it was
    """
    old = {options.get(name, name): before.get(name) for name in now}
    new = {options.get(name, name): value for name, value in now.items()}
    if differences := ", ".join(_differences(old, new)):
        raise ValueError(f"{folder}: this run was started differently ({differences}); resume it as it was")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], of: str = "") -> Iterator[str]:
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name in _PHOTOS:
            yield f"the photos of {_PHOTOS[name]} have changed"
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _differences(old, new, f"{name} ")
        else:
            yield f"{of}{name} {_written(old)} -> {_written(new)}"


def _written(value: Any) -> str:
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join("none" if one is None else str(one) for one in values)[:100]


def check_best(file: Path, best: float) -> None:
    """Refuse to go on with a run whose best weights so far are lost: later ones may not be better.

    Args:
        file: where they were kept.
        best: what they were worth, minus infinity where there were none yet.

    Raises:
        ValueError: they are missing or damaged.
    """
    if best == -math.inf:
        return
    try:
        read_method(plain_path(file))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{file}: missing or damaged, and with it the best weights of the run; put them back, or remove "
            f"{CHECKPOINT} to start anew"
        ) from error
