"""Evaluation: episodes, accuracy with its interval, the part of each level."""

from typing import TYPE_CHECKING

from triptych.evaluation.settings import EvaluateSettings
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.evaluation.ablation import per_level
    from triptych.evaluation.accuracy import Accuracy
    from triptych.evaluation.episodes import Episode, EpisodeSampler
    from triptych.evaluation.evaluating import evaluate, evaluate_store, versions

__all__ = [
    "Accuracy",
    "Episode",
    "EpisodeSampler",
    "EvaluateSettings",
    "evaluate",
    "evaluate_store",
    "per_level",
    "versions",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "Accuracy": "triptych.evaluation.accuracy",
        "Episode": "triptych.evaluation.episodes",
        "EpisodeSampler": "triptych.evaluation.episodes",
        "evaluate": "triptych.evaluation.evaluating",
        "evaluate_store": "triptych.evaluation.evaluating",
        "per_level": "triptych.evaluation.ablation",
        "versions": "triptych.evaluation.evaluating",
    },
)
