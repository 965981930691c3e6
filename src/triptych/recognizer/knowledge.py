"""The state of a fitted recogniser. It is never changed, only replaced."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from triptych.data import Photo
from triptych.fusion import Fusion
from triptych.methods import Encoded, Method, Summary
from triptych.recognizer.calibration import (
    Calibration,
    Learnt,
    learn,
    refuse_not_finite,
    uncalibrated,
)
from triptych.recognizer.leaving_out import LeftOut
from triptych.recognizer.sets import fewest_left_out, masses_above, set_threshold
from triptych.recognizer.temperature import usual_temperature
from triptych.recognizer.unknowns import known_features, known_score
from triptych.support import Support, encode
from triptych.system.wording import counted

__all__ = ["Asked", "Knowledge", "check_inductive", "encoded_photos", "fits", "of_any_width", "ordered"]


def check_inductive(method: Method) -> None:
    """Refuse a method whose scores of a photo depend on what else is asked.

    Raises:
        ValueError: it is transductive.
    """
    if method.transductive:
        raise ValueError(f"method {method.name!r} looks at all queries together; a Recognizer answers one by one")


@dataclass(frozen=True, eq=False)
class Knowledge:
    """The state of a fitted recogniser. A change makes a new one, so that a prediction under way keeps its classes.

    Attributes:
        method: what compares.
        support: label -> what is kept of the class.
        dtype: of the caller's labels (``of_any_width``); None where they have none in common.
        learnt: how much each level counts, and the calibration.
        calibrate: whether photos are left out to learn that, in ``fit`` and after changes.
        common: what is common to many classes of which these are some (``Method.adapt_by``); None where these are all.
    """

    method: Method
    support: dict[Any, Support]
    dtype: np.dtype | None
    learnt: Learnt
    calibrate: bool
    common: Mapping[str, Tensor] | None = None

    def __post_init__(self) -> None:
        check_inductive(self.method)

    @classmethod
    def learn(
        cls,
        method: Method,
        support: dict[Any, Support],
        dtype: np.dtype | None,
        calibrate: bool,
        before: LeftOut | None = None,
    ) -> Self:
        """Learn from the photos; ``before`` as in ``leave_one_out``."""
        supports = [support[label] for label in ordered(support)]
        learnt = learn(method, supports, before) if calibrate else uncalibrated(method, supports)
        return cls(method, support, dtype, learnt, calibrate)

    @cached_property
    def order(self) -> list[Any]:
        """The labels, in the order of all scores."""
        return ordered(self.support)

    @cached_property
    def supports(self) -> list[Support]:
        """The classes in that order."""
        return [self.support[label] for label in self.order]

    @property
    def views(self) -> int:
        """How many views of each photo were learnt from."""
        return self.supports[0].views

    @cached_property
    def classes(self) -> Sequence[Summary]:
        """What queries are compared with, in that order, adapted to each other."""
        summaries = [support.summary for support in self.supports]
        with torch.no_grad():
            return self.method.adapt(summaries) if self.common is None else self.method.adapt_by(summaries, self.common)

    @property
    def fusion(self) -> Fusion:
        """How much each level counts."""
        return self.learnt.fusion

    def changed(self, support: dict[Any, Support], dtype: np.dtype | None) -> Self:
        """The same method with other classes."""
        return self.learn(self.method, support, dtype, self.calibrate, self.learnt.left_out)

    def labels(self, labels: Sequence[Any]) -> np.ndarray:
        """Labels in the caller's dtype, as objects where they do not fit it."""
        dtype = self.dtype
        if dtype is not None and all(fits(dtype, label) for label in labels):
            return np.array(labels, dtype=dtype)
        array = np.empty(len(labels), dtype=object)
        array[:] = labels
        return array

    @cached_property
    def class_labels(self) -> np.ndarray:
        """The labels in the caller's dtype."""
        return self.labels(self.order)

    @cached_property
    def photos(self) -> frozenset[str]:
        """The ids of all photos that were learnt from."""
        return frozenset(photo for support in self.supports for photo in support.ids)

    def asked(self, photos: Sequence[Photo]) -> Iterator["Asked"]:
        """The photos, encoded, and what is known of the classes that they may be of: all."""
        if photos:
            yield Asked(self, photos, encoded_photos(self.method, photos))

    @torch.no_grad()
    def compare(self, photos: Sequence[Photo]) -> dict[str, Float[Tensor, "Q N"]]:
        """The similarity of photos to the classes at each level."""
        return self.method.compare(encoded_photos(self.method, photos), self.classes)

    @torch.no_grad()
    def logits(self, levels: dict[str, Tensor]) -> Float[Tensor, "Q N"]:
        """One score per class, from the levels.

        Raises:
            ValueError: the method's weights give scores that are not finite.
        """
        scores = self.fusion(levels).double()
        refuse_not_finite(scores)
        return scores

    def probabilities(self, logits: Float[Tensor, "Q N"]) -> Float[np.ndarray, "Q N"]:
        """The probability of each class."""
        return (logits / self.temperature).softmax(dim=1).cpu().numpy()

    @property
    def temperature(self) -> float:
        """What divides the logits."""
        calibration = self.learnt.calibration
        return usual_temperature(self.method) if calibration is None else calibration.temperature

    @torch.no_grad()
    def known_score(self, levels: dict[str, Tensor]) -> Float[Tensor, " Q"]:
        """How known photos are; see ``known_features``.

        Raises:
            ValueError: no photo was left out.
        """
        weights = torch.tensor(self._calibration("unknowns cannot be told").known_weights, dtype=torch.float64)
        features = known_features(self.fusion.contributions(levels), self.method.absolute_levels)
        return known_score(features.cpu(), weights)

    def threshold(self, false_alarm: float) -> float:
        """See ``Calibration.threshold``.

        Raises:
            ValueError: no photo was left out.
        """
        return self._calibration("unknowns cannot be told").threshold(false_alarm)

    def set_threshold(self, coverage: float) -> float:
        """See ``triptych.recognizer.sets.set_threshold``; a warning where there are too few photos for the coverage.

        Raises:
            ValueError: no photo was left out.
        """
        self._calibration("the coverage of sets is not known")
        masses = self._left_out_masses
        if len(masses) < (fewest := fewest_left_out(coverage)):
            warnings.warn(
                f"coverage {coverage}: {counted(len(masses), 'photo')} could be left out to learn from, and sets "
                f"smaller than all classes need {fewest}; every set holds all classes. Add photos, or lower the "
                "coverage",
                stacklevel=3,
            )
        return set_threshold(masses, coverage)

    @cached_property
    def _left_out_masses(self) -> Float[np.ndarray, " R"]:
        """``masses_above`` of the true class of each photo left out, by the temperature that suits them."""
        left_out, calibration = self.learnt.left_out, self._calibration("the coverage of sets is not known")
        logits = self.logits(left_out.levels) / calibration.left_out_temperature
        masses = masses_above(logits.softmax(dim=1).cpu().numpy())
        return masses[np.arange(len(masses)), left_out.truth.cpu().numpy()]

    def spread_over_all(
        self, scores: Float[np.ndarray, "Q N"], near: "Knowledge", otherwise: float = 0.0
    ) -> Float[np.ndarray, "Q N"]:
        """Scores of the classes of ``near`` as scores of all: these are all."""
        return scores

    def _calibration(self, otherwise: str) -> Calibration:
        if self.learnt.calibration is None:
            mend = "add a second one to some class" if self.calibrate else "fit with calibrate=True"
            raise ValueError(f"{otherwise}: no photo was left out to learn from; {mend}")
        return self.learnt.calibration


