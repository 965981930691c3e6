"""Recognizer: a few photos per class in, recognised photos out. A scikit-learn classifier of images."""

import hashlib
import warnings
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import Tensor

from triptych.data.images import ImageError, ImageSource, read_image, source_name, squash
from triptych.evidence import Explanation, explain
from triptych.methods import MML, ClassSummary, load_method
from triptych.progress import track

__all__ = ["Recognizer", "Support"]

_QUERY_BATCH = 32


@dataclass(frozen=True)
class Support:
    """What is kept of one class: not its photos, but what recognition needs of them.

    Attributes:
        maps: (K, C, H, W) float16 feature maps.
        digests: a hash of each photo's scaled pixels.
        names: the file name of each photo, or "".
        summary: what queries are compared with; derived from the maps.
    """

    maps: Tensor
    digests: tuple[bytes, ...]
    names: tuple[str, ...]
    summary: ClassSummary


class Recognizer(ClassifierMixin, BaseEstimator):
    """Recognise photos from a handful of examples per class, with evidence.

    Args:
        method: an embedded name, a method file, a published checkpoint (see ``load_method``), or a method.
        device: where it computes.

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

    def __init__(self, method: str | PathLike[str] | MML = "mml-conv64f", device: str = "cpu") -> None:
        self.method = method
        self.device = device

    def fit(self, images: Iterable[ImageSource], labels: Iterable[Hashable]) -> Self:
        """Learn the classes of labelled photos.

        Args:
            images: paths, encoded bytes, PIL images or uint8 arrays (h, w, 3); classes may differ in number.
            labels: the class of each photo, of any hashable type.

        Returns:
            self

        Raises:
            ValueError: different numbers of images and labels, fewer than two classes, the same photo in two
                classes, or a class of which no photo can be read. A photo that cannot be read is skipped with a
                warning while others of its class remain.
        """
        photos, names = _as_list(images, "images"), _as_list(labels, "labels")
        if len(photos) != len(names):
            raise ValueError(f"expected one label per image, got {len(photos)} images and {len(names)} labels")
        if len(dict.fromkeys(names)) < 2:
            raise ValueError(
                f"expected photos of at least two classes, got {len(dict.fromkeys(names))}; recognition is a choice"
            )
        method = self.method if isinstance(self.method, MML) else load_method(self.method)
        method = method.eval().to(self.device)
        grouped: dict[Any, list[ImageSource]] = {}
        for photo, name in zip(photos, names, strict=True):
            grouped.setdefault(name, []).append(photo)
        read = list(track(_read_classes(grouped, method.preprocess.side), "reading photos", total=len(photos)))
        support = _support(method, read, {})
        self.method_, self.support_ = method, support
        self._label_dtype = _dtype_of(labels, names)
        self._set_classes()
        return self

    def add(self, images: Iterable[ImageSource], label: Hashable) -> Self:
        """Add photos to a class, or a new class, without touching the others.

        The result is that of ``fit`` on all photos. The errors are those of ``fit``.
        """
        self._check_fitted()
        photos = _as_list(images, "images")
        if not photos:
            raise ValueError(f"no photos to add to class {label!r}; expected at least one")
        read = list(_read_classes({label: photos}, self.method_.preprocess.side))
        self.support_ = _support(self.method_, read, self.support_)
        if self._label_dtype is not None and not _fits(self._label_dtype, label):
            self._label_dtype = None
        self._set_classes()
        return self

    def remove(self, label: Hashable) -> Self:
        """Forget a class.

        Raises:
            ValueError: no such class, or fewer than two would remain.
        """
        self._check_fitted()
        if label not in self.support_:
            raise ValueError(f"no class {label!r}; expected one of {', '.join(map(repr, self.support_))}")
        if len(self.support_) <= 2:
            raise ValueError(f"removing {label!r} would leave one class; add another class first")
        self.support_ = {name: kept for name, kept in self.support_.items() if name != label}
        self._set_classes()
        return self

    def predict(self, images: Iterable[ImageSource]) -> np.ndarray:
        """The most probable class of each photo, (B,).

        Raises:
            ImageError: a photo cannot be read; it is named.
            NotFittedError: before ``fit``.
        """
        best = self.predict_proba(images).argmax(axis=1)
        return self.classes_[best]

    @torch.no_grad()
    def predict_proba(self, images: Iterable[ImageSource]) -> Float[np.ndarray, "B N"]:
        """The probability of each class in ``classes_`` for each photo; rows sum to 1."""
        logits = [self.method_.fusion(levels) for levels in self._levels(images)]
        if not logits:
            return np.empty((0, len(self.classes_)))
        return torch.cat(logits).double().softmax(dim=1).cpu().numpy()

    @torch.no_grad()
    def levels(self, images: Iterable[ImageSource]) -> dict[str, Float[np.ndarray, "B N"]]:
        """The similarity of each photo to each class at each level, before fusion."""
        batches = list(self._levels(images))
        names = self.method_.config.levels
        return {name: torch.cat([batch[name] for batch in batches]).cpu().numpy() for name in names}

    def explain(self, image: ImageSource, top: int = 3) -> Explanation:
        """Why a photo is recognised as what it is: each level's share, and the patches that match.

        Args:
            image: one photo.
            top: how many of the most probable classes are explained.
        """
        self._check_fitted()
        pixels = _pixels(image, self.method_.preprocess.side)
        with torch.no_grad():
            maps = self._encode(pixels[None])
        supports = [self.support_[label] for label in self._order]
        return explain(self.method_, maps, list(self.classes_), supports, top)

    def knows(self, image: ImageSource) -> bool:
        """Whether a photo is one of those it was fitted on, so that its answer proves nothing."""
        self._check_fitted()
        digest = _digest(_pixels(image, self.method_.preprocess.side))
        return any(digest in kept.digests for kept in self.support_.values())

    def save(self, path: str | PathLike[str]) -> None:
        """Write one ``.triptych`` file with the method and what is kept of the classes, whole or not at all.

        Raises:
            ValueError: a label is no string, number or boolean.
            OSError: the file cannot be written.
        """
        from triptych.recognizer_file import write_recognizer

        self._check_fitted()
        write_recognizer(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str], device: str = "cpu") -> "Recognizer":
        """Read a ``.triptych`` file; it holds numbers and text, and never runs code.

        Raises:
            ValueError: the file is missing, damaged, altered, or from a newer version.
        """
        from triptych.recognizer_file import read_recognizer

        return read_recognizer(path, device)

    def _restore(self, method: MML, support: dict[Any, Support], dtype: np.dtype | None) -> Self:
        self.method_, self.support_, self._label_dtype = method, support, dtype
        self._set_classes()
        return self

    def _set_classes(self) -> None:
        labels = list(self.support_)
        try:
            self._order = sorted(labels)
        except TypeError:  # labels of mixed types have no order but that of their arrival
            self._order = labels
        self.classes_ = np.empty(len(labels), dtype=object)
        self.classes_[:] = self._order
        if self._label_dtype is not None:
            kind = self._label_dtype
            # A fixed-width string type must grow with a longer name.
            self.classes_ = self.classes_.astype(str if kind.kind == "U" else kind)

    @torch.no_grad()
    def _levels(self, images: Iterable[ImageSource]) -> Iterable[dict[str, Tensor]]:
        self._check_fitted()
        photos = _as_list(images, "images")
        summaries = [self.support_[label].summary for label in self._order]
        for start in range(0, len(photos), _QUERY_BATCH):
            side = self.method_.preprocess.side
            pixels = np.stack([_pixels(photo, side) for photo in photos[start : start + _QUERY_BATCH]])
            yield self.method_.compare(self._encode(pixels), summaries)

    def _encode(self, pixels: np.ndarray) -> Tensor:
        return _encode(self.method_, pixels)

    def _check_fitted(self) -> None:
        if not hasattr(self, "support_"):
            raise NotFittedError("this Recognizer knows no classes yet; call fit(images, labels) first")


def _read_classes(grouped: dict[Any, list[ImageSource]], side: int) -> Iterable[tuple[Any, str, np.ndarray]]:
    """(label, photo's name, pixels) of every photo that can be read; a warning lists the others."""
    failures: list[str] = []
    for label, photos in grouped.items():
        errors = []
        for photo in photos:
            try:
                pixels = _pixels(photo, side)
            except ImageError as error:
                errors.append(str(error))
                continue
            yield label, source_name(photo), pixels
        if len(errors) == len(photos):
            raise ImageError(f"class {label!r}: none of its {len(photos)} photos can be read; the first: {errors[0]}")
        failures += errors
    if failures:
        listed = "\n  ".join(failures)
        warnings.warn(f"skipped {len(failures)} unreadable photos:\n  {listed}", stacklevel=3)


@torch.no_grad()
def _support(
    method: MML, read: Sequence[tuple[Any, str, np.ndarray]], before: dict[Any, Support]
) -> dict[Any, Support]:
    """``before`` with the photos added; only the classes that change are summarised."""
    owners = {digest: label for label, kept in before.items() for digest in kept.digests}
    fresh: dict[Any, list[tuple[str, bytes, np.ndarray]]] = {}
    for label, name, pixels in read:
        digest = _digest(pixels)
        if digest in owners:
            _refuse_conflict(owners[digest], label, name)
            continue
        owners[digest] = label
        fresh.setdefault(label, []).append((name, digest, pixels))
    support = dict(before)
    for label, photos in fresh.items():
        names, digests, pixels_of = zip(*photos, strict=True)
        # float16 from the start, so that a loaded file answers exactly as the recogniser that wrote it.
        maps = _encode(method, np.stack(pixels_of)).half().contiguous()
        names = tuple(Path(name).name for name in names)
        if label in before:
            old = before[label]
            maps, digests, names = torch.cat([old.maps, maps]), old.digests + digests, old.names + names
        support[label] = Support(maps, digests, names, method.summarise(maps.float()))
    return support


def _refuse_conflict(owner: Any, label: Any, name: str) -> None:
    if owner != label:
        raise ValueError(f"{name}: the same photo is given as {owner!r} and as {label!r}; keep it in one class")
    warnings.warn(f"{name}: already among the photos of {label!r}; counted once", stacklevel=4)


def _encode(method: MML, pixels: np.ndarray) -> Tensor:
    """Feature maps, one image at a time: a photo's map must not depend on what is encoded with it."""
    device = next(method.parameters()).device
    batch = torch.from_numpy(pixels).to(device)
    return torch.cat([method.encode(method.preprocess.normalise(image[None])) for image in batch])


def _pixels(photo: ImageSource, side: int) -> np.ndarray:
    return np.array(squash(read_image(photo, side), side))


def _digest(pixels: np.ndarray) -> bytes:
    return hashlib.blake2b(pixels.tobytes(), digest_size=16).digest()


def _as_list(values: Iterable[Any], what: str) -> list[Any]:
    single = isinstance(values, str | PathLike | bytes | Image.Image)
    if isinstance(values, np.ndarray) and what == "images":
        single = values.ndim == 2 or (values.ndim == 3 and values.shape[2] in {3, 4})
    if single or not isinstance(values, Iterable):
        raise ValueError(f"expected a sequence of {what}, got a single {type(values).__name__}; wrap it in a list")
    return list(values)


def _dtype_of(labels: Iterable[Hashable], names: list[Any]) -> np.dtype | None:
    """The dtype in which labels are returned: the caller's, or what NumPy makes of plain strings and numbers."""
    if isinstance(labels, np.ndarray):
        return labels.dtype if labels.dtype != object else None
    kinds = {type(name) for name in names}
    return np.asarray(names).dtype if len(kinds) == 1 and kinds <= {str, int, float, bool} else None


def _fits(dtype: np.dtype, label: Any) -> bool:
    return np.asarray(label).dtype.kind == dtype.kind
