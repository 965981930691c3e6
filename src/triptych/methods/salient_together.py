"""All classes of ``SalientMML`` together: what discriminates them, and their pools of patches."""

from collections.abc import Mapping, Sequence
from functools import cached_property

from torch import Tensor

from triptych.methods.base import Summary
from triptych.methods.discriminants import Within, discriminated
from triptych.methods.salience import PIXEL_LEVELS, VECTOR_LEVELS
from triptych.similarity import Stack, stack_pools

__all__ = ["Together", "common_from", "common_tensors"]


class Together:
    """All classes: the discriminant analyses between them, and their pools."""

    def __init__(self, classes: Sequence[Summary], ridge: float, within: Mapping[str, Within] | None = None) -> None:
        levels = classes[0]
        self.discriminants = {
            level: discriminated([one[level] for one in classes], ridge, None if within is None else within[level])
            for level in levels
            if level in VECTOR_LEVELS
        }
        self.pools = {level: [one[level].descriptors for one in classes] for level in levels if level in PIXEL_LEVELS}

    @cached_property
    def stacks(self) -> dict[str, list[Stack]]:
        """The pools of each level, once they are asked for without a gradient."""
        return {level: stack_pools(pools) for level, pools in self.pools.items()}


def common_tensors(classes: Mapping[str, Sequence[list[Tensor]]], ridge: float) -> dict[str, Tensor]:
    """The centres and the covariances of the analyses of some levels, as they are stored.

    Args:
        classes: level -> the blocks of each class, as in ``discriminated``.
        ridge: see ``fit_lda``.
    """
    return {
        f"{level}.{name}": tensor
        for level, blocks in classes.items()
        for name, tensor in Within.of(blocks, ridge).tensors().items()
    }


def common_from(tensors: Mapping[str, Tensor], levels: Sequence[str]) -> dict[str, Within]:
    """What ``common_tensors`` gave, by level."""
    return {
        level: Within.from_tensors(
            {name.removeprefix(f"{level}."): one for name, one in tensors.items() if name.startswith(f"{level}.")}
        )
        for level in levels
    }
