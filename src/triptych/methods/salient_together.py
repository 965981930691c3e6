"""All classes of ``SalientMML`` together: what discriminates them, and their pools of patches."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.methods.base import Summary
from triptych.methods.discriminants import Within, discriminated
from triptych.methods.salience import PIXEL_LEVELS, VECTOR_LEVELS
from triptych.methods.salient_config import SalientConfig
from triptych.similarity import Stack, mean_shrinkage, pool_advantage, stack_pools

__all__ = ["Balance", "Common", "Together", "common_from", "common_tensors"]

_MOST = "most_photos"
_FEW = 32  # of many classes, whose pools are stacked for one question alone: so few that memory is used again


class Balance(NamedTuple):
    """What puts classes of few photos on a par with classes of many.

    Attributes:
        shrinkage: (N,) of the means; see ``mean_shrinkage``.
        advantage: (N,) of the pools; see ``pool_advantage``.
    """

    shrinkage: Float[Tensor, " N"]
    advantage: Float[Tensor, " N"]

    @classmethod
    def of(cls, shots: Int64[Tensor, " N"], config: SalientConfig, most: int | None = None) -> "Balance":
        """Of classes of so many photos, at most ``most`` where they are some of many."""
        return cls(mean_shrinkage(shots, config.prior_photos, most), pool_advantage(shots, config.pool_gain, most))


class Common(NamedTuple):
    """What all classes together tell, where those that are compared are some of many.

    Attributes:
        within: level -> what its analysis takes of all classes.
        most: photos of the class that has most.
    """

    within: Mapping[str, Within]
    most: int


class Together:
    """All classes: the discriminant analyses between them, and their pools."""

    def __init__(self, classes: Sequence[Summary], config: SalientConfig, common: Common | None = None) -> None:
        levels = classes[0]
        self._most = None if common is None else _FEW
        shots = torch.stack([one["photos"] for one in classes])
        self.balance = Balance.of(shots, config, None if common is None else common.most)
        self.discriminants = {
            level: discriminated(
                [one[level] for one in classes],
                config.ridge,
                self.balance.shrinkage,
                None if common is None else common.within[level],
            )
            for level in levels
            if level in VECTOR_LEVELS
        }
        self.pools = {level: [one[level].descriptors for one in classes] for level in levels if level in PIXEL_LEVELS}

    @cached_property
    def stacks(self) -> dict[str, list[Stack]]:
        """The pools of each level, once they are asked for without a gradient."""
        return {level: stack_pools(pools, self._most) for level, pools in self.pools.items()}


def common_tensors(classes: Sequence[Summary], levels: Sequence[str], ridge: float) -> dict[str, Tensor]:
    """What ``Common`` has, as it is stored.

    Args:
        classes: all of them, or a sample.
        levels: those that analyse discriminants.
        ridge: see ``fit_lda``.
    """
    found = {
        f"{level}.{name}": tensor
        for level in levels
        for name, tensor in Within.of([one[level] for one in classes], ridge).tensors().items()
    }
    return {**found, _MOST: torch.stack([one["photos"] for one in classes]).max()}


def common_from(tensors: Mapping[str, Tensor], levels: Sequence[str]) -> Common:
    """What ``common_tensors`` gave."""
    within = {
        level: Within.from_tensors(
            {name.removeprefix(f"{level}."): one for name, one in tensors.items() if name.startswith(f"{level}.")}
        )
        for level in levels
    }
    return Common(within, int(tensors[_MOST]))
