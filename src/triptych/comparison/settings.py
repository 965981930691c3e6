"""Settings of a comparison. Each field says what it is for: the help of its option."""

from dataclasses import dataclass

from triptych.system.precision import PRECISION_HELP, PRECISIONS
from triptych.system.settings import LARGEST_SEED, check_settings, each, one_of, setting, whole

__all__ = ["CompareSettings"]

_MOST = 1_000_000  # photos of a class, to learn from or asked about


@dataclass(frozen=True)
class CompareSettings:
    """How often photos are split, and how the contenders are computed.

    >>> from triptych.comparison import CompareSettings
    >>> CompareSettings(repeats=1)
    Traceback (most recent call last):
    ValueError: repeats must be a whole number from 2 to 1000, got 1
    """

    repeats: int = setting(10, "Random splits.", whole(2, 1000))  # an interval needs two
    shots: tuple[int, ...] = setting(
        (1, 2, 5, 10),
        "Photos of each class to learn from. Give it again for more. Those that too few classes have photos for "
        "are left out. Default: 1, 2, 5, 10.",
        each(whole(1, _MOST), fewest=1),
        option="shot",
    )
    queries: int = setting(5, "Photos of each class asked about in a split, at most.", whole(1, _MOST))
    seed: int = setting(0, "Seed of the random draws.", whole(0, LARGEST_SEED))
    precision: str = setting("auto", PRECISION_HELP, one_of(*PRECISIONS))

    def __post_init__(self) -> None:
        check_settings(self)
