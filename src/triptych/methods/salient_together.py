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

__all__ = ["Balance", "Together", "common_from", "common_tensors"]

_FEW = 32  # of many classes, whose pools are stacked for one question alone: so few that their memory is reused


class Balance(NamedTuple):
    """What puts classes of few photos on a par with classes of many, among those that are compared.

    Attributes:
        shrinkage: (N,) of the means; see ``mean_shrinkage``.
        advantage: (N,) of the pools; see ``pool_advantage``.
    """

    shrinkage: Float[Tensor, " N"]
    advantage: Float[Tensor, " N"]

    @classmethod
    def of(cls, shots: Int64[Tensor, " N"], config: SalientConfig) -> "Balance":
        """Of classes of so many photos."""
        return cls(mean_shrinkage(shots, config.prior_photos), pool_advantage(shots, config.pool_gain))


class Together:
    """All classes that are compared: the discriminant analyses between them, and their pools.

    Args:
        classes: all of them, or some of many.
        config: the settings of the method.
        within: level -> what its analysis takes of all classes, where these are some of many.
    """

    def __init__(
        self, classes: Sequence[Summary], config: SalientConfig, within: Mapping[str, Within] | None = None
    ) -> None:
        levels = classes[0]
        self._stacked = None if within is None else _FEW
        self.balance = Balance.of(torch.stack([one["photos"] for one in classes]), config)
        self.discriminants = {
            level: discriminated(
                [one[level] for one in classes],
                config.ridge,
                self.balance.shrinkage,
                None if within is None else within[level],
            )
            for level in levels
            if level in VECTOR_LEVELS
        }
        self.pools = {level: [one[level].descriptors for one in classes] for level in levels if level in PIXEL_LEVELS}

    @cached_property
    def stacks(self) -> dict[str, list[Stack]]:
        """The pools of each level, once they are asked for without a gradient."""
        return {level: stack_pools(pools, self._stacked) for level, pools in self.pools.items()}


def common_tensors(classes: Sequence[Summary], levels: Sequence[str], ridge: float) -> dict[str, Tensor]:
    """The centres and the covariances of the analyses of some levels, as they are stored.

    Args:
        classes: all of them, or a sample.
        levels: those that analyse discriminants.
        ridge: see ``fit_lda``.
    """
    return {
        f"{level}.{name}": tensor
        for level in levels
        for name, tensor in Within.of([one[level] for one in classes], ridge).tensors().items()
    }


def common_from(tensors: Mapping[str, Tensor], levels: Sequence[str]) -> dict[str, Within]:
    """What ``common_tensors`` gave, by level."""
    return {
        level: Within.from_tensors(
            {name.removeprefix(f"{level}."): one for name, one in tensors.items() if name.startswith(f"{level}.")}
        )
        for level in levels
    }
