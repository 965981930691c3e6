"""Training: classification on the base classes, then episodes."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from triptych.training.settings import PRESETS, Preset, PretrainSettings, RunSettings, TrainSettings

if TYPE_CHECKING:
    from triptych.training.balance import balance_levels
    from triptych.training.closed_form import learn_closed_form
    from triptych.training.episodic import train
    from triptych.training.pretraining import pretrain
    from triptych.training.run import TrainingError

__all__ = [
    "PRESETS",
    "Preset",
    "PretrainSettings",
    "RunSettings",
    "TrainSettings",
    "TrainingError",
    "balance_levels",
    "learn_closed_form",
    "pretrain",
    "train",
]

_HOMES = {
    "TrainingError": "triptych.training.run",
    "balance_levels": "triptych.training.balance",
    "learn_closed_form": "triptych.training.closed_form",
    "pretrain": "triptych.training.pretraining",
    "train": "triptych.training.episodic",
}


def __getattr__(name: str) -> Any:
    # Imported when first used: the options of a command are settings, and its help must not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'triptych.training' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
