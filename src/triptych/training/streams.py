"""Random numbers of a run: each use draws from a stream of its own."""

from enum import IntEnum

import numpy as np

__all__ = ["Stream", "stream"]


class Stream(IntEnum):
    """What random numbers are for. Never change a number: a run that was begun with it draws others then."""

    ORDER = 1
    IMAGES = 2
    EPISODES = 3
    POSITIONS = 4
    DROPOUT = 5


def stream(seed: int, use: Stream, *place: int) -> np.random.Generator:
    """The random numbers of a use at a place, such as the number of an episode, whatever was drawn before.

    >>> from triptych.training.streams import Stream, stream
    >>> stream(0, Stream.ORDER, 3).integers(100) == stream(0, Stream.ORDER, 3).integers(100)
    np.True_
    """
    return np.random.default_rng([seed, use, *place])
