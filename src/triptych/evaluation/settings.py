"""Settings of an evaluation."""

from dataclasses import dataclass

from triptych.system.precision import check_precision

__all__ = ["EvaluateSettings"]


@dataclass(frozen=True)
class EvaluateSettings:
    """Which episodes, and how they are computed.

    Attributes:
        split: train, val or test, where the data has splits.
        way: classes in an episode.
        shot: support images of each class.
        queries: query images of each class.
        episodes: how many.
        seed: of the episodes.
        precision: auto, 32, bf16-search or bf16; see ``check_precision``.
        flips: use mirror images too; published figures do not.

    Raises:
        ValueError: a number below 1, or an unknown precision.

    >>> from triptych.evaluation import EvaluateSettings
    >>> EvaluateSettings(precision="fp8")
    Traceback (most recent call last):
    ValueError: unknown precision 'fp8'; expected one of auto, 32, bf16-search, bf16
    """

    split: str = "test"
    way: int = 5
    shot: int = 1
    queries: int = 15
    episodes: int = 2000
    seed: int = 0
    precision: str = "auto"
    flips: bool = False

    def __post_init__(self) -> None:
        check_precision(self.precision)
        for name in ("way", "shot", "queries", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
