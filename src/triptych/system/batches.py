"""Streams in batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

__all__ = ["in_batches"]

Item = TypeVar("Item")


def in_batches(items: Iterable[Item], count: int) -> Iterator[list[Item]]:
    """``count`` at a time, in order; the last batch may have fewer.

    >>> from triptych.system.batches import in_batches
    >>> list(in_batches("abc", 2))
    [['a', 'b'], ['c']]
    """
    stream = iter(items)
    while batch := list(islice(stream, count)):
        yield batch
