"""One task, every contender: the fused answer, each level alone, and plain classifiers of pooled features."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.comparison.baselines import baseline_answers
from triptych.evaluation import Episode
from triptych.fusion import LevelFusion
from triptych.methods import Encoded, Method
from triptych.recognizer import fusion_from, leave_one_out
from triptych.similarity import class_members
from triptych.support import Support, support_of

__all__ = ["FUSED", "contest", "lacking"]

FUSED = "all levels"


@torch.inference_mode()
def contest(
    method: Method,
    encoded: Encoded,
    vectors: Float[np.ndarray, "B C"],
    episode: Episode,
    ablate: bool = False,
) -> dict[str, Int64[np.ndarray, " Q"]]:
    """What every contender answers for the queries of one episode, all from one pass of the network.

    Args:
        method: whose levels contend; the support tells how much each counts, as to a ``Recognizer``.
        encoded: all images, in any precision; an episode indexes them.
        vectors: their descriptors as ``baselines.pooled`` makes them.
        episode: support and queries.
        ablate: add the fused answer of all levels but one, weighed anew; see ``lacking``.

    Returns:
        name -> (Q,) labels: ``FUSED``, each level of a method with several, and each of ``baselines.BASELINES``.
    """
    labels = torch.from_numpy(episode.support_labels).to(encoded.device)
    members = class_members(labels, len(labels))
    classes = [support_of(method, encoded[episode.support[mine.cpu().numpy()]]) for mine in members]
    # The adapted classes are held by nothing: they may be as large as the classes, which are needed below.
    levels = method.compare(encoded[episode.query].float(), method.adapt([one.summary for one in classes]))
    scores = {**_fused(method, classes, levels, ablate), **(levels if len(levels) > 1 else {})}
    answers = {name: one.argmax(1).cpu().numpy() for name, one in scores.items()}
    return {
        **answers,
        **baseline_answers(vectors[episode.support], episode.support_labels, vectors[episode.query]),
    }


def lacking(level: str) -> str:
    """The contender that has all levels but this one.

    >>> from triptych.comparison.contest import lacking
    >>> lacking("pixel")
    'all but pixel'
    """
    return f"all but {level}"


def _fused(
    method: Method, classes: Sequence[Support], levels: Mapping[str, Tensor], ablate: bool
) -> dict[str, Float[Tensor, "Q N"]]:
    """The fused logits of all levels, and of all but one."""
    if not isinstance(method.fusion, LevelFusion):
        return {FUSED: method.fusion(levels)}
    left_out = leave_one_out(method, classes)
    found = {FUSED: fusion_from(method, classes, left_out)(levels)}
    for level in levels if ablate and len(levels) > 1 else ():
        rest = {name: scores for name, scores in levels.items() if name != level}
        found[lacking(level)] = fusion_from(method, classes, left_out, tuple(rest))(rest)
    return found
