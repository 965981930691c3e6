"""Evidence as data: which patches and parts of a photo match which of a class's photos."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["ClassEvidence", "PartMatch", "PatchMatch"]


@dataclass(frozen=True)
class PatchMatch:
    """One local descriptor of the photo and its nearest in a class's photos, or one of its k nearest.

    Attributes:
        query: (row, column) of the descriptor in the photo's feature map.
        photo: index of the support photo in its class.
        name: file name of that photo, or "".
        view: which view of that photo: 0 itself, 1 its mirror image, from 2 crops of it.
        support: (row, column) of the matched patch in the grid of the photo itself, whatever the view.
        similarity: their cosine.
        margin: the similarity, less the mean over all classes of the similarity with the nearest there. Above zero the
            patch speaks for this class.
    """

    query: tuple[int, int]
    photo: int
    name: str
    view: int
    support: tuple[int, int]
    similarity: float
    margin: float


@dataclass(frozen=True)
class PartMatch:
    """One channel of the photo and its nearest among the channels of a class's photos, or one of its k nearest.

    Attributes:
        channel: of the photo's feature map.
        photo: index of the support photo in its class.
        name: file name of that photo, or "".
        view: which view of that photo, as in ``PatchMatch``.
        support_channel: the matched channel.
        similarity: as the method compares parts: their cosine, or inner product.
        margin: as that of a ``PatchMatch``.
    """

    channel: int
    photo: int
    name: str
    view: int
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
        matches: the pixel level's matches, one for each descriptor of the photo in the default method, the level's k
            in others. The first name the evidence best: see ``triptych.evidence.naming``.
        parts: the part level's matches, the strongest margin first; ``part_k`` for each channel.
        thumbnails: the class's photos as small JPEGs, or b"" where none are kept.
        losses: (rows, columns) what the class's logit above the mean of all classes loses without each patch, by all
            levels; None for a method that cannot tell.
    """

    label: Any
    probability: float
    similarities: dict[str, float]
    contributions: dict[str, float]
    # Hundreds of matches, and bytes, would bury the rest when it is printed.
    matches: list[PatchMatch] = field(repr=False)
    parts: list[PartMatch] = field(repr=False)
    thumbnails: tuple[bytes, ...] = field(repr=False)
    losses: np.ndarray | None = field(default=None, repr=False, compare=False)
