"""Leave-one-out on the user's own photos: each is recognised by the others."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.methods import Method, Summary
from triptych.support import Support, picked, restored
from triptych.system.progress import track

__all__ = ["LeftOut", "even_shares", "leave_one_out", "most_left_out"]

_MOST = 256
_LEAST = 32
_COMPARISONS = 60_000  # photos left out times photos there are: about a quarter of a minute of Conv-64F on two cores
_CONV64F = 64 * 441 * (64 + 441)  # the work of comparing two of its maps
_CALL = 1.6  # comparisons of Conv-64F maps that take as long as turning from one class to the next

Pair = tuple[str, tuple[str, ...]]  # a photo, and the photos of the class that it was compared with


@dataclass(frozen=True)
class LeftOut:
    """Similarities of photos left out to all classes, each of which lacks one photo.

    Attributes:
        levels: level -> (R, N) similarities.
        truth: (R,) the class of each photo left out.
        photos: (R,) their ids.
        classes: (N,) the ids of all photos of each class.

    >>> import torch
    >>> from triptych.recognizer.leaving_out import LeftOut
    >>> classes = (("p", "q"), ("r",))
    >>> left_out = LeftOut({"pixel": torch.tensor([[3.0, 1.0]])}, torch.tensor([0]), ("p",), classes)
    >>> left_out.pairs()
    {('p', ('q',)): (0, 0), ('p', ('r',)): (0, 1)}
    """

    levels: dict[str, Float[Tensor, "R N"]]
    truth: Int64[Tensor, " R"]
    photos: tuple[str, ...]
    classes: tuple[tuple[str, ...], ...]

    def pairs(self) -> dict[Pair, tuple[int, int]]:
        """(a photo, the photos of a class) -> row and column of their similarities."""
        return {
            (photo, _compared(ids, photo if column == own else None)): (row, column)
            for row, (photo, own) in enumerate(zip(self.photos, self.truth.tolist(), strict=True))
            for column, ids in enumerate(self.classes)
        }


@torch.no_grad()
def leave_one_out(
    method: Method,
    supports: Sequence[Support],
    before: LeftOut | None = None,
    most: int | None = None,
    panel: int | None = None,
) -> LeftOut:
    """Compare support photos with all classes, each without one photo.

    The photo itself is taken out of its class, and the last photo out of every other class, so that no class has an
    advantage. Otherwise recognition would look harder than it is, and the probabilities would be too low. The photo of
    a class that has no other is not left out. Of more than ``most`` photos, each class has its share.

    Args:
        method: what compares.
        supports: the classes.
        before: leave-one-out results of the previous state, by the same method. Pairs of a photo and a class that did
            not change are taken from it. The result is the same bit for bit, as each pair is compared by itself.
            Methods that are not ``separable`` compare all of them again; in a shorter way if they know one
            (``Method.left_out``).
        most: how many photos are left out at most; by default ``most_left_out``.
        panel: with how many photos of a class each is compared at most, the first ones; by default all.
    """
    taken = _shares(supports, most_left_out(method, supports) if most is None else most)
    asked = [(own, photo) for own, count in enumerate(taken) for photo in range(count)]
    rows = list(track(_rows(method, supports, asked, before, panel), "leaving out", total=len(asked)))
    device = supports[0].encoded.device
    nothing = torch.empty(0, len(supports), device=device)
    return LeftOut(
        levels={level: torch.stack([row[level] for row in rows]) if rows else nothing for level in method.level_names},
        truth=torch.tensor([own for own, _ in asked], dtype=torch.int64, device=device),
        photos=tuple(supports[own].ids[photo] for own, photo in asked),
        classes=tuple(support.ids for support in supports),
    )


def _rows(
    method: Method,
    supports: Sequence[Support],
    asked: Sequence[tuple[int, int]],
    before: LeftOut | None,
    panel: int | None,
) -> Iterable[dict[str, Float[Tensor, " N"]]]:
    """The similarities of each photo, in the way that suits the method."""
    if not method.separable and asked:
        learnt = [_first(method, support, panel) for support in supports]
        photos = (restored(method, supports[own], photo) for own, photo in asked)
        found = method.left_out(learnt, asked, photos, supports[0].views)
        if found is not None:
            return found
    summaries = _Summaries(method, supports, panel)
    compare = _Pairs(summaries, before) if method.separable else _Whole(summaries)
    return (compare(own, photo) for own, photo in asked)


def _first(method: Method, support: Support, panel: int | None) -> Summary:
    """The summary of the first ``panel`` photos, with which others are compared, and of one more as a substitute."""
    count = min(len(support), (len(support) if panel is None else panel) + 1)
    return (
        support.summary if count == len(support) and support.summary else picked(method, support, range(count)).summary
    )


class _Summaries:
    """What is kept of each class without one of its photos; the one without its last is made once."""

    def __init__(self, method: Method, supports: Sequence[Support], panel: int | None) -> None:
        self.method, self.supports, self.panel = method, supports, panel
        self._made: dict[tuple[int, tuple[int, ...]], Summary] = {}

    def without(self, number: int, photo: int | None) -> Summary:
        """The summary of a class without this photo, or without its last; a single photo stays."""
        support = self.supports[number]
        rest = [i for i in range(len(support)) if i != (len(support) - 1 if photo is None else photo)]
        kept = tuple(rest[: self.panel] or [0])
        if photo is not None and kept != self._usual(number):  # asked for once
            return picked(self.method, support, kept).summary
        if (number, kept) not in self._made:
            self._made[number, kept] = picked(self.method, support, kept).summary
        return self._made[number, kept]

    def _usual(self, number: int) -> tuple[int, ...]:
        return tuple(range(len(self.supports[number]) - 1))[: self.panel]


class _Whole:
    """A photo against all classes at once, for methods that are not ``separable``; nothing is reused."""

    def __init__(self, summaries: _Summaries) -> None:
        self.summaries, self.method = summaries, summaries.method

    def __call__(self, own: int, photo: int) -> dict[str, Float[Tensor, " N"]]:
        supports = self.summaries.supports
        classes = [self.summaries.without(n, photo if n == own else None) for n in range(len(supports))]
        found = self.method.compare(restored(self.method, supports[own], photo), self.method.adapt(classes))
        return {level: scores[0] for level, scores in found.items()}


class _Pairs:
    """A photo against each class by itself, so that pairs that did not change can be reused."""

    def __init__(self, summaries: _Summaries, before: LeftOut | None) -> None:
        self.summaries, self.method, self.before = summaries, summaries.method, before
        self.known = {} if before is None else before.pairs()

    def __call__(self, own: int, photo: int) -> dict[str, Float[Tensor, " N"]]:
        supports = self.summaries.supports
        query, name = restored(self.method, supports[own], photo), supports[own].ids[photo]
        row = []
        for number, support in enumerate(supports):
            found = self.known.get((name, _compared(support.ids, name if number == own else None)))
            if self.before is not None and found is not None:
                row.append({level: scores[found] for level, scores in self.before.levels.items()})
                continue
            summary = self.summaries.without(number, photo if number == own else None)
            row.append({level: score[0, 0] for level, score in self.method.compare(query, [summary]).items()})
        return {level: torch.stack([pair[level] for pair in row]) for level in self.method.level_names}


def most_left_out(method: Method, supports: Sequence[Support]) -> int:
    """How many photos to leave out, so that the time does not grow with the square of their number."""
    relative = method.pair_work(supports[0].encoded) / _CONV64F
    photos = sum(len(support.encoded) for support in supports)  # every view
    return max(_LEAST, min(_MOST, int(_COMPARISONS / (photos * relative + len(supports) * _CALL))))


def even_shares(counts: Sequence[int], limit: int) -> list[int]:
    """How many of each class to take so that the sum is at most ``limit``, as even as the classes allow.

    With more classes than ``limit``, one of some of them, chosen at random but always the same.

    >>> from triptych.recognizer.leaving_out import even_shares
    >>> even_shares([1, 9, 9], limit=7)
    [1, 3, 3]
    """
    order = sorted(range(len(counts)), key=lambda n: counts[n])
    shares, left = [0] * len(counts), limit
    if len(asked := [n for n in order if counts[n]]) > limit:
        for n in np.random.default_rng(0).permutation(asked)[:limit]:
            shares[n] = 1
        return shares
    for position, n in enumerate(order):
        shares[n] = min(counts[n], left // (len(counts) - position))
        left -= shares[n]
    return shares


def _shares(supports: Sequence[Support], limit: int) -> list[int]:
    """How many photos of each class, the first ones, are left out; changing a class hardly changes that of others."""
    several = [number for number, support in enumerate(supports) if len(support) > 1]
    if len(several) > limit:
        rank = np.random.default_rng(0).permutation(len(supports))  # where photos have no ids
        several = sorted(several, key=lambda number: (_hash(supports[number].ids), rank[number]))[:limit]
    shares = [0] * len(supports)
    for number, share in zip(several, even_shares([len(supports[n]) for n in several], limit), strict=True):
        shares[number] = share
    return shares


def _compared(ids: tuple[str, ...], own: str | None) -> tuple[str, ...]:
    """The photos of a class that one left out is compared with: all but itself, or all but the last."""
    return tuple(one for one in ids if one != own) if own is not None else ids[:-1] or ids


def _hash(ids: tuple[str, ...]) -> bytes:
    return hashlib.blake2b("".join(ids).encode(), digest_size=8).digest()
