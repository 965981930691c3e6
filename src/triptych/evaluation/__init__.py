"""Evaluation: episodes, accuracy with its interval, the part of each level."""

from triptych.evaluation.episodes import Episode, EpisodeSampler
from triptych.evaluation.evaluate import BATCH, Accuracy, encode_images, evaluate, evaluate_store, per_level

__all__ = [
    "BATCH",
    "Accuracy",
    "Episode",
    "EpisodeSampler",
    "encode_images",
    "evaluate",
    "evaluate_store",
    "per_level",
]
