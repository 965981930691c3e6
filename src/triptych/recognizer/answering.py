"""What a fitted recogniser answers."""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from triptych.data import ImageError, ImageSource, Photo, check_label, photo_stream, read_photos, refuse_alike
from triptych.evidence import Explanation, explain
from triptych.fusion import Fusion
from triptych.recognizer.answers import (
    Answer,
    Scorer,
    answers_to,
    asked_in_batches,
    probabilities_of,
    readable,
    scorer_of,
    sets_of,
)
from triptych.recognizer.banked import Banked
from triptych.recognizer.calibration import Calibration, refuse_not_finite
from triptych.recognizer.knowledge import Knowledge
from triptych.system.settings import FLAG, number, whole

__all__ = ["Answering", "answers_by", "flag_setting", "whole_setting"]


class Answering(ABC):
    """The questions that a fitted recogniser answers. None of them changes it."""

    @property
    @abstractmethod
    def known_(self) -> Knowledge | Banked:
        """Its fitted state, in memory or in a bank."""

    @property
    def knowledge_(self) -> Knowledge:
        """Its fitted state, which is never changed, only replaced.

        Raises:
            NotFittedError: before ``fit``.
            ValueError: its classes lie in a bank, and not in memory.
        """
        known = self.known_
        if isinstance(known, Banked):
            raise ValueError(
                f"the classes lie in the bank {known.bank.place}, and this needs them in memory; fit without a bank"
            )
        return known

    @property
    def classes_(self) -> np.ndarray:
        """(N,) the labels, sorted where they can be, in the caller's dtype.

        Raises:
            NotFittedError: before ``fit``.
        """
        return self.known_.class_labels

    @property
    def calibration_(self) -> Calibration | None:
        """How far its answers can be trusted; None if no photo was left out (see ``calibrate``)."""
        return self.known_.learnt.calibration

    @property
    def fusion_(self) -> Fusion:
        """How much each level counts: the method's fusion, fitted to the photos; see ``learn_fusion``."""
        return self.known_.learnt.fusion

    def photo_counts(self) -> dict[Any, int]:
        """label -> how many photos it was learnt from.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> grey = [np.full((90, 90, 3), 60 * i, np.uint8) for i in range(3)]
        >>> Recognizer().fit(grey, ["dark", "dark", "light"]).photo_counts()
        {'dark': 2, 'light': 1}
        """
        known = self.known_
        if isinstance(known, Banked):
            return known.support.counts()
        return {name: len(kept) for name, kept in known.support.items()}

    def predict(
        self, images: Iterable[ImageSource], unknown: Hashable | None = None, false_alarm: float = 0.05
    ) -> np.ndarray:
        """The most probable class of each photo, (B,).

        Args:
            images: photos.
            unknown: what to answer where a photo is of none of the classes; None to choose a class always.
            false_alarm: about the share of photos of known classes that may be called unknown. With R photos left out,
                the least is 1 / (R + 1): see ``Calibration.threshold``.

        Raises:
            ImageError: a photo cannot be read; it is named.
            NotFittedError: before ``fit``.
            ValueError: ``unknown`` is empty or a class, or no photo was left out: see ``calibrate``.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.predict(photos[:3])
        array(['a', 'a', 'b'], dtype='<U1')
        >>> recognizer.predict(photos[:1], unknown="none of these")
        array(['a'], dtype='<U1')
        """
        known = self.known_
        if unknown is None:
            return known.labels(
                [
                    asked.known.order[n]
                    for asked in asked_in_batches(known, images)
                    for n in asked.known.logits(asked.levels()).argmax(1)
                ]
            )
        found = []
        for answer in self.answers(images, unknown, false_alarm):
            if answer.error is not None:
                raise ImageError(answer.error)
            found.append(answer.label)
        return known.labels(found)

    def predict_proba(self, images: Iterable[ImageSource]) -> Float[np.ndarray, "B N"]:
        """The probability of each class in ``classes_`` for each photo; rows sum to 1."""
        known = self.known_
        found = [
            known.spread_over_all(probabilities_of(asked), asked.known) for asked in asked_in_batches(known, images)
        ]
        return np.concatenate(found) if found else np.empty((0, len(known.order)))

    def predict_sets(self, images: Iterable[ImageSource], coverage: float = 0.9) -> list[tuple[Any, ...]]:
        """The classes among which the true one is as often as stated, for each photo; the most probable first.

        A set has one class at least, and few where the photo is clear. It holds as stated if new photos come from where
        the fitted ones came from. See ``triptych.recognizer.sets``.

        Args:
            images: photos.
            coverage: c, between 0 and 1: the share of photos whose set holds the true class. It needs c / (1 - c)
                photos left out, 9 for 0.9. With fewer, every set holds all classes, and a warning says so.

        Raises:
            ImageError: a photo cannot be read; it is named.
            NotFittedError: before ``fit``.
            ValueError: no such coverage, or no photo was left out: see ``calibrate``.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (10, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos, ["a", "b"] * 5)
        >>> [len(one) for one in recognizer.predict_sets(photos[:2], coverage=0.1)]
        [1, 1]
        """
        known = self.known_
        most = _most_mass(known, coverage)
        found = [sets_of(asked.known, probabilities_of(asked), most) for asked in asked_in_batches(known, images)]
        return [one for sets in found for one in sets]

    def answers(
        self,
        images: Iterable[ImageSource],
        unknown: Hashable | None = None,
        false_alarm: float = 0.05,
        coverage: float | None = None,
    ) -> Iterator[Answer]:
        """Recognise any number of photos in bounded memory; one that cannot be read gets an answer that says so.

        The arguments are those of ``predict`` and, for answers with a set, of ``predict_sets``; ``images`` may be a
        generator.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> for answer in recognizer.answers([photos[3], "missing.jpg"]):
        ...     print(answer.label, answer.error)
        b None
        None missing.jpg: No such file or directory; expected an image file
        """
        return answers_by(self, scorer_of(self.known_), images, unknown, false_alarm, coverage)

    def levels(self, images: Iterable[ImageSource]) -> dict[str, Float[np.ndarray, "B N"]]:
        """The similarity of each photo to each class at each level, before fusion.

        Of a bank, those of the classes that are not in a photo's shortlist are nan: nothing is compared with them.
        """
        known = self.known_
        found: dict[str, list[np.ndarray]] = {name: [] for name in known.method.level_names}
        for asked in asked_in_batches(known, images):
            for name, scores in asked.levels().items():
                found[name].append(known.spread_over_all(scores.cpu().numpy(), asked.known, np.nan))
        return {name: np.concatenate(rows) if rows else np.empty((0, len(known.order))) for name, rows in found.items()}

    def explain(self, image: ImageSource, top: int = 3) -> Explanation:
        """Why a photo is recognised as what it is: each level's share, and the patches that match.

        Args:
            image: one photo.
            top: how many of the most probable classes are explained.

        Raises:
            ImageError: the photo cannot be read.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> why = recognizer.explain(photos[2], top=1)
        >>> why.label, list(why.classes[0].contributions)
        ('b', ['distribution', 'pixel', 'part', 'plda'])
        >>> match = why.classes[0].matches[0]
        >>> match.query == match.support, round(match.similarity, 2)
        (True, 1.0)
        """
        top = whole_setting("top", top)
        [asked] = self.known_.asked([_read_one(self.known_, image)])
        known, pixels = asked.known, asked.photos[0].pixels
        supports, fusion, temperature = known.supports, known.fusion, known.temperature
        why = explain(known.method, fusion, pixels, known.order, supports, top, temperature, known.classes)
        refuse_not_finite(torch.tensor([evidence.probability for evidence in why.classes]))
        return why

    def knows(self, image: ImageSource) -> bool:
        """Whether a photo is one of those it was fitted on, so that its answer proves nothing."""
        photo = _read_one(self.known_, image)
        return any(photo.id in asked.known.photos for asked in self.known_.asked([photo]))


