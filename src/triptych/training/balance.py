"""How much each level counts once a method is trained: found on episodes of classes that training has not seen."""

import math
from collections.abc import Sequence
from copy import deepcopy

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.data import ImageStore
from triptych.evaluation.episodes import EpisodeSampler
from triptych.evaluation.evaluate import encode_images
from triptych.fusion import LevelFusion
from triptych.methods import MML
from triptych.recognizer.calibration import learn_fusion
from triptych.similarity._common import split_classes

__all__ = ["balance_levels"]

_RATIO = "ratio"  # what base classes tell: weighed like a level of its own


@torch.no_grad()
def balance_levels(
    method: MML, store: ImageStore, shots: Sequence[int], episodes: int, seed: int = 2, precision: str = "32"
) -> MML:
    """The method with the temperatures and weights of its levels found anew, and the weight of its base classes.

    Training cannot weigh what base classes tell: its episodes are of those very classes, of which it is too sure.
    So the logits of each level and the fused ones are calibrated, as ``learn_fusion`` does, on episodes of others.

    Args:
        method: a trained method with a ``LevelFusion``; put in evaluation mode, otherwise left as it was.
        store: classes that it was not trained on.
        shots: of the episodes; each shot has equally many.
        episodes: how many of each shot, 5-way where there are as many classes.
        seed: of the episodes; training's own validation has seed 1.
        precision: as in ``evaluate``.

    Raises:
        ValueError: a method with published fusion weights, no shots or episodes, or too few images of a class.

    >>> import numpy as np
    >>> import torch
    >>> from triptych.data import ImageStore
    >>> from triptych.methods import MML, MMLConfig
    >>> from triptych.training import balance_levels
    >>> images, labels = torch.randint(0, 256, (40, 32, 32, 3), dtype=torch.uint8), np.arange(40) % 2
    >>> store = ImageStore(images, labels, ("a", "b"), tuple(map(str, range(40))), fingerprint="")
    >>> method = MML(MMLConfig(side=32))
    >>> balance_levels(method, store, shots=[1], episodes=2).fusion.trained, method.fusion.trained
    (True, False)
    """
    if not isinstance(method.fusion, LevelFusion):
        raise ValueError(f"the published fusion of {method.fusion.way} class slots cannot be balanced")
    if not shots or episodes < 1:
        raise ValueError(f"expected shots and at least one episode, got shots {tuple(shots)} and {episodes} episodes")
    levels, truth = _similarities(method.eval(), store, shots, episodes, seed, precision)
    together = learn_fusion(levels, truth)
    balanced = deepcopy(method)
    if balanced.base is not None:
        weight = together.logit_scale(_RATIO) / together.logit_scale("distribution")
        balanced.base.weight.fill_(weight)
        levels["distribution"] += weight * levels.pop(_RATIO)
    fusion = LevelFusion(method.config.levels).to(truth.device).eval()
    fusion.observe(levels)
    for i, name in enumerate(fusion.names):
        alone = learn_fusion({name: levels[name]}, truth)
        fusion.log_temperature[i] = alone.log_weight[0]
        fusion.log_weight[i] = math.log(together.logit_scale(name) / alone.logit_scale(name))
    balanced.fusion = fusion
    return balanced


def _similarities(
    method: MML, store: ImageStore, shots: Sequence[int], episodes: int, seed: int, precision: str
) -> tuple[dict[str, Float[Tensor, "R N"]], Int64[Tensor, " R"]]:
    """Of all queries of all episodes, what each level and the base classes find; and which class each query is of."""
    way = min(5, len(store.classes))
    samplers = [EpisodeSampler(store.labels, way, shot, seed=seed, classes=store.classes) for shot in shots]
    maps = encode_images(method, store.images, precision)
    search_dtype = torch.float32 if precision == "32" else torch.bfloat16
    found: dict[str, list[Tensor]] = {}
    truth = []
    for sampler in samplers:
        for episode in map(sampler.__getitem__, range(episodes)):
            query, support = maps[episode.query], maps[episode.support]
            labels = torch.from_numpy(episode.support_labels).to(maps.device)
            classes = [method.summarise(own) for own in split_classes(support, labels)]
            levels, ratio = method.compare_apart(query, classes, search_dtype)
            if ratio is not None:
                levels[_RATIO] = ratio
            for name, scores in levels.items():
                found.setdefault(name, []).append(scores.float())
            truth.append(torch.from_numpy(episode.query_labels).to(maps.device))
    return {name: torch.cat(parts) for name, parts in found.items()}, torch.cat(truth)
