"""Photos that may be in the wrong folder: each is taken out and recognised by the others."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64

from triptych.fusion import Fusion, refitted
from triptych.methods import Encoded, Method
from triptych.recognizer import leave_one_out
from triptych.support import Support

__all__ = ["Doubts", "left_out"]


@dataclass(frozen=True)
class Doubts:
    """Photos that were each left out and recognised by others.

    Attributes:
        photos: (R,) which.
        answers: (R,) the class that the others speak for.
        doubt: (R,) by how much the logit of the best other class exceeds that of the photo's own; above zero the
            answer is another class.
        panel: for each class, the photos that others were compared with.
        fusion: how much each level counted.
    """

    photos: Int64[np.ndarray, " R"]
    answers: Int64[np.ndarray, " R"]
    doubt: Float[np.ndarray, " R"]
    panel: list[np.ndarray]
    fusion: Fusion


@torch.inference_mode()
def left_out(
    method: Method,
    encoded: Encoded,
    labels: Int64[np.ndarray, " B"],
    comparisons: int,
    most: int = 10,
    seed: int = 0,
) -> Doubts:
    """Recognise each photo by a panel of the others, of its own class without itself: see ``leave_one_out``.

    Args:
        method: what recognises them.
        encoded: the photos.
        labels: (B,) their classes 0..N-1. Photos of classes with a single one are not left out.
        comparisons: how many pairs of photos are compared, at most. To keep to it, first the panels shrink, then the
            number of photos left out.
        most: photos of a class's panel, at most.
        seed: of the panels, and of which photos are taken where there are too many.
    """
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(labels == n)) for n in range(labels.max() + 1)]
    size = max(1, min(most, comparisons // (len(labels) * len(members))))
    supports = [_unsummarised(method, encoded, mine) for mine in members]
    found = leave_one_out(method, supports, most=comparisons // (size * len(members)), panel=size)
    which = np.array([int(photo) for photo in found.photos], dtype=np.int64)
    fusion = refitted(method.fusion, found.levels, found.truth)
    logits = fusion(found.levels).double().cpu().numpy()
    panel = [mine[: min(size, max(1, len(mine) - 1))] for mine in members]
    return Doubts(which, logits.argmax(axis=1), _doubt(logits, labels[which]), panel, fusion)


def _unsummarised(method: Method, encoded: Encoded, photos: np.ndarray) -> Support:
    """A class of these photos, whose ids are their numbers; its panels are summarised, and not all of it."""
    nothing = ("",) * len(photos)
    kept = method.keep(encoded[photos].float())
    return Support(kept, 1, tuple(map(str, photos.tolist())), nothing, (b"",) * len(photos), {})


def _doubt(logits: np.ndarray, own: np.ndarray) -> np.ndarray:
    rows = np.arange(len(own))
    others = logits.copy()
    others[rows, own] = -np.inf
    return others.max(axis=1) - logits[rows, own]
