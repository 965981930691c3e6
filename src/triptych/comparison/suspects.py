"""Photos that may be in the wrong folder: each is taken out and recognised by the others."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64

from triptych.fusion import Fusion, refitted
from triptych.methods import Encoded, Method
from triptych.recognizer.leave_one_out import even_shares
from triptych.system.progress import track

__all__ = ["Doubts", "left_out"]


@dataclass(frozen=True)
class Doubts:
    """Photos that were each recognised without themselves.

    Attributes:
        photos: (R,) which.
        answers: (R,) the class that the others speak for.
        doubt: (R,) by how much the logit of the best other class exceeds that of the photo's own; above zero the
            answer is another class.
        panel: for each class, the photos that spoke for it.
        fusion: what weighed the levels.
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
    """Recognise each photo by a panel of the others, of its own class without itself.

    Every class lacks a photo, so that a photo's own is at no disadvantage: see ``leave_one_out``.

    Args:
        method: what recognises them.
        encoded: the photos.
        labels: (B,) their classes 0..N-1. Photos of classes with a single one are not left out.
        comparisons: of two photos, at most. The panels shrink to hold it, and then the number of photos.
        most: photos of a class's panel, at most.
        seed: of the panels, and of which photos are taken where there are too many.
    """
    rng = np.random.default_rng(seed)
    members = [rng.permutation(np.flatnonzero(labels == n)) for n in range(labels.max() + 1)]
    size = max(1, min(most, comparisons // (len(labels) * len(members))))
    counts = [len(mine) if len(mine) > 1 else 0 for mine in members]
    shares = even_shares(counts, comparisons // (size * len(members)))
    sizes = [min(size, max(1, len(mine) - 1)) for mine in members]
    summaries = [method.summarise(encoded[mine[:n]].float()) for mine, n in zip(members, sizes, strict=True)]
    taken, rows = [], []
    for n in track(np.flatnonzero(shares).tolist(), "leaving out", total=len(members)):
        photos = members[n][: shares[n]]
        levels = method.compare(encoded[photos].float(), method.adapt(summaries))
        for row, photo in enumerate(photos[: sizes[n]]):
            others = members[n][: sizes[n] + 1]
            own = method.summarise(encoded[others[others != photo]].float())
            alone = method.separable  # else the other classes change with it
            classes = [own] if alone else method.adapt([*summaries[:n], own, *summaries[n + 1 :]])
            columns = slice(n, n + 1) if alone else slice(None)
            for level, similarity in method.compare(encoded[[photo]].float(), classes).items():
                levels[level][row, columns] = similarity[0]
        taken.append(photos)
        rows.append(levels)
    which, panel = np.concatenate(taken), [mine[:n] for mine, n in zip(members, sizes, strict=True)]
    scores = {level: torch.cat([levels[level] for levels in rows]) for level in rows[0]}
    fusion = refitted(method.fusion, scores, torch.from_numpy(labels[which]).to(encoded.device))
    logits = fusion(scores).double().cpu().numpy()
    return Doubts(which, logits.argmax(axis=1), _doubt(logits, labels[which]), panel, fusion)


def _doubt(logits: np.ndarray, own: np.ndarray) -> np.ndarray:
    rows = np.arange(len(own))
    others = logits.copy()
    others[rows, own] = -np.inf
    return others.max(axis=1) - logits[rows, own]
