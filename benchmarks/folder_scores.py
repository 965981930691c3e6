"""Levels of any split of a folder by the default method, from what its photos have in common, computed once.

A recogniser of each of hundreds of splits would compare the same patches again and again. Here each patch's nearest in
every photo is found once (in bf16), and so are the products of the vectors that the discriminant analyses read. The
levels are then those that the method gives, up to rounding: a test compares them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.methods import Encoded
from triptych.methods.salience import PIXEL_LEVELS, VECTOR_LEVELS, salient_of
from triptych.methods.salient import SalientMML
from triptych.methods.salient_config import SalientConfig
from triptych.recognizer.leaving_out import LeftOut
from triptych.similarity import mean_shrinkage, pool_advantage

__all__ = ["Analysis", "FolderScores", "Learnt"]

_ROWS = 4  # photos whose patches are sought at once
MOST = 256  # photos left out
_LEAST = 1e-12


@dataclass(frozen=True)
class Learnt:
    """The photos of one split to learn from.

    Attributes:
        photos: (S,) indices.
        labels: (S,) their classes, 0..N-1.
    """

    photos: Int64[np.ndarray, " S"]
    labels: Int64[np.ndarray, " S"]

    @property
    def way(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def shots(self) -> Int64[Tensor, " N"]:
        return torch.from_numpy(np.bincount(self.labels))

    def without(self, place: int) -> "Learnt":
        """Less one photo, and less the last of every other class that has a second; as ``leave_one_out``."""
        lasts = {int(label): int(np.flatnonzero(self.labels == label)[-1]) for label in np.unique(self.labels)}
        own = int(self.labels[place])
        several = np.bincount(self.labels) > 1
        gone = [place, *(last for label, last in lasts.items() if label != own and several[label])]
        return Learnt(np.delete(self.photos, gone), np.delete(self.labels, gone))


class FolderScores:
    """What photos of a folder, and the same photos spoilt in some ways, have in common with them.

    Args:
        method: the default method or one of its kind.
        clean: the encoded photos.
        spoilt: name -> the same photos, encoded after something was done to them.
    """

    def __init__(self, method: SalientMML, clean: Encoded, spoilt: Mapping[str, Encoded] | None = None) -> None:
        self.method = method
        asked = {"clean": clean, **(spoilt or {})}
        vectors = {level: blocks(clean.float()) for level, blocks in VECTOR_LEVELS.items()}
        self.vectors = {
            name: {level: _products(blocks(encoded.float()), vectors[level]) for level, blocks in VECTOR_LEVELS.items()}
            for name, encoded in asked.items()
        }
        self.nearest = {
            name: {level: _nearest(encoded, clean, level, method.config) for level in PIXEL_LEVELS}
            for name, encoded in asked.items()
        }

    def levels(self, learnt: Learnt, photos: Int64[np.ndarray, " Q"], kind: str = "clean") -> dict[str, Tensor]:
        """Level -> (Q, N), of photos as they are or spoilt."""
        advantage = pool_advantage(learnt.shots, self.method.config.pool_gain).numpy()
        found = {level: self.analysis(level, learnt, photos, kind).scores for level in VECTOR_LEVELS}
        for level in PIXEL_LEVELS:
            similarities, weights = self.nearest[kind][level]
            rows, shares = similarities[torch.from_numpy(photos)].float(), weights[torch.from_numpy(photos)]
            pools = [torch.from_numpy(learnt.photos[learnt.labels == n]) for n in range(learnt.way)]
            near = torch.stack([(rows[:, :, pool].amax(2) * shares).sum(1) for pool in pools], dim=1)
            found[level] = near.numpy() - advantage
        return {level: torch.from_numpy(found[level]).float() for level in self.method.level_names}

    def analysis(self, level: str, learnt: Learnt, photos: Int64[np.ndarray, " Q"], kind: str = "clean") -> "Analysis":
        """The discriminant analysis of a level."""
        clean, asked = self.vectors["clean"][level], self.vectors[kind][level]
        support = learnt.photos
        among = _kernel(clean, clean, support, support)
        shrinkage = mean_shrinkage(learnt.shots, self.method.config.prior_photos).numpy()
        return Analysis(
            among, _kernel(clean, asked, support, photos), learnt.labels, self.method.config.ridge, shrinkage
        )

    def left_out(self, learnt: Learnt) -> LeftOut:
        """What ``leave_one_out`` gives: of more than ``MOST`` photos, the first ones of each class."""
        counts = np.bincount(learnt.labels)
        share = counts.max() if len(learnt.photos) <= MOST else MOST // learnt.way
        rank = np.concatenate([np.arange(count) for count in counts])
        places = [i for i in range(len(learnt.photos)) if rank[i] < share and counts[learnt.labels[i]] > 1]
        rows = [self.levels(learnt.without(i), learnt.photos[[i]]) for i in places]
        nothing = torch.empty(0, learnt.way)
        ids = [str(photo) for photo in learnt.photos]
        return LeftOut(
            levels={level: torch.cat([nothing, *(row[level] for row in rows)]) for level in self.method.level_names},
            truth=torch.from_numpy(learnt.labels[places]),
            photos=tuple(ids[i] for i in places),
            classes=tuple(tuple(ids[i] for i in np.flatnonzero(learnt.labels == n)) for n in range(learnt.way)),
        )


def _products(
    asked: Sequence[Tensor], known: Sequence[Tensor]
) -> list[tuple[Float[np.ndarray, "A B"], Float[np.ndarray, " A"]]]:
    """Of each block of vectors: inner products, and squared lengths of those asked about."""
    return [
        ((one.double() @ other.double().T).numpy(), one.double().square().sum(1).numpy())
        for one, other in zip(asked, known, strict=True)
    ]


def _nearest(
    asked: Encoded, known: Encoded, level: str, config: SalientConfig
) -> tuple[Float[Tensor, "A M B"], Float[Tensor, "A M"]]:
    """How similar the nearest patch of each known photo is to each patch asked about, and the patches' weights."""
    theirs = salient_of(known.float(), level, config.support_patches).units
    pool = theirs.flatten(0, 1).bfloat16()
    mine = salient_of(asked.float(), level, config.query_patches)
    parts = []
    for rows in mine.units.split(_ROWS):
        products = rows.flatten(0, 1).bfloat16() @ pool.T
        parts.append(products.view(*rows.shape[:2], *theirs.shape[:2]).amax(3).half())
    return torch.cat(parts), mine.weights


