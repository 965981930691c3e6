"""What a fitted recogniser answers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from triptych.data import ImageError, ImageSource, Photo, Unreadable, check_label, photo_stream, read_photos
from triptych.evidence import Explanation, explain
from triptych.fusion import Fusion
from triptych.recognizer.calibration import Calibration, refuse_not_finite
from triptych.recognizer.knowledge import Knowledge
from triptych.recognizer.sets import prediction_sets
from triptych.system.settings import number, whole

__all__ = ["QUERY_BATCH", "Answer", "Answering", "Asked", "answers_by", "whole_setting"]

QUERY_BATCH = 32  # photos that are compared at once

# Photos, and whether it is asked how known they are -> the probability of each class, and how known each photo is.
Asked = Callable[[Sequence[Photo], bool], tuple[Float[np.ndarray, "Q N"], Float[np.ndarray, " Q"] | None]]


@dataclass(frozen=True)
class Answer:
    """What a photo is recognised as.

    Attributes:
        image: how messages name the photo.
        label: the most probable class, or what the caller calls an unknown; None if the photo cannot be read.
        probability: of the most probable class.
        probabilities: (N,) of each class in ``classes_``.
        nearest: the most probable class, also where ``label`` is what the caller calls an unknown; None if the photo
            cannot be read.
        in_support: it is one of the photos that were learnt from, so that its answer proves nothing.
        error: why it cannot be read, or None.
        prediction_set: the classes among which the true one is as often as was asked, the most probable first; None
            if that was not asked, or if the photo cannot be read.
    """

    image: str
    label: Any
    probability: float
    probabilities: Float[np.ndarray, " N"]
    nearest: Any = None
    in_support: bool = False
    error: str | None = None
    prediction_set: tuple[Any, ...] | None = None


class Answering(ABC):
    """The questions that a fitted recogniser answers. None of them changes it."""

    @property
    @abstractmethod
    def knowledge_(self) -> Knowledge:
        """Its fitted state."""

    @property
    def calibration_(self) -> Calibration | None:
        """How far its answers can be trusted; None if no photo was left out (see ``calibrate``)."""
        return self.knowledge_.learnt.calibration

    @property
    def fusion_(self) -> Fusion:
        """How much each level counts: the method's fusion, fitted to the photos; see ``learn_fusion``."""
        return self.knowledge_.fusion

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
        known = self.knowledge_
        if unknown is None:
            found = [known.logits(levels).argmax(1) for levels in _compared(known, images)]
            return known.labels([known.order[n] for best in found for n in best])
        answers = list(self.answers(images, unknown, false_alarm))
        for answer in answers:
            if answer.error is not None:
                raise ImageError(answer.error)
        return known.labels([answer.label for answer in answers])

    def predict_proba(self, images: Iterable[ImageSource]) -> Float[np.ndarray, "B N"]:
        """The probability of each class in ``classes_`` for each photo; rows sum to 1."""
        known = self.knowledge_
        found = [known.probabilities(known.logits(levels)) for levels in _compared(known, images)]
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
        known = self.knowledge_
        most = _most_mass(known, coverage)
        found = [_sets(known, known.probabilities(known.logits(levels)), most) for levels in _compared(known, images)]
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
        return answers_by(self, _asked_by(self.knowledge_), images, unknown, false_alarm, coverage)

    def levels(self, images: Iterable[ImageSource]) -> dict[str, Float[np.ndarray, "B N"]]:
        """The similarity of each photo to each class at each level, before fusion."""
        known = self.knowledge_
        batches = list(_compared(known, images))
        names = known.method.level_names
        if not batches:
            return {name: np.empty((0, len(known.order))) for name in names}
        return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in names}

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
        known, top = self.knowledge_, whole_setting("top", top)
        pixels = _read_one(known, image).pixels
        supports, fusion, temperature = known.supports, known.fusion, known.temperature
        why = explain(known.method, fusion, pixels, known.order, supports, top, temperature, known.classes)
        refuse_not_finite(torch.tensor([evidence.probability for evidence in why.classes]))
        return why

    def knows(self, image: ImageSource) -> bool:
        """Whether a photo is one of those it was fitted on, so that its answer proves nothing."""
        known = self.knowledge_
        photo = _read_one(known, image)
        return any(photo.id in support.ids for support in known.supports)


