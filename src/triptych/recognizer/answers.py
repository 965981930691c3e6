"""Answers to photos: encoded, compared and calibrated, a batch at a time."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from triptych.data import ImageError, ImageSource, Photo, Unreadable, photo_stream, read_photos
from triptych.recognizer.banked import Banked
from triptych.recognizer.knowledge import Asked, Knowledge
from triptych.recognizer.sets import prediction_sets
from triptych.system.batches import in_batches

__all__ = [
    "QUERY_BATCH",
    "Answer",
    "Scored",
    "Scorer",
    "answers_to",
    "asked_in_batches",
    "probabilities_of",
    "readable",
    "scorer_of",
    "sets_of",
]

QUERY_BATCH = 32  # photos that are compared at once


@dataclass(frozen=True)
class Answer:
    """What a photo is recognised as.

    Attributes:
        image: how messages name the photo.
        label: the most probable class, or what the caller calls an unknown; None if the photo cannot be read.
        probability: of the most probable class.
        probabilities: (N,) of each class; of a bank, 0 outside the photo's shortlist.
        nearest: the most probable class, also where ``label`` is what the caller calls an unknown; None if the photo
            cannot be read.
        in_support: it is one of the photos that were learnt from, so that its answer proves nothing.
        error: why it cannot be read, or None.
        prediction_set: the classes among which the true one is as often as was asked, the most probable first; None
            if that was not asked, or if the photo cannot be read.
        classes: the labels of the N classes, those of ``classes_`` when it was asked.
    """

    image: str
    label: Any
    probability: float
    probabilities: Float[np.ndarray, " N"]
    nearest: Any = None
    in_support: bool = False
    error: str | None = None
    prediction_set: tuple[Any, ...] | None = None
    classes: Sequence[Any] = ()


@dataclass(frozen=True, eq=False)
class Scored:
    """Photos that were compared with the same classes.

    Attributes:
        known: what is known of these classes.
        photos: Q of them.
        probabilities: (Q, n) of each class, in the order of ``known``.
        known_scores: (Q,) how known each photo is; None where that was not asked.
    """

    known: Knowledge
    photos: Sequence[Photo]
    probabilities: Float[np.ndarray, "Q n"]
    known_scores: Float[np.ndarray, " Q"] | None


# Photos, and whether it is asked how known they are.
Scorer = Callable[[Sequence[Photo], bool], Iterator[Scored]]


def scorer_of(known: Knowledge | Banked) -> Scorer:
    """The method itself."""

    def scorer(photos: Sequence[Photo], asks_how_known: bool) -> Iterator[Scored]:
        for asked in known.asked(photos):
            near, levels = asked.known, asked.levels()
            scores = near.known_score(levels).numpy() if asks_how_known else None
            yield Scored(near, asked.photos, near.probabilities(near.logits(levels)), scores)

    return scorer


def sets_of(known: Knowledge, probabilities: Float[np.ndarray, "Q N"], most: float) -> list[tuple[Any, ...]]:
    """The prediction set of each photo, as labels; ``most`` is what ``Knowledge.set_threshold`` gives."""
    return [tuple(known.order[n] for n in one) for one in prediction_sets(probabilities, most)]


def answers_to(
    known: Knowledge | Banked,
    scorer: Scorer,
    images: Iterable[ImageSource],
    unknown: Any,
    least: float | None,
    most: float | None,
) -> Iterator[Answer]:
    """The answer to each photo, in order.

    Args:
        known: the classes.
        scorer: what compares with them.
        images: the photos.
        unknown: what is answered for a photo of another class.
        least: how known a photo of these classes is at least; None to take each for one of them.
        most: see ``sets_of``; None for no sets.
    """
    with closing(read_photos(images, known.method.preprocess)) as stream:
        for photos in in_batches(stream, QUERY_BATCH):
            readable = [photo for photo in photos if isinstance(photo, Photo)]
            told = (
                one
                for scored in scorer(readable, least is not None)
                for one in _told(known, scored, unknown, least, most)
            )
            for photo in photos:
                if isinstance(photo, Unreadable):
                    nothing = np.full(len(known.order), np.nan)
                    yield Answer(photo.name, None, np.nan, nothing, error=photo.error, classes=known.order)
                else:
                    yield next(told)


def _told(
    known: Knowledge | Banked, scored: Scored, unknown: Any, least: float | None, most: float | None
) -> Iterator[Answer]:
    """The answers to photos that were compared together."""
    near = scored.known
    scores = [np.inf] * len(scored.photos) if scored.known_scores is None else scored.known_scores.tolist()
    sets = [None] * len(scored.photos) if most is None else sets_of(near, scored.probabilities, most)
    whole, order = known.spread_over_all(scored.probabilities, near), known.order
    rows = zip(scored.photos, scored.probabilities, whole, scores, sets, strict=True)
    for photo, own, everywhere, score, likely in rows:
        best = int(own.argmax())
        nearest = near.order[best]
        label = nearest if least is None or score >= least else unknown
        probability = float(own[best])
        known_photo = photo.id in near.photos
        yield Answer(photo.name, label, probability, everywhere, nearest, known_photo, None, likely, order)


def probabilities_of(asked: Asked) -> Float[np.ndarray, "Q N"]:
    """Of each class that the photos are compared with."""
    return asked.known.probabilities(asked.known.logits(asked.levels()))


def asked_in_batches(known: Knowledge | Banked, images: Iterable[ImageSource]) -> Iterator[Asked]:
    """One batch after the other; a photo that cannot be read is an error."""
    for photos in in_batches(read_photos(photo_stream(images), known.method.preprocess), QUERY_BATCH):
        yield from known.asked([readable(photo) for photo in photos])


def readable(photo: Photo | Unreadable) -> Photo:
    """The photo.

    Raises:
        ImageError: it cannot be read.
    """
    if isinstance(photo, Unreadable):
        raise ImageError(photo.error)
    return photo
