"""Evaluation: episodes, accuracy with its interval, the part of each level."""

from triptych.evaluation.ablation import per_level
from triptych.evaluation.accuracy import Accuracy
from triptych.evaluation.episodes import Episode, EpisodeSampler
from triptych.evaluation.evaluating import evaluate, evaluate_store, versions
from triptych.evaluation.settings import EvaluateSettings

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
