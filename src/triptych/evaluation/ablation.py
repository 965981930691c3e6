"""The part of each level: what it scores alone, and what leaving it out costs."""

from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.fusion import Levels
from triptych.methods import Method

__all__ = ["per_level"]

_ALL_SUBSETS = 4  # levels; of more, those of middling size are too many to read


def per_level(method: Method, levels: Levels) -> dict[str, Float[Tensor, "Q N"]]:
    """The scores of each level alone, of subsets of them and of all: the ablation of one pass; all levels come last.

    A level alone is ranked by its own similarities, as no fusion is involved; a subset of several by the sum of
    their contributions to the logits. Of more than four levels only pairs and subsets that lack one are scored. "a + b"
    names a subset.

    >>> import torch
    >>> from triptych.evaluation import per_level
    >>> from triptych.methods import build_method
    >>> levels = {name: torch.rand(3, 2) for name in ("distribution", "pixel")}
    >>> list(per_level(build_method("adm-conv64f"), levels))
    ['distribution', 'pixel', 'distribution + pixel']
    """
    scores = dict(levels)
    contributions = method.fusion.contributions(levels)
    count = len(levels)
    for size in range(2, count):
        if count <= _ALL_SUBSETS or size in (2, count - 1):
            for names in combinations(levels, size):
                scores[" + ".join(names)] = torch.stack([contributions[name] for name in names]).sum(0)
    if count > 1:
        scores[" + ".join(levels)] = method.fuse(levels)
    return scores
