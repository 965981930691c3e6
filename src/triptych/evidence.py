"""Evidence: each level's share of an answer, and the patches of the photos that match."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from triptych.methods import MML
from triptych.similarity import pixel_class

if TYPE_CHECKING:
    from triptych.recognizer import Support

__all__ = ["ClassEvidence", "Explanation", "PatchMatch", "explain"]


@dataclass(frozen=True)
class PatchMatch:
    """One local descriptor of the photo and its nearest in a support photo.

    Attributes:
        query: (row, column) of the descriptor in the photo's feature map.
        photo: index of the support photo in its class.
        name: file name of that photo, or "".
        support: (row, column) of the matched descriptor.
        similarity: their cosine.
    """

    query: tuple[int, int]
    photo: int
    name: str
    support: tuple[int, int]
    similarity: float


@dataclass(frozen=True)
class ClassEvidence:
    """Why a photo is, or is not, of one class.

    Attributes:
        label: the class.
        probability: of the class.
        similarities: level -> similarity before fusion.
        contributions: level -> what it adds to the logit, less its mean over all classes: above zero speaks for
            the class, below against it.
        matches: the pixel level's matches, best first; one for each descriptor of the photo.
    """

    label: Any
    probability: float
    similarities: dict[str, float]
    contributions: dict[str, float]
    matches: list[PatchMatch]


@dataclass(frozen=True)
class Explanation:
    """The most probable classes of a photo with the evidence for each, best first.

    Attributes:
        grid: (rows, columns) of the feature map that patches are counted in.
        classes: the evidence.
    """

    grid: tuple[int, int]
    classes: list[ClassEvidence]

    @property
    def label(self) -> Any:
        """The answer."""
        return self.classes[0].label


@torch.no_grad()
def explain(method: MML, query: Tensor, labels: Sequence[Any], supports: "Sequence[Support]", top: int) -> Explanation:
    """Explain one photo's feature map (1, C, H, W) against labelled classes."""
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    levels = method.compare(query, [support.summary for support in supports])
    contributions = method.fusion.contributions(levels)
    probabilities = method.fusion(levels)[0].double().softmax(0)
    grid = (query.shape[2], query.shape[3])
    return Explanation(
        grid,
        [
            ClassEvidence(
                label=labels[n],
                probability=float(probabilities[n]),
                similarities={level: float(scores[0, n]) for level, scores in levels.items()},
                contributions={level: float(part[0, n] - part[0].mean()) for level, part in contributions.items()},
                matches=_matches(query, supports[n]),
            )
            for n in probabilities.argsort(descending=True, stable=True)[:top].tolist()
        ],
    )


def _matches(query: Tensor, support: "Support") -> list[PatchMatch]:
    _, _, height, width = query.shape
    cosines = pixel_class(query) @ pixel_class(support.maps.float()).T  # (M, K*M)
    best = cosines.max(dim=1)
    similarity, nearest = best.values.cpu().numpy(), best.indices.cpu().numpy()
    photo, position = np.divmod(nearest, height * width)
    return [
        PatchMatch(
            query=(int(i) // width, int(i) % width),
            photo=int(photo[i]),
            name=support.names[photo[i]],
            support=(int(position[i]) // width, int(position[i]) % width),
            similarity=float(similarity[i]),
        )
        for i in np.argsort(-similarity, kind="stable")
    ]
