"""Evidence: each level's share of an answer, the patches that match, and the parts that match."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.methods import MML
from triptych.similarity import nearest_similarity, part_class, pixel_class
from triptych.support import Support, encode

__all__ = ["ClassEvidence", "Explanation", "PartMatch", "PatchMatch", "explain"]


_BLOCK = 1 << 16  # members of a pool that are compared at once


@dataclass(frozen=True)
class PatchMatch:
    """One local descriptor of the photo and its nearest in a class's photos.

    Attributes:
        query: (row, column) of the descriptor in the photo's feature map.
        photo: index of the support photo in its class.
        name: file name of that photo, or "".
        support: (row, column) of the matched descriptor.
        similarity: their cosine.
        margin: how much more similar that is than the nearest in a class is on average over all classes: above
            zero the patch speaks for this class.
    """

    query: tuple[int, int]
    photo: int
    name: str
    support: tuple[int, int]
    similarity: float
    margin: float


@dataclass(frozen=True)
class PartMatch:
    """One channel of the photo and its nearest among the channels of a class's photos.

    Attributes:
        channel: of the photo's feature map.
        photo: index of the support photo in its class.
        name: file name of that photo, or "".
        support_channel: the matched channel.
        similarity: as the method compares parts: their cosine, or inner product.
        margin: as that of a ``PatchMatch``.
    """

    channel: int
    photo: int
    name: str
    support_channel: int
    similarity: float
    margin: float


@dataclass(frozen=True)
class ClassEvidence:
    """Why a photo is, or is not, of one class.

    Attributes:
        label: the class.
        probability: of the class.
        similarities: level -> similarity before fusion.
        contributions: level -> what it adds to the logit, less its mean over all classes: above zero speaks for
            the class, below against it.
        matches: the pixel level's matches, the strongest margin first; one for each descriptor of the photo.
        parts: the part level's matches, the strongest margin first; one for each channel.
        thumbnails: the class's photos as small JPEGs, or b"" where none are kept.
    """

    label: Any
    probability: float
    similarities: dict[str, float]
    contributions: dict[str, float]
    matches: list[PatchMatch]
    parts: list[PartMatch]
    thumbnails: tuple[bytes, ...]


@dataclass(frozen=True)
class Explanation:
    """The most probable classes of a photo with the evidence for each, best first.

    Attributes:
        image: (side, side, 3) uint8, the photo as it is recognised.
        grid: (rows, columns) of the feature map that patches are counted in.
        classes: the evidence.
        responses: (C, rows, columns) the photo's feature map: where each channel responds.
    """

    image: np.ndarray
    grid: tuple[int, int]
    classes: list[ClassEvidence]
    responses: np.ndarray

    @property
    def label(self) -> Any:
        """The answer."""
        return self.classes[0].label

    def heatmap(self, rank: int = 0) -> np.ndarray:
        """(rows, columns) the margin of each patch for the class at ``rank``; where the pixel level finds it."""
        values = np.zeros(self.grid)
        for match in self.classes[rank].matches:
            values[match.query] = match.margin
        return values

    def save(self, path: str | PathLike[str]) -> None:
        """Draw the evidence into a PNG file, whole or not at all.

        Raises:
            OSError: the file cannot be written.
            RuntimeError: matplotlib is not installed.
        """
        from triptych.drawing import draw_explanation
        from triptych.files import write_whole

        write_whole(path, draw_explanation(self))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from triptych.drawing import draw_explanation

        return draw_explanation(self)


@torch.no_grad()
def explain(
    method: MML, pixels: np.ndarray, labels: Sequence[Any], supports: Sequence[Support], top: int, temperature: float
) -> Explanation:
    """Explain one photo (side, side, 3) against labelled classes."""
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    query = encode(method, pixels[None])
    levels = method.compare(query, [support.summary for support in supports])
    contributions = {level: temperature * part for level, part in method.fusion.contributions(levels).items()}
    probabilities = (temperature * method.fusion(levels)[0].double()).softmax(0)
    patches = pixel_class(query) if "pixel" in levels else None  # (M, C)
    parts = part_class(query, method.config.part_normalize) if "part" in levels else None  # (C, M)
    evidence = [
        ClassEvidence(
            label=labels[n],
            probability=float(probabilities[n]),
            similarities={level: float(scores[0, n]) for level, scores in levels.items()},
            contributions={level: float(part[0, n] - part[0].mean()) for level, part in contributions.items()},
            matches=[] if patches is None else _patch_matches(patches, supports, n, query.shape[3]),
            parts=[] if parts is None else _part_matches(parts, supports, n),
            thumbnails=supports[n].thumbnails,
        )
        for n in probabilities.argsort(descending=True, stable=True)[:top].tolist()
    ]
    return Explanation(pixels, (query.shape[2], query.shape[3]), evidence, query[0].float().cpu().numpy())


def _patch_matches(patches: Tensor, supports: Sequence[Support], n: int, width: int) -> list[PatchMatch]:
    return [
        PatchMatch(
            query=divmod(row, width),
            photo=photo,
            name=supports[n].names[photo],
            support=divmod(place, width),
            similarity=similarity,
            margin=margin,
        )
        for row, photo, place, similarity, margin in _matches(patches, "pixel", supports, n)
    ]


def _part_matches(parts: Tensor, supports: Sequence[Support], n: int) -> list[PartMatch]:
    return [
        PartMatch(channel, photo, supports[n].names[photo], other, similarity, margin)
        for channel, photo, other, similarity, margin in _matches(parts, "part", supports, n)
    ]


def _matches(rows: Tensor, level: str, supports: Sequence[Support], n: int) -> list[tuple[int, int, int, float, float]]:
    """(row, photo, member of that photo, similarity, margin) of each row's nearest in class n, by margin."""
    pools = [support.summary[level] for support in supports]
    # Each row as a query of its own: its best similarity to every class, without a table of all pairs.
    best = nearest_similarity(rows[:, None], pools, k=1)  # (R, N)
    margins = (best[:, n] - best.mean(1)).tolist()
    nearest = _nearest(rows, pools[n]).tolist()
    views = supports[n].maps.shape[1]
    members = len(pools[n]) // (len(supports[n]) * views)  # of one view of one photo
    similarities = best[:, n].tolist()
    return [
        (row, nearest[row] // (members * views), nearest[row] % members, similarities[row], margins[row])
        for row in sorted(range(len(rows)), key=lambda row: -margins[row])
    ]


def _nearest(rows: Tensor, pool: Tensor) -> Tensor:
    """Which member of the pool each row is nearest to."""
    values, indices = [], []
    for number, block in enumerate(pool.split(_BLOCK)):
        best = (rows @ block.T).max(dim=1)
        values.append(best.values)
        indices.append(best.indices + number * _BLOCK)
    which = torch.stack(values).argmax(dim=0)  # (R,)
    return torch.stack(indices).gather(0, which[None])[0]
