"""Method files that were written before: version 1, which held MML alone, and settings that had other names."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["renamed_settings", "upgraded"]

_PREPROCESSING = ("side", "mean", "std")
_PLDA = ("origin", "axes", "between")
_NAMES = {"base_classes": "plda_classes"}  # before -> now


def renamed_settings(config: Any) -> Any:
    """A configuration of a file with the names that its settings have now.

    >>> from triptych.methods.legacy import renamed_settings
    >>> renamed_settings({"base_classes": 64, "pixel_k": 1})
    {'plda_classes': 64, 'pixel_k': 1}
    """
    return {_NAMES.get(name, name): value for name, value in config.items()} if isinstance(config, Mapping) else config


def upgraded(
    state: Mapping[str, Tensor], content: Mapping[str, Any], name: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights and content of version 1 as those of version 2, with the same logits.

    In version 1, PLDA was a part of the distribution level with a weight of its own. It becomes the level "plda".

    Raises:
        ValueError: a configuration that version 1 did not write.
    """
    try:
        config = dict(content["config"])
        config["preprocessing"] = {key: config.pop(key) for key in _PREPROCESSING if key in config}
        weights = dict(state)
        if config.get("base_classes") is not None:
            config["levels"] = [*config["levels"], "plda"]
            weights = _with_plda(weights, config["levels"].index("distribution"))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{name}: its configuration cannot be read ({error})") from error
    return weights, {"method": "mml", "config": config}


def _with_plda(state: dict[str, Tensor], distribution: int) -> dict[str, Tensor]:
    """PLDA as a level of its own, with the same share of the logits."""
    weight = float(state.pop("base.weight"))
    if not 0 < weight < math.inf:
        raise ValueError(f"the weight of its PLDA is {weight}; expected a number above 0")
    state |= {f"scorers.plda.{name}": state.pop(f"base.{name}") for name in _PLDA}
    spread, temperature, share = (state[f"fusion.{name}"] for name in ("spread", "log_temperature", "log_weight"))
    scale = float((share + temperature)[distribution].exp() / spread[distribution]) * weight
    state["fusion.spread"] = torch.cat([spread, spread.new_ones(1)])
    state["fusion.log_temperature"] = torch.cat([temperature, temperature.new_zeros(1)])
    state["fusion.log_weight"] = torch.cat([share, share.new_tensor([math.log(scale)])])
    return state
