"""Precision: one vocabulary for every command, and whether half precision is worth it on this machine."""

import os
import time
import warnings
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch  # imported where it is used: commands list their options without it

__all__ = ["PRECISIONS", "PRECISION_HELP", "check_precision", "half_speed", "resolve_precision"]

PRECISIONS = ("auto", "32", "bf16-search", "bf16")
PRECISION_HELP = "32; bf16-search: fast, answers all but the same; bf16: fastest; auto: what pays here."
_SETTING = "TRIPTYCH_HALF"  # overrules the probe
_SIDE, _TRIES = 512, 5  # of the probe's product: large enough that starting threads does not count
_HOPELESS = 5.0  # times as slow in two tries: where bfloat16 is emulated, a try takes a third of a second
_WORTH_IT = 1.2  # times as fast: less is no reason to round
_PROBING = Lock()  # two probes at once would slow each other down


def check_precision(precision: str) -> None:
    """Refuse what is no precision.

    - ``32``: float32 throughout.
    - ``bf16-search``: nearest descriptors are sought in bfloat16; the same answers but for one in thousands.
    - ``bf16``: feature maps are computed in bfloat16 too.
    - ``auto``: half precision where a probe finds it faster; see ``resolve_precision``.

    Raises:
        ValueError: another name.

    >>> from triptych.system.precision import check_precision
    >>> check_precision("fp8")
    Traceback (most recent call last):
    ValueError: unknown precision 'fp8'; expected one of auto, 32, bf16-search, bf16
    """
    if precision not in PRECISIONS:
        raise ValueError(f"unknown precision {precision!r}; expected one of {', '.join(PRECISIONS)}")


def resolve_precision(precision: str, device: str, half: str = "bf16-search") -> str:
    """What a precision is on a device: one of ``PRECISIONS`` but "auto".

    "auto" is ``half`` where half precision is faster, else "32". Asked for by name where it is slower, half precision
    is granted with a warning that says how slow it is.

    Args:
        precision: one of ``PRECISIONS``.
        device: "cpu" or "cuda".
        half: what "auto" may become: "bf16-search" to evaluate, "bf16" to train.

    Raises:
        ValueError: an unknown precision, or setting of ``TRIPTYCH_HALF``.

    >>> from triptych.system.precision import resolve_precision
    >>> resolve_precision("32", "cpu")
    '32'
    """
    check_precision(precision)
    if precision == "32":
        return precision
    speed = half_speed(device)
    if precision == "auto":
        return half if speed >= _WORTH_IT else "32"
    if speed < 1:
        _warn_of_slowness(precision, speed)
    return precision


def half_speed(device: str) -> float:
    """How many times as fast as float32 a product in bfloat16 is, timed once in a process.

    No flag of the processor is trusted: some emulate bfloat16, some run it faster than they say. The environment
    variable ``TRIPTYCH_HALF`` overrules the probe: ``always``, ``never``, or ``auto`` for the probe.

    Raises:
        ValueError: another setting.
    """
    setting = os.environ.get(_SETTING, "auto")
    if setting not in {"auto", "always", "never"}:
        raise ValueError(f"{_SETTING} is {setting!r}; expected always, never or auto")
    if setting != "auto":
        return float("inf") if setting == "always" else 1.0
    if device.startswith("cuda"):
        import torch

        return float("inf") if torch.cuda.is_bf16_supported(including_emulation=False) else 1.0
    with _PROBING:
        return _probe()


@cache  # said once in a process: each stage of a command resolves its precision
def _warn_of_slowness(precision: str, speed: float) -> None:
    warnings.warn(
        f"precision {precision}: half precision is {1 / speed:.1f} times slower than float32 on this processor; "
        "use auto or 32",
        stacklevel=3,
    )


@cache
def _probe() -> float:
    import torch

    single, half = (torch.ones(_SIDE, _SIDE, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    least = _seconds(single, enough=float("inf"))
    return least / _seconds(half, enough=_HOPELESS * least)


def _seconds(matrix: "torch.Tensor", enough: float) -> float:
    """The least of a few products, the first of which prepares a kernel; of two if both take more than ``enough``."""
    taken = []
    for _ in range(_TRIES):
        started = time.perf_counter()
        matrix @ matrix
        taken.append(time.perf_counter() - started)
        if len(taken) > 1 and min(taken) > enough:
            break
    return max(min(taken), 1e-9)