def _kernel(
    clean: Sequence[tuple[np.ndarray, np.ndarray]],
    asked: Sequence[tuple[np.ndarray, np.ndarray]],
    support: Int64[np.ndarray, " S"],
    photos: Int64[np.ndarray, " Q"],
) -> Float[np.ndarray, "Q S"]:
    """Products of the method's vectors: blocks centred by the support, each of unit length."""
    found = np.zeros((len(photos), len(support)))
    for (known, known_squares), (other, other_squares) in zip(clean, asked, strict=True):
        means = known[np.ix_(support, support)].mean(0)  # (S,) products with the centre
        centre = means.mean()
        mine = other[np.ix_(photos, support)]
        centred = mine - mine.mean(1, keepdims=True) - means + centre
        lengths = np.sqrt(np.maximum(other_squares[photos] - 2 * mine.mean(1) + centre, _LEAST))
        theirs = np.sqrt(np.maximum(known_squares[support] - 2 * means + centre, _LEAST))
        found += centred / lengths[:, None] / theirs
    return found / len(clean)


@dataclass(frozen=True)
class Analysis:
    """LDA by inner products alone.

    Attributes:
        among: (S, S) products of the photos learnt from.
        asked: (Q, S) of the photos asked about with them; their own are 1.
        labels: (S,).
        ridge: see ``fit_lda``.
        shrinkage: (N,) of the means in the scores.
    """

    among: np.ndarray
    asked: np.ndarray
    labels: np.ndarray
    ridge: float
    shrinkage: np.ndarray

    @cached_property
    def mean(self) -> Float[np.ndarray, "S N"]:
        """What makes class means of photos."""
        own = np.eye(int(self.labels.max()) + 1)[self.labels]
        return own / own.sum(0)

    @cached_property
    def within(self) -> Float[np.ndarray, "S S"]:
        own = self.mean > 0
        return self._metric(np.eye(len(own)) - own @ self.mean.T, len(own) - own.shape[1])

    @cached_property
    def to_means(self) -> Float[np.ndarray, "Q N"]:
        return self._scaled(self.within, self.asked, self.mean.T @ self.among, self.asked @ self.mean)

    @cached_property
    def lengths(self) -> Float[np.ndarray, " N"]:
        rows = self.mean.T @ self.among
        return np.diag(self._scaled(self.within, rows, rows, rows @ self.mean))

    @property
    def scores(self) -> Float[np.ndarray, "Q N"]:
        return self.shrinkage * self.to_means - self.shrinkage**2 * self.lengths / 2

    @property
    def distances(self) -> Float[np.ndarray, "Q N"]:
        """Squared Mahalanobis distances to the class means."""
        return self._own(self.within)[:, None] - 2 * self.to_means + self.lengths

    @property
    def background(self) -> Float[np.ndarray, " Q"]:
        """The same to the mean of all photos, by their covariance around it."""
        photos = len(self.among)
        return self._own(self._metric(np.eye(photos) - 1 / photos, photos - 1))

    @property
    def cosines(self) -> Float[np.ndarray, "Q N"]:
        """With the class means."""
        lengths = np.diag(self.mean.T @ self.among @ self.mean)
        return self.asked @ self.mean / np.sqrt(np.maximum(lengths, _LEAST))

    @property
    def residual(self) -> Float[np.ndarray, " Q"]:
        """Length of what is outside of the first half of the principal components."""
        values, axes = np.linalg.eigh(self.among)
        kept = slice(len(values) // 2, None)
        explained = ((self.asked @ axes[:, kept]) ** 2 / np.maximum(values[kept], _LEAST)).sum(1)
        return np.sqrt(np.clip(1 - explained, 0, None))

    def _metric(self, deviations: np.ndarray, degrees: int) -> np.ndarray:
        """What the inverse covariance takes off the products of two vectors, given theirs with the photos."""
        covariance = deviations @ self.among @ deviations.T
        covariance[np.diag_indices_from(covariance)] += self.ridge * max(degrees, 1)
        return deviations.T @ np.linalg.solve(covariance, deviations)

    def _scaled(self, metric: np.ndarray, one: np.ndarray, other: np.ndarray, products: np.ndarray) -> np.ndarray:
        return (products - one @ metric @ other.T) / self.ridge

    def _own(self, metric: np.ndarray) -> np.ndarray:
        return (1 - ((self.asked @ metric) * self.asked).sum(1)) / self.ridge
