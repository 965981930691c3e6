"""What was learnt from photos left out, as text that a file holds."""

from typing import Any

import numpy as np
import torch

from triptych.fusion import Fusion, LevelFusion
from triptych.methods import Method
from triptych.recognizer.calibration import Calibration, Learnt
from triptych.recognizer.leaving_out import LeftOut
from triptych.recognizer.temperature import TEMPERATURES

__all__ = ["check_calibration", "fusion_as_text", "learnt_from"]


def learnt_from(method: Method, content: dict[str, Any], left_out: LeftOut) -> Learnt:
    """What was learnt, from how a file tells it."""
    fusion = method.fusion if content["fusion"] is None else _fusion_from_text(content["fusion"], method)
    calibration = content["calibration"]
    if calibration is not None:
        several = {name: tuple(calibration[name]) for name in ("known", "known_weights")}
        calibration = Calibration(**{**calibration, **several})
        if len(calibration.known_weights) != len(method.level_names) + len(method.absolute_levels):
            raise ValueError("the weights of what is known are not those of its levels")
    return Learnt(fusion, calibration, left_out)


def check_calibration(calibration: dict[str, Any] | None) -> None:
    """Refuse numbers that no leave-one-out gives.

    Raises:
        ValueError: there are such.
    """
    low, high = TEMPERATURES
    if calibration is not None and not (
        calibration["known"]
        and np.isfinite(calibration["known"]).all()
        and np.isfinite(calibration["known_weights"]).all()
        and all(low <= calibration[name] <= high for name in ("temperature", "left_out_temperature"))
        and all(0 <= calibration[name] <= 1 for name in ("accuracy", "ece_before", "ece"))
    ):
        raise ValueError("its calibration holds numbers that are not finite or out of range")


def fusion_as_text(fusion: Fusion) -> dict[str, Any]:
    """The numbers of a fusion, as JSON holds them."""
    return {name: value.tolist() for name, value in fusion.state_dict().items()}


def _fusion_from_text(text: dict[str, Any], method: Method) -> Fusion:
    fusion = LevelFusion(method.level_names)
    fusion.load_state_dict({name: torch.tensor(value) for name, value in text.items()})
    if not all(value.isfinite().all() for value in fusion.state_dict().values()):
        raise ValueError("its fusion holds no numbers")
    return fusion.to(next(method.parameters()).device)
