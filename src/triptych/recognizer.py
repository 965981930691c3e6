"""Recognizer: a few photos per class in, recognised photos out. A scikit-learn classifier of images."""

from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from numbers import Integral
from os import PathLike
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import Tensor

from triptych.calibration import Calibration, Learnt, calibrate, known_score
from triptych.data.images import ImageError, ImageSource
from triptych.devices import usable_device
from triptych.evidence import Explanation, explain
from triptych.fusion import Fusion
from triptych.inputs import LabelledPhotos, as_photos, check_label, labelled_photos, photo_stream
from triptych.leave_one_out import LeftOut
from triptych.methods import MML, chosen_method
from triptych.progress import track
from triptych.support import (
    Photo,
    Support,
    Unreadable,
    encode,
    grow,
    read_class_photos,
    read_photos,
    reduced_to,
    without,
)

__all__ = ["QUERY_BATCH", "Answer", "Recognizer"]

QUERY_BATCH = 32  # photos that are compared at once


@dataclass(frozen=True)
class Answer:
    """What a photo is recognised as.

    Attributes:
        image: how messages name the photo.
        label: the most probable class, or what the caller calls an unknown; None if the photo cannot be read.
        probability: of the most probable class.
        probabilities: (N,) of each class in ``classes_``.
        in_support: it is one of the photos that were learnt from, so that its answer proves nothing.
        error: why it cannot be read, or None.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
    >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
    >>> answer = next(recognizer.answers(photos[:1]))
    >>> answer.label, answer.in_support, answer.error
    ('a', True, None)
    """

    image: str
    label: Any
    probability: float
    probabilities: Float[np.ndarray, " N"]
    in_support: bool = False
    error: str | None = None


