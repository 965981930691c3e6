"""Evaluation: episodes, accuracy with its interval, the part of each level."""

from typing import TYPE_CHECKING

from triptych.evaluation.settings import EvaluateSettings
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.evaluation.ablation import per_level
    from triptych.evaluation.accuracy import Accuracy
    from triptych.evaluation.episodes import Episode, EpisodeSampler
    from triptych.evaluation.evaluating import evaluate, evaluate_store, versions
    from triptych.evaluation.run_folder import CONFIG, check_evaluation_folder, config_text, write_evaluation_run

__all__ = [
    "CONFIG",
    "Accuracy",
    "Episode",
    "EpisodeSampler",
    "EvaluateSettings",
    "check_evaluation_folder",
    "config_text",
    "evaluate",
    "evaluate_store",
    "per_level",
    "versions",
    "write_evaluation_run",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "CONFIG": "triptych.evaluation.run_folder",
        "Accuracy": "triptych.evaluation.accuracy",
        "Episode": "triptych.evaluation.episodes",
        "EpisodeSampler": "triptych.evaluation.episodes",
        "check_evaluation_folder": "triptych.evaluation.run_folder",
        "config_text": "triptych.evaluation.run_folder",
        "evaluate": "triptych.evaluation.evaluating",
        "evaluate_store": "triptych.evaluation.evaluating",
        "per_level": "triptych.evaluation.ablation",
        "versions": "triptych.evaluation.evaluating",
        "write_evaluation_run": "triptych.evaluation.run_folder",
    },
)
