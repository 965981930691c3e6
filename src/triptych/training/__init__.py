"""Training: classification on the base classes, then episodes."""

from triptych.training.balance import balance_levels
from triptych.training.closed_form import learn_closed_form
from triptych.training.episodic import train
from triptych.training.pretraining import pretrain
from triptych.training.run import TrainingError
from triptych.training.settings import PRESETS, Preset, PretrainSettings, TrainSettings

__all__ = [
    "PRESETS",
    "Preset",
    "PretrainSettings",
    "TrainSettings",
    "TrainingError",
    "balance_levels",
    "learn_closed_form",
    "pretrain",
    "train",
]
