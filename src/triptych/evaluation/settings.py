"""Settings of an evaluation. Each field says what it is for: the help of its option."""

from dataclasses import dataclass

from triptych.system.precision import PRECISION_HELP, PRECISIONS
from triptych.system.settings import FLAG, LARGEST_SEED, NAME, check_settings, one_of, setting, whole

__all__ = ["EpisodeSettings", "EvaluateSettings"]


@dataclass(frozen=True)
class EpisodeSettings:
    """Which episodes.

    >>> from triptych.evaluation import EpisodeSettings
    >>> EpisodeSettings(way=10).shot
    1
    """

    split: str = setting("test", "train, val or test, where the data has splits.", NAME)
    way: int = setting(5, "Classes in an episode.", whole(2))
    shot: int = setting(1, "Photos of each class to learn from.", whole(1))
    queries: int = setting(15, "Photos of each class asked about in an episode.", whole(1))
    episodes: int = setting(2000, "Number of episodes.", whole(1, 1_000_000))
    seed: int = setting(0, "Seed of the random draws.", whole(0, LARGEST_SEED))

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class EvaluateSettings(EpisodeSettings):
    """Which episodes, and how they are computed.

    >>> from triptych.evaluation import EvaluateSettings
    >>> EvaluateSettings(precision="fp8")
    Traceback (most recent call last):
    ValueError: precision must be one of auto, 32, bf16-search, bf16, got 'fp8'
    """

    precision: str = setting("auto", PRECISION_HELP, one_of(*PRECISIONS))
    flips: bool = setting(False, "Use mirror images too; published figures do not.", FLAG)