class Asked(NamedTuple):
    """Photos that are asked about.

    Attributes:
        known: what is known of the classes that they may be of.
        photos: Q of them.
        encoded: the same, encoded.
    """

    known: Knowledge
    photos: Sequence[Photo]
    encoded: Encoded

    @torch.no_grad()
    def levels(self) -> dict[str, Float[Tensor, "Q N"]]:
        """The similarity of the photos to the classes at each level."""
        return self.known.method.compare(self.encoded, self.known.classes)


@torch.no_grad()
def encoded_photos(method: Method, photos: Sequence[Photo]) -> Encoded:
    """Photos as the method compares them."""
    return encode(method, np.stack([photo.pixels for photo in photos]))


def ordered(labels: Iterable[Any]) -> list[Any]:
    """Labels in the order of all scores: sorted, or as they came where they are of mixed types."""
    labels = list(labels)
    try:
        with np.errstate(over="ignore"):  # a large number beside one of single precision
            return sorted(labels)
    except TypeError:
        return labels


def of_any_width(dtype: np.dtype | None) -> np.dtype | None:
    """The dtype without a width: longer labels may be added, and files must not depend on the order of adding."""
    return np.dtype(dtype.kind) if dtype is not None and dtype.kind in "US" else dtype


def fits(dtype: np.dtype, label: Any) -> bool:
    """Whether a label is of this dtype; the width of strings does not count."""
    kind = np.asarray(label).dtype.kind
    if dtype.kind in "iu" and kind in "iu":
        return np.iinfo(dtype).min <= label <= np.iinfo(dtype).max
    if dtype.kind == kind == "f":  # else the class would come back as another number
        with np.errstate(over="ignore"):
            return float(dtype.type(label)) == float(label)
    return kind == dtype.kind
