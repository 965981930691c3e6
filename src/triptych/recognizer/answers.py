"""Answers to photos: encoded, compared and calibrated, a batch at a time."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from jaxtyping import Float

from triptych.data import ImageError, ImageSource, Photo, Unreadable, photo_stream, read_photos
from triptych.recognizer.banked import Banked
from triptych.recognizer.knowledge import Asked, Knowledge
from triptych.recognizer.sets import prediction_sets

__all__ = ["QUERY_BATCH", "Answer", "answers_to", "asked_in_batches", "probabilities_of", "readable", "sets_of"]

QUERY_BATCH = 32  # photos that are compared at once


@dataclass(frozen=True)
class Answer:
    """What a photo is recognised as.

    Attributes:
        image: how messages name the photo.
        label: the most probable class, or what the caller calls an unknown; None if the photo cannot be read.
        probability: of the most probable class.
        probabilities: (N,) of each class in ``classes_``; of a bank, 0 outside the photo's shortlist.
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


def sets_of(known: Knowledge, probabilities: Float[np.ndarray, "Q N"], most: float) -> list[tuple[Any, ...]]:
    return [tuple(known.order[n] for n in one) for one in prediction_sets(probabilities, most)]


def answers_to(
    known: Knowledge | Banked, images: Iterable[ImageSource], unknown: Any, least: float | None, most: float | None
) -> Iterator[Answer]:
    for photos in _in_batches(read_photos(images, known.method.preprocess)):
        readable = [photo for photo in photos if isinstance(photo, Photo)]
        told = (one for asked in known.asked(readable) for one in _batch(known, asked, unknown, least, most))
        for photo in photos:
            if isinstance(photo, Unreadable):
                yield Answer(photo.name, None, np.nan, np.full(len(known.order), np.nan), error=photo.error)
            else:
                yield next(told)


def _batch(
    known: Knowledge | Banked, asked: Asked, unknown: Any, least: float | None, most: float | None
) -> Iterator[Answer]:
    """The answers to photos that are compared together."""
    near, levels = asked.known, asked.levels()
    probabilities = near.probabilities(near.logits(levels))
    scores = [np.inf] * len(asked.photos) if least is None else near.known_score(levels).tolist()
    sets = [None] * len(asked.photos) if most is None else sets_of(near, probabilities, most)
    whole = known.spread_over_all(probabilities, near)
    for photo, own, everywhere, score, likely in zip(asked.photos, probabilities, whole, scores, sets, strict=True):
        best = int(own.argmax())
        nearest = near.order[best]
        label = nearest if least is None or score >= least else unknown
        known_photo = photo.id in near.photos
        yield Answer(photo.name, label, float(own[best]), everywhere, nearest, known_photo, prediction_set=likely)


def probabilities_of(asked: Asked) -> Float[np.ndarray, "Q N"]:
    return asked.known.probabilities(asked.known.logits(asked.levels()))


def _in_batches(photos: Iterator[Photo | Unreadable]) -> Iterator[list[Photo | Unreadable]]:
    while batch := list(islice(photos, QUERY_BATCH)):
        yield batch


def asked_in_batches(known: Knowledge | Banked, images: Iterable[ImageSource]) -> Iterator[Asked]:
    """One batch after the other; a photo that cannot be read is an error."""
    for photos in _in_batches(read_photos(photo_stream(images), known.method.preprocess)):
        yield from known.asked([readable(photo) for photo in photos])


def readable(photo: Photo | Unreadable) -> Photo:
    if isinstance(photo, Unreadable):
        raise ImageError(photo.error)
    return photo