def answers_by(
    recognizer: Answering,
    scorer: Scorer,
    images: Iterable[ImageSource],
    unknown: Hashable | None = None,
    false_alarm: float = 0.05,
    coverage: float | None = None,
) -> Iterator[Answer]:
    """``Answering.answers`` where something else computes for the recogniser.

    Args:
        recognizer: what knows the classes.
        scorer: what computes the probabilities of its classes.
        images: as the others, see ``Answering.answers``.
        unknown: see there.
        false_alarm: see there.
        coverage: see there.
    """
    known = recognizer.known_
    least = None if unknown is None else _least_known(known, unknown, false_alarm)
    most = None if coverage is None else _most_mass(known, coverage)
    return answers_to(known, scorer, photo_stream(images), unknown, least, most)


def flag_setting(name: str, value: Any) -> bool:
    """A setting that is True or False; NumPy's, which a grid search sets, are taken too."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be {FLAG.expected}, got {value!r:.80}")
    return bool(value)


def whole_setting(name: str, value: Any, most: int | None = None, least: int = 1) -> int:
    """A setting that is a count; NumPy's integers, which a grid search sets, are taken too."""
    check = whole(least, most)
    if not check.holds(value):
        raise ValueError(f"{name} must be {check.expected}, got {value!r:.80}")
    return int(value)


def _least_known(known: Knowledge | Banked, unknown: Any, false_alarm: float) -> float:
    """The score below which a photo is called unknown."""
    if isinstance(unknown, str) and not unknown:
        raise ValueError("unknown is empty; expected what to call a photo of none of the classes")
    check_label(unknown)
    if unknown in known.support:
        raise ValueError(f"unknown is {unknown!r}, which is a class; expected another name")
    like = known.support.alike(unknown) if isinstance(known, Banked) else known.support
    refuse_alike([*like, unknown])
    return known.threshold(false_alarm)


def _most_mass(known: Knowledge | Banked, coverage: float) -> float:
    """The mass above a class up to which it belongs to the set."""
    if not number(0, 1).holds(coverage) or coverage in (0, 1):
        raise ValueError(f"coverage must be between 0 and 1, got {coverage!r:.80}")
    return known.set_threshold(coverage)


def _read_one(known: Knowledge | Banked, image: ImageSource) -> Photo:
    return readable(next(read_photos([image], known.method.preprocess)))
