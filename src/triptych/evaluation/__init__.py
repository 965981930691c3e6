"""Evaluation: episodes, accuracy with its interval, the part of each level."""

from typing import TYPE_CHECKING

from triptych.evaluation.settings import EpisodeSettings, EvaluateSettings
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.evaluation.ablation import per_level
    from triptych.evaluation.accuracy import Accuracy
    from triptych.evaluation.domains import domain_table, evaluate_domains
    from triptych.evaluation.episode_files import EpisodeFile, read_episodes, write_episodes
    from triptych.evaluation.episodes import Episode, EpisodeSampler
    from triptych.evaluation.evaluating import evaluate, evaluate_store
    from triptych.evaluation.run_folder import check_evaluation_folder, config_text, write_evaluation_run

__all__ = [
    "Accuracy",
    "Episode",
    "EpisodeFile",
    "EpisodeSampler",
    "EpisodeSettings",
    "EvaluateSettings",
    "check_evaluation_folder",
    "config_text",
    "domain_table",
    "evaluate",
    "evaluate_domains",
    "evaluate_store",
    "per_level",
    "read_episodes",
    "write_episodes",
    "write_evaluation_run",
]

__getattr__ = imported_when_used(
    __name__,
    {
        "Accuracy": "triptych.evaluation.accuracy",
        "Episode": "triptych.evaluation.episodes",
        "EpisodeFile": "triptych.evaluation.episode_files",
        "EpisodeSampler": "triptych.evaluation.episodes",
        "check_evaluation_folder": "triptych.evaluation.run_folder",
        "config_text": "triptych.evaluation.run_folder",
        "domain_table": "triptych.evaluation.domains",
        "evaluate": "triptych.evaluation.evaluating",
        "evaluate_domains": "triptych.evaluation.domains",
        "evaluate_store": "triptych.evaluation.evaluating",
        "per_level": "triptych.evaluation.ablation",
        "read_episodes": "triptych.evaluation.episode_files",
        "write_episodes": "triptych.evaluation.episode_files",
        "write_evaluation_run": "triptych.evaluation.run_folder",
    },
)
