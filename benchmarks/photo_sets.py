"""Folders of photos for benchmarks: encoded once, as they are and spoilt in some ways, and drawn from."""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from folder_scores import FolderScores, Learnt
from jaxtyping import Int64
from PIL import Image, ImageEnhance, ImageFilter

from triptych.comparison.collection import collect
from triptych.data import Photo, read_photos
from triptych.methods import Encoded
from triptych.methods.salient import SalientMML
from triptych.recognizer.calibration import Learnt as Knows
from triptych.recognizer.calibration import learn_from, uncalibrated
from triptych.support import encode, support_of
from triptych.system.progress import track

_SEED = 0
_T = TypeVar("_T")


def _jpeg(photo: Image.Image) -> Image.Image:
    encoded = io.BytesIO()
    photo.save(encoded, "JPEG", quality=5)
    return Image.open(encoded).convert("RGB")


def _blurred(photo: Image.Image) -> Image.Image:
    return photo.filter(ImageFilter.GaussianBlur(0.02 * min(photo.size)))


def _dark(photo: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(photo).enhance(0.25)


def _rotated(photo: Image.Image) -> Image.Image:
    return photo.rotate(30, resample=Image.Resampling.BICUBIC)


SHIFTS: Mapping[str, Callable[[Image.Image], Image.Image]] = {
    "jpeg": _jpeg,
    "blur": _blurred,
    "dark": _dark,
    "rotate": _rotated,
}


@dataclass(frozen=True)
class Photos:
    """Encoded photos of a folder.

    Attributes:
        name: of the folder.
        labels: (B,) 0..C-1.
        clean: as they are.
        scores: what they and the spoilt ones have in common.
        fingerprint: of the folder's photos and classes.
    """

    name: str
    labels: np.ndarray
    clean: Encoded
    scores: FolderScores
    fingerprint: str


@torch.no_grad()
def read_folder(
    method: SalientMML, folder: Path, shifts: tuple[str, ...] = (), most: int = 20, cache: Path | None = None
) -> Photos:
    """Read and encode the photos of a folder, so many of each class; ``cache`` is a folder that keeps what was made."""
    names, labels, fingerprint, clean = _cached(cache, f"{folder.name}-clean", lambda: _clean(method, folder))
    rng = np.random.default_rng(_SEED)
    members = [rng.permutation(np.flatnonzero(labels == n))[:most] for n in range(labels.max() + 1)]
    kept = np.sort(np.concatenate(members))

    def spoilt(shift: str) -> Encoded:
        return _cached(cache, f"{folder.name}-{shift}", lambda: _spoilt(method, names, SHIFTS[shift]))[kept]

    def scores() -> FolderScores:
        return FolderScores(method, clean[kept], {shift: spoilt(shift) for shift in shifts})

    kind = "-".join([folder.name, str(most), *shifts])
    return Photos(folder.name, labels[kept], clean[kept], _cached(cache, f"{kind}-scores", scores), fingerprint)


def _cached(cache: Path | None, name: str, make: Callable[[], _T]) -> _T:
    if cache is None:
        return make()
    file = cache / f"{name}.pt"
    if not file.exists():
        torch.save(make(), file)
    return torch.load(file, weights_only=False)


def _clean(method: SalientMML, folder: Path) -> tuple[tuple[str, ...], np.ndarray, str, Encoded]:
    found = collect(method, folder)
    return found.names, found.labels, found.fingerprint, found.encoded


def _spoilt(method: SalientMML, names: tuple[str, ...], spoil: Callable[[Image.Image], Image.Image]) -> Encoded:
    images = (spoil(Image.open(name).convert("RGB")) for name in names)
    read = track(read_photos(images, method.preprocess), "encoding", total=len(names))
    return Encoded.join([encode(method, photo.pixels[None]).to_keep() for photo in read if isinstance(photo, Photo)])


@dataclass(frozen=True)
class Draw:
    """One split: photos to learn from, others of the same classes, and photos of other classes.

    Attributes:
        learnt: what is learnt from.
        known: (Q,) photos of the same classes.
        truth: (Q,) their classes.
        unknown: (U,) photos of other classes.
    """

    learnt: Learnt
    known: Int64[np.ndarray, " Q"]
    truth: Int64[np.ndarray, " Q"]
    unknown: Int64[np.ndarray, " U"]


def draw(labels: Int64[np.ndarray, " B"], seed: int, shot: int, known: int, unknown: int = 0, asked: int = 5) -> Draw:
    """So many classes to learn, and others to be unknown.

    Raises:
        ValueError: too few classes, or too few with a photo more than is learnt from.
    """
    rng = np.random.default_rng([seed, shot])
    counts = np.bincount(labels)
    classes = rng.permutation(np.flatnonzero(counts > shot))
    others = np.concatenate([classes[known:], np.flatnonzero(counts <= shot)])
    if len(classes) < known or len(others) < unknown:
        raise ValueError(f"expected {known} classes of more than {shot} photos and {unknown} others, got {counts}")
    drawn = [rng.permutation(np.flatnonzero(labels == n)) for n in classes[:known]]
    strange = [rng.permutation(np.flatnonzero(labels == n))[:asked] for n in rng.permutation(others)[:unknown]]
    queries = [mine[shot : shot + asked] for mine in drawn]
    return Draw(
        learnt=Learnt(np.concatenate([mine[:shot] for mine in drawn]), np.repeat(np.arange(known), shot)),
        known=np.concatenate(queries),
        truth=np.repeat(np.arange(known), [len(mine) for mine in queries]),
        unknown=np.concatenate([np.empty(0, np.int64), *strange]),
    )


def knows(photos: Photos, learnt: Learnt) -> Knows:
    """What a recogniser learns from the photos of a split."""
    left_out = photos.scores.left_out(learnt)
    if len(left_out.truth):
        return learn_from(photos.scores.method, left_out)
    method = photos.scores.method
    members = [learnt.photos[learnt.labels == n] for n in range(learnt.way)]
    return uncalibrated(method, [support_of(method, photos.clean[mine]) for mine in members])
