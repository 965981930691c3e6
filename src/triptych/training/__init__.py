"""Training: classification on the training classes, then episodes."""

from typing import TYPE_CHECKING

from triptych.system.lazy import imported_when_used
from triptych.training.settings import METHOD, PRESETS, Preset, PretrainSettings, RunSettings, TrainSettings

if TYPE_CHECKING:
    from triptych.training.balance import balance_levels
    from triptych.training.closed_form import learn_closed_form
    from triptych.training.episodic import train
    from triptych.training.logger import Logger, LogStart
    from triptych.training.loggers import LOGGERS
    from triptych.training.pretraining import pretrain
    from triptych.training.run import TrainingError

__all__ = [
    "LOGGERS",
    "METHOD",
    "PRESETS",
    "LogStart",
    "Logger",
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

__getattr__ = imported_when_used(
    __name__,
    {
        "LOGGERS": "triptych.training.loggers",
        "LogStart": "triptych.training.logger",
        "Logger": "triptych.training.logger",
        "TrainingError": "triptych.training.run",
        "balance_levels": "triptych.training.balance",
        "learn_closed_form": "triptych.training.closed_form",
        "pretrain": "triptych.training.pretraining",
        "train": "triptych.training.episodic",
    },
)
