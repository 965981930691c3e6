"""Repeated splits of one folder: every class at once, and the same queries at every number of photos per class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from triptych.evaluation import Episode

__all__ = ["SplitSampler", "usable_shots"]


@dataclass(frozen=True)
class SplitSampler:
    """Draws splits by number: ``sampler[i]`` depends on the settings and i alone.

    A class of few photos keeps one to be asked about; the others are learnt from, up to the shot. A class of a single
    photo is learnt from and never asked about. The photos of a small shot are among those of a larger one, and the
    queries are the same: between two shots only the number of photos changes.

    Attributes:
        labels: (B,) the class of each photo, 0..N-1, each at least once.
        shots: photos per class to learn from, at most.
        queries: photos asked about per class, at most.
        asked: photos asked about in a split, at most; a random part of them beyond that.
        seed: two samplers with the same settings and seed draw the same splits.

    Raises:
        ValueError: fewer than two classes, or no class with a second photo.

    Examples:
        >>> import numpy as np
        >>> from triptych.comparison.splits import SplitSampler
        >>> split = SplitSampler(np.array([0, 0, 0, 1, 1]), shots=(1, 2), queries=1)[0]
        >>> {shot: (len(episode.support), len(episode.query)) for shot, episode in split.items()}
        {1: (2, 2), 2: (3, 2)}
    """

    labels: Int64[np.ndarray, " B"]
    shots: tuple[int, ...]
    queries: int = 5
    asked: int = 1_000_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("queries", "asked"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        _check(self.shots)
        counts = np.bincount(self.labels)
        if len(counts) < 2:
            raise ValueError(f"expected photos of at least two classes, got {len(counts)}; recognition is a choice")
        if counts.max() < 2:
            raise ValueError("every class has a single photo, so none is left to ask about; add photos to some class")

    def __getitem__(self, number: int) -> dict[int, Episode]:
        """Shot -> the episode of split ``number``, a whole number >= 0."""
        rng = np.random.default_rng([self.seed, number])
        drawn = [rng.permutation(np.flatnonzero(self.labels == n)) for n in range(self.labels.max() + 1)]
        held = [self._held_out(len(photos)) for photos in drawn]
        query = np.concatenate([photos[len(photos) - k :] for photos, k in zip(drawn, held, strict=True)])
        query = np.sort(rng.permutation(query)[: self.asked])
        lent = [photos[: len(photos) - k] for photos, k in zip(drawn, held, strict=True)]
        return {shot: self._episode([photos[:shot] for photos in lent], query) for shot in self.shots}

    def _held_out(self, photos: int) -> int:
        return min(self.queries, max(1, photos - max(self.shots))) if photos > 1 else 0

    def _episode(self, support: list[np.ndarray], query: np.ndarray) -> Episode:
        known = np.concatenate(support)
        return Episode(known, self.labels[known], query, self.labels[query])


def usable_shots(counts: Sequence[int], wanted: Sequence[int]) -> tuple[int, ...]:
    """Those of the wanted shots that at least half of the classes have photos for, one more to be asked about.

    The least of them is always used.

    >>> from triptych.comparison.splits import usable_shots
    >>> usable_shots([3, 7, 30], wanted=(1, 2, 5, 10))
    (1, 2, 5)
    """
    _check(wanted)
    ordered = sorted(set(wanted))
    enough = [shot for shot in ordered if 2 * sum(count > shot for count in counts) >= len(counts)]
    return tuple(enough or ordered[:1])


def _check(shots: Sequence[int]) -> None:
    if not shots or min(shots) < 1:
        raise ValueError(f"shots must be one or more numbers of at least 1, got {tuple(shots)}")
