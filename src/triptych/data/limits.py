"""How much is read and decoded at once, over all threads together."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition

from triptych.system.settings import number

__all__ = ["BYTES_PER_PIXEL", "Limits", "Memory", "current_limits", "decoding_memory"]

_MOST = 1e9  # million bytes or pixels
BYTES_PER_PIXEL = 8  # decoded and in RGB, or in RGB and turned upright: Pillow has four bytes a pixel for each


@dataclass(frozen=True)
class Limits:
    """What a single photo may be.

    The environment variables ``TRIPTYCH_MAX_MEGABYTES`` and ``TRIPTYCH_MAX_MEGAPIXELS`` set them.

    Attributes:
        megabytes: of a photo's file.
        megapixels: of a photo as it is decoded; some formats need more memory a pixel and may have fewer. A JPEG
            that is decoded at a reduced scale may have ten times as many.

    >>> from triptych.data import Limits
    >>> Limits().megapixels
    60.0
    >>> Limits(megabytes=0.0)
    Traceback (most recent call last):
    ValueError: megabytes must be a number above 0 and at most 1e+09, got 0.0
    """

    megabytes: float = 200.0
    megapixels: float = 60.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            number(0, _MOST, above=True).ask(name, value)

    @property
    def memory(self) -> int:
        """Bytes that all photos that are being decoded may take together."""
        return int(self.megapixels * 1e6) * BYTES_PER_PIXEL


def current_limits() -> Limits:
    """The limits that the environment sets.

    Raises:
        ValueError: a variable holds no number above 0.
    """
    return Limits(
        _number("TRIPTYCH_MAX_MEGABYTES", Limits.megabytes), _number("TRIPTYCH_MAX_MEGAPIXELS", Limits.megapixels)
    )


class Memory:
    """A number of bytes that threads share; who needs more than is free waits."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._taken = 0

    @contextmanager
    def holding(self, amount: int, most: int) -> Iterator[None]:
        """Wait until ``amount`` of ``most`` bytes is free, and hold it; a thread must not ask again meanwhile."""
        with self._changed:
            self._changed.wait_for(lambda: self._taken == 0 or self._taken + amount <= most)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()


decoding_memory = Memory()


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable, "").strip()
    try:
        value = float(text) if text else default
    except ValueError:
        value = math.nan
    if not 0 < value <= _MOST:  # nor is NaN
        raise ValueError(f"{variable} is {text!r}; expected a number above 0 and at most {_MOST:g}")
    return value
