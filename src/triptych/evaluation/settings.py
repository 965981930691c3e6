"""Settings of an evaluation."""

from dataclasses import dataclass

__all__ = ["EvaluateSettings"]

PRECISIONS = ("32", "bf16-search", "bf16")


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
        precision: "32"; "bf16-search", which seeks nearest neighbours in bfloat16 and gives the same answers but
            for one in thousands; or "bf16", which computes the feature maps in bfloat16 too.
        flips: use mirror images too; published figures do not.

    Raises:
        ValueError: a number below 1, or an unknown precision.

    >>> from triptych.evaluation import EvaluateSettings
    >>> EvaluateSettings(precision="fp8")
    Traceback (most recent call last):
    ValueError: unknown precision 'fp8'; expected one of 32, bf16-search, bf16
    """

    split: str = "test"
    way: int = 5
    shot: int = 1
    queries: int = 15
    episodes: int = 2000
    seed: int = 0
    precision: str = "32"
    flips: bool = False

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"unknown precision {self.precision!r}; expected one of {', '.join(PRECISIONS)}")
        for name in ("way", "shot", "queries", "episodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
