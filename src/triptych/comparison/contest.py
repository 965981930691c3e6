"""One task, every contender: the fused answer, each level alone, and plain classifiers of pooled features."""

import numpy as np
import torch
from jaxtyping import Float, Int64

from triptych.comparison.baselines import baseline_answers
from triptych.evaluation import Episode
from triptych.methods import Encoded, Method
from triptych.recognizer.calibration import fusion_of
from triptych.similarity import class_members
from triptych.support import support_of

__all__ = ["FUSED", "contest"]

FUSED = "all levels"


@torch.inference_mode()
def contest(
    method: Method,
    encoded: Encoded,
    vectors: Float[np.ndarray, "B C"],
    episode: Episode,
) -> dict[str, Int64[np.ndarray, " Q"]]:
    """What every contender answers for the queries of one episode, all from one pass of the network.

    Args:
        method: whose levels contend; the support tells how much each counts, as to a ``Recognizer``.
        encoded: all images, in any precision; an episode indexes them.
        vectors: their descriptors as ``baselines.pooled`` makes them.
        episode: support and queries.

    Returns:
        name -> (Q,) labels: ``FUSED``, each level of a method with several, and each of ``baselines.BASELINES``.
    """
    labels = torch.from_numpy(episode.support_labels).to(encoded.device)
    support = encoded[episode.support]
    classes = [support_of(method, support[mine]) for mine in class_members(labels, len(support))]
    together = method.adapt([one.summary for one in classes])
    levels = method.compare(encoded[episode.query].float(), together)
    fusion = fusion_of(method, classes)
    scores = {FUSED: fusion(levels), **(levels if len(levels) > 1 else {})}
    answers = {name: one.argmax(1).cpu().numpy() for name, one in scores.items()}
    return {
        **answers,
        **baseline_answers(vectors[episode.support], episode.support_labels, vectors[episode.query]),
    }
