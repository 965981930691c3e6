"""What was learnt from photos left out, as text that a file holds."""

from dataclasses import fields
from typing import Any

import torch

from triptych.fusion import Fusion, LevelFusion
from triptych.methods import Method
from triptych.recognizer.calibration import Calibration, Learnt
from triptych.recognizer.leaving_out import LeftOut
from triptych.recognizer.temperature import TEMPERATURES

__all__ = ["check_calibration", "fusion_as_text", "learnt_from"]

_SEVERAL = ("known", "known_weights")
_LARGEST = 1e30  # number: its square, and the sum of many, are finite


def learnt_from(method: Method, content: dict[str, Any], left_out: LeftOut) -> Learnt:
    """What was learnt, from how a file tells it."""
    fusion = method.fusion if content["fusion"] is None else _fusion_from_text(content["fusion"], method)
    calibration = content["calibration"]
    if calibration is not None:
        several = {name: tuple(calibration[name]) for name in _SEVERAL}
        calibration = Calibration(**{**calibration, **several})
        if len(calibration.known_weights) != len(method.level_names) + len(method.absolute_levels):
            raise ValueError("the weights of what is known are not those of its levels")
    return Learnt(fusion, calibration, left_out)


def check_calibration(calibration: dict[str, Any] | None) -> None:
    """Refuse numbers that no leave-one-out gives.

    Raises:
        ValueError: there are such.
    """
    if calibration is None:
        return
    if not isinstance(calibration, dict) or calibration.keys() != {one.name for one in fields(Calibration)}:
        raise ValueError("its calibration has other parts than one that was learnt")
    if not (
        all(isinstance(calibration[name], list) for name in _SEVERAL)
        and calibration["known"]
        and all(_is_within(value, -_LARGEST, _LARGEST) for name in _SEVERAL for value in calibration[name])
        and calibration["known"] == sorted(calibration["known"])
        and all(_is_within(calibration[name], *TEMPERATURES) for name in ("temperature", "left_out_temperature"))
        and all(_is_within(calibration[name], 0, 1) for name in ("accuracy", "ece_before", "ece"))
    ):
        raise ValueError("its calibration holds numbers that are not finite or out of range")


def _is_within(value: Any, low: float, high: float) -> bool:
    return type(value) in (int, float) and low <= value <= high


def fusion_as_text(fusion: Fusion) -> dict[str, Any]:
    """The numbers of a fusion, as JSON holds them."""
    return {name: value.tolist() for name, value in fusion.state_dict().items()}


def _fusion_from_text(text: Any, method: Method) -> Fusion:
    fusion = LevelFusion(method.level_names)
    own = fusion.state_dict()
    if not isinstance(text, dict) or text.keys() != own.keys():
        raise ValueError("its fusion has other parts than one that was learnt")
    try:
        numbers = {name: torch.tensor(text[name], dtype=value.dtype) for name, value in own.items()}
    except (TypeError, ValueError, RuntimeError, OverflowError) as error:
        raise ValueError("its fusion holds no numbers") from error
    if any(numbers[name].shape != value.shape for name, value in own.items()):
        raise ValueError("its fusion is of other levels")
    fusion.load_state_dict(numbers)
    scores = fusion(dict.fromkeys(method.level_names, torch.eye(2)))  # of plain numbers
    if not bool(scores.isfinite().all()) or bool((fusion.spread <= 0).any()):
        raise ValueError("its fusion holds numbers that are not finite or out of range")
    return fusion.to(next(method.parameters()).device)
