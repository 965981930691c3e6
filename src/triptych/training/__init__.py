"""Training: classification on the base classes, then episodes."""

from triptych.training.balance import balance_levels
from triptych.training.base_classes import learn_base_classes
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
    "learn_base_classes",
    "pretrain",
    "train",
]
