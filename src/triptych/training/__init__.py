"""Training: classification on the training classes, then episodes."""

from typing import TYPE_CHECKING

from triptych.system.lazy import imported_when_used
from triptych.training.settings import (
    METHOD,
    PRESETS,
    Preset,
    PretrainSettings,
    RunSettings,
    TrainSettings,
)

if TYPE_CHECKING:
    from triptych.training.balance import balance_levels
    from triptych.training.closed_form import learn_closed_form
    from triptych.training.episodic import train
    from triptych.training.logger import Logger, LogStart
    from triptych.training.loggers import LOGGERS
    from triptych.training.pretraining import pretrain
    from triptych.training.ranks import LostProcessError, is_first_process
    from triptych.training.run import TrainingError
    from triptych.training.starting import chosen_preset, config_to_train, side_of

__all__ = [
    "LOGGERS",
    "METHOD",
    "PRESETS",
    "LogStart",
    "Logger",
    "LostProcessError",
    "Preset",
    "PretrainSettings",
    "RunSettings",
    "TrainSettings",
    "TrainingError",
    "balance_levels",
    "chosen_preset",
    "config_to_train",
    "is_first_process",
    "learn_closed_form",
    "pretrain",
    "side_of",
    "train",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "LOGGERS": "triptych.training.loggers",
        "LogStart": "triptych.training.logger",
        "Logger": "triptych.training.logger",
        "LostProcessError": "triptych.training.ranks",
        "TrainingError": "triptych.training.run",
        "balance_levels": "triptych.training.balance",
        "chosen_preset": "triptych.training.starting",
        "config_to_train": "triptych.training.starting",
        "is_first_process": "triptych.training.ranks",
        "learn_closed_form": "triptych.training.closed_form",
        "pretrain": "triptych.training.pretraining",
        "side_of": "triptych.training.starting",
        "train": "triptych.training.episodic",
    },
)
