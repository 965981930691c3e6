"""How much each level counts once a method is trained: found on episodes of classes that training has not seen."""

import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TypeVar

import torch
from torch import Tensor

from triptych.data import ImageStore
from triptych.evaluation import EpisodeSampler
from triptych.fusion import LevelFusion, learn_fusion
from triptych.methods import Method, encode_images
from triptych.similarity import in_precision

__all__ = ["balance_levels", "balanced_fusion"]

M = TypeVar("M", bound=Method)


@torch.no_grad()
def balance_levels(
    method: M,
    store: ImageStore,
    shots: Sequence[int],
    episodes: int,
    seed: int = 2,
    precision: str = "auto",
    queries: int = 15,
) -> M:
    """The method with the temperatures and weights of its levels found anew.

    Training episodes cannot weigh PLDA: it was learnt from the same classes, and looks better on them than it is. So
    the logits of each level and the fused ones are calibrated on episodes of other classes.

    Args:
        method: a trained method with a ``LevelFusion``; put in evaluation mode, otherwise left as it was.
        store: classes that it was not trained on.
        shots: of the episodes; each shot has equally many.
        episodes: how many of each shot, 5-way where there are as many classes.
        seed: of the episodes; training's own validation has seed 1.
        precision: as in ``check_precision``.
        queries: of each class.

    Raises:
        ValueError: a method with another fusion, no shots or episodes, or too few images of a class.
    """
    if not isinstance(method.fusion, LevelFusion):
        raise ValueError(f"a {type(method.fusion).__name__} cannot be balanced; expected a LevelFusion")
    if not shots or episodes < 1:
        raise ValueError(f"expected shots and at least one episode, got shots {tuple(shots)} and {episodes} episodes")
    way = min(5, len(store.classes))
    samplers = [EpisodeSampler(store.labels, way, shot, queries, seed, store.classes) for shot in shots]
    balanced = deepcopy(method)
    balanced.fusion = balanced_fusion(*_similarities(method.eval(), store, samplers, episodes, precision))
    return balanced


@torch.no_grad()
def balanced_fusion(levels: Mapping[str, Tensor], truth: Tensor) -> LevelFusion:
    """Temperatures that calibrate each level by itself, and weights that calibrate their sum.

    Args:
        levels: level -> (R, N) similarities.
        truth: (R,) the class of each query.
    """
    together = learn_fusion(levels, truth)
    fusion = LevelFusion(tuple(levels)).to(truth.device).eval()
    fusion.observe(levels)
    for i, name in enumerate(fusion.names):
        alone = learn_fusion({name: levels[name]}, truth)
        fusion.log_temperature[i] = alone.log_weight[0]
        fusion.log_weight[i] = math.log(together.logit_scale(name) / alone.logit_scale(name))
    return fusion


def _similarities(
    method: Method, store: ImageStore, samplers: Sequence[EpisodeSampler], episodes: int, precision: str
) -> tuple[dict[str, Tensor], Tensor]:
    """Of all queries of all episodes, what each level finds, (R, N), and which class each query is of, (R,)."""
    found: dict[str, list[Tensor]] = {}
    truth = []
    with in_precision(precision, store.images.device.type):
        encoded = encode_images(method, store.images)
        for sampler in samplers:
            for episode in map(sampler.__getitem__, range(episodes)):
                labels = torch.from_numpy(episode.support_labels).to(encoded.device)
                levels = method.compare_encoded(encoded[episode.query], encoded[episode.support], labels)
                for name, scores in levels.items():
                    found.setdefault(name, []).append(scores.float())
                truth.append(torch.from_numpy(episode.query_labels).to(encoded.device))
    return {name: torch.cat(parts) for name, parts in found.items()}, torch.cat(truth)
