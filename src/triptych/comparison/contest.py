"""One task, every contender: the fused answer, each level alone, and plain classifiers of pooled features."""

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.comparison.baselines import baseline_answers
from triptych.evaluation.episodes import Episode
from triptych.fusion import Fusion
from triptych.methods import MML
from triptych.recognizer.calibration import fusion_of
from triptych.similarity._common import split_classes
from triptych.support.support import support_of_maps

__all__ = ["FUSED", "contest"]

FUSED = "all levels"


@torch.inference_mode()
def contest(
    method: MML,
    maps: Float[Tensor, "B P H W"],
    vectors: Float[np.ndarray, "B C"],
    episode: Episode,
    search_dtype: torch.dtype = torch.float32,
) -> dict[str, Int64[np.ndarray, " Q"]]:
    """What every contender answers for the queries of one episode, all from one pass of the network.

    Args:
        method: whose levels contend; the support tells how much each counts, as to a ``Recognizer``.
        maps: the feature maps of all images, in any precision; an episode indexes them.
        vectors: their descriptors as ``baselines.pooled`` makes them.
        episode: support and queries.
        search_dtype: precision in which nearest descriptors are sought; see ``pixel_similarity``.

    Returns:
        name -> (Q,) labels: ``FUSED``, each level of a method with several, and each of ``baselines.BASELINES``.
    """
    labels = torch.from_numpy(episode.support_labels).to(maps.device)
    levels = method.compare_maps(maps[episode.query].float(), maps[episode.support].float(), labels, search_dtype)
    fusion = _fusion(method, maps[episode.support], labels)
    scores = {FUSED: fusion(levels), **(levels if len(levels) > 1 else {})}
    answers = {name: one.argmax(1).cpu().numpy() for name, one in scores.items()}
    return {
        **answers,
        **baseline_answers(vectors[episode.support], episode.support_labels, vectors[episode.query]),
    }


def _fusion(method: MML, support: Tensor, labels: Tensor) -> Fusion:
    return fusion_of(method, [support_of_maps(method, mine[:, None]) for mine in split_classes(support, labels)])