def answers_by(
    recognizer: Answering,
    asked: Asked,
    images: Iterable[ImageSource],
    unknown: Hashable | None = None,
    false_alarm: float = 0.05,
    coverage: float | None = None,
) -> Iterator[Answer]:
    """``Answering.answers`` where something else computes for the recogniser.

    Args:
        recognizer: what knows the classes.
        asked: what computes probabilities of its classes, in the order of ``Knowledge.order``.
        images: as the others, see ``Answering.answers``.
        unknown: see there.
        false_alarm: see there.
        coverage: see there.
    """
    known = recognizer.knowledge_
    least = None if unknown is None else _least_known(known, unknown, false_alarm)
    most = None if coverage is None else _most_mass(known, coverage)
    return _answers(known, asked, photo_stream(images), unknown, least, most)


def whole_setting(name: str, value: Any, most: int | None = None) -> int:
    """A setting that is a count; NumPy's integers, which a grid search sets, are taken too."""
    check = whole(1, most)
    if not check.holds(value):
        raise ValueError(f"{name} must be {check.expected}, got {value!r:.80}")
    return int(value)


def _least_known(known: Knowledge, unknown: Any, false_alarm: float) -> float:
    """The score below which a photo is called unknown."""
    if isinstance(unknown, str) and not unknown:
        raise ValueError("unknown is empty; expected what to call a photo of none of the classes")
    check_label(unknown)
    if unknown in known.support:
        raise ValueError(f"unknown is {unknown!r}, which is a class; expected another name")
    return known.threshold(false_alarm)


def _most_mass(known: Knowledge, coverage: float) -> float:
    """The mass above a class up to which it belongs to the set."""
    if not number(0, 1).holds(coverage) or coverage in (0, 1):
        raise ValueError(f"coverage must be between 0 and 1, got {coverage!r:.80}")
    return known.set_threshold(coverage)


def _sets(known: Knowledge, probabilities: Float[np.ndarray, "Q N"], most: float) -> list[tuple[Any, ...]]:
    return [tuple(known.order[n] for n in one) for one in prediction_sets(probabilities, most)]


def _answers(
    known: Knowledge,
    asked: Asked,
    images: Iterable[ImageSource],
    unknown: Any,
    least: float | None,
    most: float | None,
) -> Iterator[Answer]:
    ids = {photo for support in known.supports for photo in support.ids}
    for photos in _in_batches(read_photos(images, known.method.preprocess)):
        rows = iter(_batch(known, asked, [photo for photo in photos if isinstance(photo, Photo)], least, most))
        for photo in photos:
            if isinstance(photo, Unreadable):
                yield Answer(photo.name, None, np.nan, np.full(len(known.order), np.nan), error=photo.error)
                continue
            is_known, probabilities, likely = next(rows)
            best = int(probabilities.argmax())
            nearest, probability = known.order[best], float(probabilities[best])
            label = nearest if is_known else unknown
            yield Answer(photo.name, label, probability, probabilities, nearest, photo.id in ids, prediction_set=likely)


def _asked_by(known: Knowledge) -> Asked:
    """The method itself."""

    def asked(photos: Sequence[Photo], scored: bool) -> tuple[Float[np.ndarray, "Q N"], Float[np.ndarray, " Q"] | None]:
        levels = known.compare(photos)
        return known.probabilities(known.logits(levels)), known.known_score(levels).numpy() if scored else None

    return asked


def _batch(
    known: Knowledge, asked: Asked, photos: Sequence[Photo], least: float | None, most: float | None
) -> Iterator[tuple[bool, Float[np.ndarray, " N"], tuple[Any, ...] | None]]:
    """Of each photo of a batch, whether it is of a known class, its probabilities and its set."""
    if not photos:
        return
    probabilities, found = asked(photos, least is not None)
    scores = [np.inf] * len(photos) if found is None else found.tolist()
    sets = [None] * len(photos) if most is None else _sets(known, probabilities, most)
    for own, score, likely in zip(probabilities, scores, sets, strict=True):
        yield least is None or score >= least, own, likely


def _readable(photo: Photo | Unreadable) -> Photo:
    if isinstance(photo, Unreadable):
        raise ImageError(photo.error)
    return photo


def _in_batches(photos: Iterator[Photo | Unreadable]) -> Iterator[list[Photo | Unreadable]]:
    while batch := list(islice(photos, QUERY_BATCH)):
        yield batch


def _compared(known: Knowledge, images: Iterable[ImageSource]) -> Iterator[dict[str, Tensor]]:
    """The levels of one batch after the other; a photo that cannot be read is an error."""
    for photos in _in_batches(read_photos(photo_stream(images), known.method.preprocess)):
        yield known.compare([_readable(photo) for photo in photos])


def _read_one(known: Knowledge, image: ImageSource) -> Photo:
    return _readable(next(read_photos([image], known.method.preprocess)))