class Recognizer(ClassifierMixin, BaseEstimator):
    """Recognise photos from a handful of examples per class, with evidence.

    Args:
        method: an embedded name, a method file, a published checkpoint (see ``load_method``), or a method.
        device: where it computes.
        views: how many views of each photo it learns from: 1 the photo, 2 also its mirror image, more also crops
            of it. For classes of very few photos; time and memory grow with it.
        calibrate: let probabilities follow how often the recogniser is right on its own photos, each left out.
        thumbnails: keep a small JPEG of each photo, so that evidence can be drawn.
        backbone: a vision model of the transformers library to recognise by, in place of ``method``: its name on
            the hub or its folder; see ``pretrained_method``.
        components: reduce descriptors to so many principal components, those of the photos given to ``fit``.
            ``add`` and ``remove`` keep them, so that their result is no longer that of ``fit`` on all photos, but
            that of ``Recognizer(fitted.method_).fit`` on all photos.

    Attributes:
        classes_: (N,) the labels, sorted where they can be, in the caller's dtype.
        method_: the loaded method.
        support_: label -> ``Support``.

    Examples:
        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> red = [np.full((90, 90, 3), (200 - i, 30, 30), np.uint8) for i in range(3)]
        >>> blue = [np.full((90, 90, 3), (30, 30, 200 - i), np.uint8) for i in range(3)]
        >>> recognizer = Recognizer().fit(red[:2] + blue[:2], ["red", "red", "blue", "blue"])
        >>> recognizer.predict([red[2], blue[2]])
        array(['red', 'blue'], dtype='<U4')
    """

    classes_: np.ndarray
    method_: MML
    support_: dict[Any, Support]
    _learnt: Learnt | None  # None until it is asked for
    _left_out: LeftOut | None  # what was last left out, of which a change of classes or photos leaves most

    def __init__(
        self,
        method: str | PathLike[str] | MML = "mml-conv64f",
        device: str = "cpu",
        views: int = 1,
        calibrate: bool = True,
        thumbnails: bool = True,
        backbone: str | PathLike[str] | None = None,
        components: int | None = None,
    ) -> None:
        self.method = method
        self.device = device
        self.views = views
        self.calibrate = calibrate
        self.thumbnails = thumbnails
        self.backbone = backbone
        self.components = components

    def fit(self, images: LabelledPhotos, labels: Iterable[Hashable] | None = None) -> Self:
        """Learn the classes of labelled photos.

        Args:
            images: paths, encoded bytes, PIL images or uint8 arrays (h, w, 3); classes may differ in number. Or,
                without ``labels``: a folder with one sub-folder per class, a CSV file with the columns path and
                label (paths relative to it), or a pandas frame with them. Of a folder, empty sub-folders (while two
                others remain) and photos beside the sub-folders are left out with a warning.
            labels: the class of each photo, of any hashable type.

        Returns:
            self

        Raises:
            ValueError: different numbers of images and labels, fewer than two classes, the same photo in two
                classes (all such photos are named), or a class of which no photo can be read. A photo that cannot be
                read is skipped with a warning while others of its class remain.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.classes_
        array(['a', 'b'], dtype='<U1')
        >>> Recognizer().fit(photos[:2], ["a"])
        Traceback (most recent call last):
        ValueError: expected one label per image, got 2 images and 1 label
        """
        photos, names, dtype = labelled_photos(images, labels)
        if len(dict.fromkeys(names)) < 2:
            raise ValueError(
                f"expected photos of at least two classes, got {len(dict.fromkeys(names))}; recognition is a choice"
            )
        views = _whole("views", self.views)
        components = None if self.components is None else _whole("components", self.components)
        method = chosen_method(self.method, self.backbone).eval().to(usable_device(self.device))
        read = track(read_class_photos(photos, names, method.preprocess.side), "learning", total=len(photos))
        if components is not None:
            decoded = list(read)
            method = reduced_to(method, [photo for _, photo in decoded], components)
            read = iter(decoded)
        support = grow(method, read, {}, views, self.thumbnails)
        self._left_out = None  # of another method, perhaps
        return self._restore(method, support, dtype)

    def add(self, images: Iterable[ImageSource], label: Hashable) -> Self:
        """Add photos to a class, or a new class, without touching the others.

        The result is that of ``fit`` on all photos, bit for bit (with ``components``: see there). The errors are
        those of ``fit``; after one, nothing has changed.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.add(photos[4:], "c").predict(photos[[0, 5]])
        array(['a', 'c'], dtype='<U1')
        """
        self._check_fitted()
        check_label(label)
        photos = as_photos(images)
        if not photos:
            raise ValueError(f"no photos to add to class {label!r}; expected at least one")
        read = read_class_photos(photos, [label] * len(photos), self.method_.preprocess.side)
        read = track(read, "learning", total=len(photos))
        views = next(iter(self.support_.values())).maps.shape[1]  # as many as there are of the others
        support = grow(self.method_, read, self.support_, views, self.thumbnails)
        dtype = self._label_dtype
        return self._restore(self.method_, support, dtype if dtype is not None and _fits(dtype, label) else None)

    def remove(self, label: Hashable) -> Self:
        """Forget a class.

        Raises:
            ValueError: no such class, or fewer than two would remain.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.add(photos[4:], "c").remove("a").classes_
        array(['b', 'c'], dtype='<U1')
        """
        self._check_fitted()
        if label not in self.support_:
            raise ValueError(f"no class {label!r}; expected one of {', '.join(map(repr, self.support_))}")
        if len(self.support_) <= 2:
            raise ValueError(f"removing {label!r} would leave one class; add another class first")
        support = {name: kept for name, kept in self.support_.items() if name != label}
        return self._restore(self.method_, support, self._label_dtype)

    def remove_photo(self, photo: str) -> Self:
        """Forget one photo.

        Args:
            photo: its id, or as much of its beginning as no other photo's id has. The ids are in ``support_``.

        Raises:
            ValueError: no such photo, several, or the last one of its class.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> first, second = recognizer.support_["a"].ids
        >>> recognizer.remove_photo(first[:12]).support_["a"].ids == (second,)
        True
        """
        self._check_fitted()
        found = [
            (label, number)
            for label, kept in self.support_.items()
            for number, name in enumerate(kept.ids)
            if photo and name.startswith(photo)
        ]
        if len(found) != 1:
            raise ValueError(f"{len(found)} photos have an id that begins with {photo!r}; expected exactly one")
        label, number = found[0]
        if len(self.support_[label]) == 1:
            raise ValueError(f"photo {photo!r} is the only one of class {label!r}; remove the class instead")
        support = {**self.support_, label: without(self.method_, self.support_[label], number)}
        return self._restore(self.method_, support, self._label_dtype)

    @property
    def calibration_(self) -> Calibration | None:
        """How far its answers can be trusted; computed when first asked for. None if every class has one photo.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> 0 <= recognizer.calibration_.accuracy <= 1
        True
        """
        return self._learn().calibration

    @property
    def fusion_(self) -> Fusion:
        """What weighs the levels: the method's fusion or, where that was never trained, one learnt from the photos.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.fusion_ is recognizer.method_.fusion
        True
        """
        self._check_fitted()
        return self.method_.fusion if self.method_.fusion.trained else self._learn().fusion

    def predict(
        self, images: Iterable[ImageSource], unknown: Hashable | None = None, false_alarm: float = 0.05
    ) -> np.ndarray:
        """The most probable class of each photo, (B,).

        Args:
            images: photos.
            unknown: what to answer where a photo is of none of the classes; None to choose a class always.
            false_alarm: the share of photos of known classes that may be called unknown, about; of R photos left
                out no less than 1 / (R + 1) can be kept: see ``Calibration.threshold``.

        Raises:
            ImageError: a photo cannot be read; it is named.
            NotFittedError: before ``fit``.
            ValueError: unknowns are asked for, and every class has a single photo, or ``unknown`` is empty or a
                class.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.predict(photos[:3])
        array(['a', 'a', 'b'], dtype='<U1')
        >>> recognizer.predict(photos[:1], unknown="none of these")
        array(['a'], dtype='<U1')
        """
        if unknown is None:
            best = [self._order[n] for _, levels in self._batches(images) for n in self._logits(levels).argmax(1)]
            return self._label_array(best)
        answers = list(self.answers(images, unknown, false_alarm))
        for answer in answers:
            if answer.error is not None:
                raise ImageError(answer.error)
        return self._label_array([answer.label for answer in answers])

    def predict_proba(self, images: Iterable[ImageSource]) -> Float[np.ndarray, "B N"]:
        """The probability of each class in ``classes_`` for each photo; rows sum to 1.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> probabilities = recognizer.predict_proba(photos)
        >>> probabilities.shape, bool(np.allclose(probabilities.sum(1), 1))
        ((6, 2), True)
        """
        found = [self._probabilities(self._logits(levels)) for _, levels in self._batches(images)]
        return np.concatenate(found) if found else np.empty((0, len(self.classes_)))

    def answers(
        self, images: Iterable[ImageSource], unknown: Hashable | None = None, false_alarm: float = 0.05
    ) -> Iterator[Answer]:
        """Recognise any number of photos in bounded memory; one that cannot be read gets an answer that says so.

        The arguments are those of ``predict``; ``images`` may be a generator.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> for answer in recognizer.answers([photos[3], "missing.jpg"]):
        ...     print(answer.label, answer.error)
        b None
        None missing.jpg: No such file or directory; expected an image file
        """
        self._check_fitted()
        if unknown == "":
            raise ValueError("unknown is empty; expected what to call a photo of none of the classes")
        if unknown is not None and unknown in self.support_:
            raise ValueError(f"unknown is {unknown!r}, which is a class; expected another name")
        least = -np.inf if unknown is None else self._threshold(false_alarm)
        known_ids = {photo for kept in self.support_.values() for photo in kept.ids}
        return self._answers(photo_stream(images), unknown, least, known_ids)

    def _answers(
        self, images: Iterable[ImageSource], unknown: Any, least: float, known_ids: set[str]
    ) -> Iterator[Answer]:
        for photos in _in_batches(read_photos(images, self.method_.preprocess.side)):
            order = self._order  # the caller may add or remove a class between two answers
            read = [photo for photo in photos if isinstance(photo, Photo)]
            logits = self._logits(self._compare(read)) if read else torch.empty(0, len(order))
            rows = iter(zip(self._probabilities(logits), known_score(logits).tolist(), strict=True))
            for photo in photos:
                if isinstance(photo, Unreadable):
                    nothing = np.full(len(order), np.nan)
                    yield Answer(photo.name, None, np.nan, nothing, error=photo.error)
                    continue
                probabilities, known = next(rows)
                best = int(probabilities.argmax())
                label = order[best] if known >= least else unknown
                yield Answer(photo.name, label, float(probabilities[best]), probabilities, photo.id in known_ids)

    def levels(self, images: Iterable[ImageSource]) -> dict[str, Float[np.ndarray, "B N"]]:
        """The similarity of each photo to each class at each level, before fusion.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> {level: similarities.shape for level, similarities in recognizer.levels(photos).items()}
        {'distribution': (6, 2), 'pixel': (6, 2), 'part': (6, 2)}
        """
        batches = [levels for _, levels in self._batches(images)]
        names = self.method_.config.levels
        if not batches:
            return {name: np.empty((0, len(self.classes_))) for name in names}
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
        ('b', ['distribution', 'pixel', 'part'])
        >>> match = why.classes[0].matches[0]
        >>> match.query == match.support, round(match.similarity, 2)
        (True, 1.0)
        """
        photo = self._read_one(image)
        supports = [self.support_[label] for label in self._order]
        return explain(self.method_, self.fusion_, photo.pixels, self._order, supports, top, self._temperature())

    def knows(self, image: ImageSource) -> bool:
        """Whether a photo is one of those it was fitted on, so that its answer proves nothing.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> recognizer.knows(photos[0]), recognizer.knows(photos[5])
        (True, False)
        """
        photo = self._read_one(image)
        return any(photo.id in kept.ids for kept in self.support_.values())

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.triptych`` file with the method and what is kept of the classes, whole or not at all.

        Raises:
            ValueError: a label is no string, number or boolean.
            OSError: the file cannot be written.

        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
        >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     recognizer.save(f"{folder}/two.triptych")
        ...     Recognizer.load(f"{folder}/two.triptych").classes_
        array(['a', 'b'], dtype='<U1')
        """
        from triptych.recognizer_file import write_recognizer

        self._check_fitted()
        write_recognizer(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "cpu") -> "Recognizer":
        """Read a ``.triptych`` file; it holds numbers and text, and never runs code.

        Raises:
            ValueError: the file is missing, damaged, altered, or from a newer version.

        >>> from triptych import Recognizer
        >>> Recognizer.load("missing.triptych")
        Traceback (most recent call last):
        ValueError: missing.triptych: No such file or directory; expected a .triptych file
        """
        from triptych.recognizer_file import read_recognizer

        return read_recognizer(path, device)

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn that its input is photos, or where they lie, and no table of numbers."""
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array, tags.input_tags.two_d_array, tags.input_tags.string = True, False, True
        tags.no_validation = True
        return tags

    def _restore(self, method: MML, support: dict[Any, Support], dtype: np.dtype | None) -> Self:
        """Take on a fitted state, at once and only when all of it is there."""
        labels = list(support)
        try:
            self._order = sorted(labels)
        except TypeError:  # labels of mixed types have no order but that of their arrival
            self._order = labels
        self.method_, self.support_, self._label_dtype = method, support, _of_any_width(dtype)
        self._learnt = None
        self.classes_ = self._label_array(self._order)
        return self

    def _label_array(self, labels: list[Any]) -> np.ndarray:
        """Labels in the caller's dtype, as objects where they do not fit it."""
        dtype = self._label_dtype
        if dtype is not None and all(_fits(dtype, label) for label in labels):
            return np.array(labels, dtype=dtype)
        array = np.empty(len(labels), dtype=object)
        array[:] = labels
        return array

    def _batches(self, images: Iterable[ImageSource]) -> Iterator[tuple[list[Photo], dict[str, Tensor]]]:
        self._check_fitted()
        for photos in _in_batches(read_photos(photo_stream(images), self.method_.preprocess.side)):
            read = [_readable(photo) for photo in photos]
            yield read, self._compare(read)

    def _read_one(self, image: ImageSource) -> Photo:
        self._check_fitted()
        return _readable(next(read_photos([image], self.method_.preprocess.side)))

    @torch.no_grad()
    def _compare(self, photos: list[Photo]) -> dict[str, Tensor]:
        maps = encode(self.method_, np.stack([photo.pixels for photo in photos]))
        return self.method_.compare(maps, [self.support_[label].summary for label in self._order])

    @torch.no_grad()
    def _logits(self, levels: dict[str, Tensor]) -> Tensor:
        return self.fusion_(levels).double()

    def _probabilities(self, logits: Tensor) -> np.ndarray:
        return (logits / self._temperature()).softmax(dim=1).cpu().numpy()

    def _temperature(self) -> float:
        calibration = self.calibration_ if self.calibrate else None
        return 1.0 if calibration is None else calibration.temperature

    def _threshold(self, false_alarm: float) -> float:
        if self.calibration_ is None:
            raise ValueError("unknowns cannot be told: every class has a single photo; add a second one to some class")
        return self.calibration_.threshold(false_alarm)

    def _learn(self) -> Learnt:
        self._check_fitted()
        if self._learnt is None:
            supports = [self.support_[label] for label in self._order]
            self._learnt = calibrate(self.method_, supports, self._left_out)
            self._left_out = self._learnt.left_out
        return self._learnt

    def _check_fitted(self) -> None:
        if not hasattr(self, "support_"):
            raise NotFittedError("this Recognizer knows no classes yet; call fit(images, labels) first")


def _whole(name: str, value: Any) -> int:
    """A setting that counts something; a search over an array sets NumPy's numbers."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a whole number of at least 1, got {value!r}")
    return int(value)


def _readable(photo: Photo | Unreadable) -> Photo:
    if isinstance(photo, Unreadable):
        raise ImageError(photo.error)
    return photo


def _in_batches(photos: Iterator[Photo | Unreadable]) -> Iterator[list[Photo | Unreadable]]:
    while batch := list(islice(photos, QUERY_BATCH)):
        yield batch


def _of_any_width(dtype: np.dtype | None) -> np.dtype | None:
    """A width would be that of the names that came first: longer ones must fit, and files must not tell."""
    return np.dtype(dtype.kind) if dtype is not None and dtype.kind in "US" else dtype


def _fits(dtype: np.dtype, label: Any) -> bool:
    kind = np.asarray(label).dtype.kind
    if dtype.kind in "iu" and kind in "iu":
        return np.iinfo(dtype).min <= label <= np.iinfo(dtype).max
    return kind == dtype.kind
