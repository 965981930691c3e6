"""The state of a fitted recogniser whose classes lie in a bank."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from triptych.bank import Axes, Bank
from triptych.data import Photo
from triptych.methods import Encoded, Method
from triptych.recognizer.calibration import Learnt
from triptych.recognizer.file import plain_label
from triptych.recognizer.knowledge import Asked, Knowledge, encoded_photos, ordered
from triptych.support import Support
from triptych.system.wording import printable

__all__ = ["SHORTLIST", "Banked", "BankedClasses", "key_of", "label_of"]

SHORTLIST = 100  # classes that a photo is compared with


class _Labels(NamedTuple):
    """All labels: in the order of all scores, the place of each, and in the caller's dtype."""

    order: list[Any]
    places: dict[Any, int]
    array: np.ndarray


@dataclass(frozen=True, eq=False)
class Banked:
    """The state of a fitted recogniser whose classes lie in a bank.

    A photo is compared with the classes of its shortlist, by the code that compares with few classes: what is known of
    them is a ``Knowledge`` like that of any recogniser, and only what is common to all classes comes from a sample.

    Attributes:
        bank: where the classes lie.
        shared: what is known of all classes together; it has no class of its own.
        axes: of the vectors by which the shortlist is made.
        views: of each photo.
        photos: how many the bank had when ``shared`` was learnt.
        state_version: of the bank's state that ``shared`` was read from.
        version: of the bank's photos when this was made; its labels are read once, so that all answers of one call
            have the same.
    """

    bank: Bank
    shared: Knowledge
    axes: Axes
    views: int
    photos: int
    state_version: tuple[str, int] = ("", 0)
    version: tuple[int, int] = (0, 0)

    @property
    def method(self) -> Method:
        """What compares."""
        return self.shared.method

    @property
    def learnt(self) -> Learnt:
        """How much each level counts, and the calibration."""
        return self.shared.learnt

    @property
    def support(self) -> "BankedClasses":
        """label -> what is kept of the class, read when asked for."""
        return BankedClasses(self.bank, self.method, self.views)

    @property
    def order(self) -> list[Any]:
        """The labels, in the order of all scores."""
        return self._labels.order

    @property
    def class_labels(self) -> np.ndarray:
        """The labels in the caller's dtype."""
        return self._labels.array

    def labels(self, labels: Sequence[Any]) -> np.ndarray:
        """See ``Knowledge.labels``."""
        return self.shared.labels(labels)

    def threshold(self, false_alarm: float) -> float:
        """See ``Knowledge.threshold``."""
        return self.shared.threshold(false_alarm)

    def set_threshold(self, coverage: float) -> float:
        """See ``Knowledge.set_threshold``."""
        return self.shared.set_threshold(coverage)

    def vectors(self, encoded: Encoded) -> Float[Tensor, "B D"]:
        """By which images are found."""
        return self.axes.vectors(self.method.pooled(encoded))

    @torch.no_grad()
    def asked(self, photos: Sequence[Photo]) -> Iterator[Asked]:
        """Each photo, encoded, and what is known of the classes of its shortlist."""
        for photo in photos:
            encoded = encoded_photos(self.method, [photo])
            yield Asked(self.near(encoded), [photo], encoded)

    def near(self, encoded: Encoded) -> Knowledge:
        """What is known of the classes that one encoded photo may be of."""
        labels = self.bank.shortlist(self.vectors(encoded)[0], SHORTLIST)
        found = self.bank.supports(self.method, labels, self.views)
        return replace(self.shared, support={label_of(label): kept for label, kept in found.items()})

    def spread_over_all(
        self, scores: Float[np.ndarray, "Q n"], near: Knowledge, otherwise: float = 0.0
    ) -> Float[np.ndarray, "Q N"]:
        """Scores of the classes of ``near`` as scores of all.

        Those of a class that came since this was made are left out: its probability is missing in the sum.
        """
        order, places, _ = self._labels
        whole = np.full((len(scores), len(order)), otherwise, scores.dtype)
        known = [
            (n, places[label]) for n, label in enumerate(near.order) if label in places
        ]  # else it came or went just now
        whole[:, [place for _, place in known]] = scores[:, [n for n, _ in known]]
        return whole

    def fingerprint(self) -> str:
        """A hash of all that answers depend on: another one after each change of the bank."""
        state = hashlib.sha256(self.bank.read_state())
        state.update(repr((self.bank.place, self.bank.version)).encode())
        return state.hexdigest()

    @cached_property
    def _labels(self) -> _Labels:
        order = ordered(self.support)
        return _Labels(order, {label: place for place, label in enumerate(order)}, self.labels(order))


class BankedClasses(Mapping[Any, Support]):
    """label -> what a bank keeps of the class, read when asked for."""

    def __init__(self, bank: Bank, method: Method, views: int) -> None:
        self._bank, self._method, self._views = bank, method, views

    def __getitem__(self, label: Any) -> Support:
        key = key_of(label)
        found = self._bank.supports(self._method, [key], self._views)
        if key not in found:
            raise KeyError(label)
        return found[key]

    def __contains__(self, label: object) -> bool:
        return self.count(label) > 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.counts())

    def __len__(self) -> int:
        return len(self._bank.counts())

    def count(self, label: Any) -> int:
        """How many photos a class has; none where there is no such class."""
        try:
            return self._bank.count(key_of(label))
        except ValueError:  # no label that a bank can hold
            return 0

    def photos(self) -> dict[Any, dict[str, str]]:
        """label -> id -> name of the file, of all photos; nothing else of them is read."""
        return {label_of(key): photos for key, photos in self._bank.listing().items()}

    def counts(self) -> dict[Any, int]:
        """label -> how many photos."""
        return {label_of(key): count for key, count in sorted(self._bank.counts().items())}

    def written(self, text: str) -> Any:
        """The class that is written like this; the text itself for a new class."""
        return next(iter(self.alike(text)), text)

    def alike(self, label: Any) -> list[Any]:
        """The classes that read like this label."""
        text = str(plain_label(label))
        keys = dict.fromkeys((json.dumps(text), text, text.lower()))
        return [label_of(key) for key in keys if self._bank.count(key) and str(label_of(key)) == text]


def key_of(label: Any) -> str:
    """A label as the bank holds it.

    >>> from triptych.recognizer.banked import key_of, label_of
    >>> key_of("apple"), key_of(3), label_of(key_of(3))
    ('"apple"', '3', 3)

    Raises:
        ValueError: it is no string, number or boolean.
    """
    return json.dumps(plain_label(label))


def label_of(key: str) -> Any:
    """The label that ``key_of`` wrote.

    Raises:
        ValueError: it is none, as in a bank that something else has written to.
    """
    try:
        label = json.loads(key)
    except (ValueError, RecursionError):
        label = None
    if not isinstance(label, str | int | float) or label != label:
        raise ValueError(f"a damaged bank: {printable(key):.80} is no label; take a copy of the bank, or fit it anew")
    return label
