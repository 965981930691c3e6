"""Episodes: an episode is indices into a store; the sampler is seeded and has no state."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from triptych.system.settings import whole

__all__ = ["Episode", "EpisodeSampler"]


@dataclass(frozen=True)
class Episode:
    """One N-way task.

    Attributes:
        support: (S,) indices of the support images, class after class.
        support_labels: (S,) their classes, 0..N-1.
        query: (Q,) indices of the query images; none is a support image.
        query_labels: (Q,) their classes, 0..N-1.

    >>> import numpy as np
    >>> from triptych.evaluation import Episode
    >>> episode = Episode(np.array([3, 7]), np.array([0, 1]), np.array([4, 8, 9]), np.array([0, 1, 1]))
    >>> episode.images
    array([3, 7, 4, 8, 9])
    """

    support: np.ndarray
    support_labels: np.ndarray
    query: np.ndarray
    query_labels: np.ndarray

    @property
    def images(self) -> np.ndarray:
        """(S + Q,) indices of the support images, then of the query images."""
        return np.concatenate([self.support, self.query])

    def at(self, place: np.ndarray) -> "Episode":
        """The same task where image i of the store lies at ``place[i]``."""
        return Episode(place[self.support], self.support_labels, place[self.query], self.query_labels)


@dataclass(frozen=True)
class EpisodeSampler:
    """Draws episodes by number: ``sampler[i]`` depends on the seed and i alone.

    Attributes:
        labels: (B,) the class of each image of the store.
        way: N, classes in an episode.
        shot: K, support images of each class.
        queries: query images of each class.
        seed: two samplers with the same settings and seed draw the same episodes.
        classes: names for messages, by label.

    Raises:
        ValueError: a setting that is no whole number, fewer classes than the way, or a class with fewer images than
            shot + queries.

    >>> import numpy as np
    >>> from triptych.evaluation import EpisodeSampler
    >>> sampler = EpisodeSampler(np.arange(6).repeat(20), way=5, shot=1, queries=15)
    >>> episode = sampler[7]
    >>> episode.support_labels, len(episode.query)
    (array([0, 1, 2, 3, 4]), 75)
    >>> bool((episode.images == sampler[7].images).all())
    True
    """

    labels: np.ndarray
    way: int = 5
    shot: int = 1
    queries: int = 15
    seed: int = 0
    classes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for name, check in (("way", whole(2)), ("shot", whole(1)), ("queries", whole(1)), ("seed", whole(0))):
            check.ask(name, getattr(self, name))
        classes = len(self._members)
        if classes < 2:
            raise ValueError(f"episodes need at least 2 classes; the data has {classes}: add classes")
        if classes < self.way:
            raise ValueError(
                f"{self.way}-way episodes need {self.way} classes; the data has {classes}: "
                "choose a smaller way or add classes"
            )
        needed = self.shot + self.queries
        for label, members in self._members.items():
            if len(members) < needed:
                name = repr(self.classes[label]) if len(self.classes) else str(label)
                raise ValueError(
                    f"class {name} has {len(members)} images; {self.shot} shots and {self.queries} queries "
                    f"need {needed}: add images, or ask for fewer shots or queries"
                )

    @cached_property
    def _members(self) -> dict[int, np.ndarray]:
        """The images of each class."""
        return {label: np.flatnonzero(self.labels == label) for label in np.unique(self.labels).tolist()}

    def __getitem__(self, number: int) -> Episode:
        """Episode ``number``, a whole number >= 0."""
        whole(0).ask("the number of an episode", number)
        rng = np.random.default_rng([self.seed, number])
        members = list(self._members.values())
        chosen = rng.choice(len(members), self.way, replace=False)
        drawn = np.stack(
            [rng.choice(members[c], self.shot + self.queries, replace=False) for c in chosen]
        )  # (N, K + queries)
        order = np.arange(self.way)
        return Episode(
            support=drawn[:, : self.shot].ravel(),
            support_labels=order.repeat(self.shot),
            query=drawn[:, self.shot :].ravel(),
            query_labels=order.repeat(self.queries),
        )
