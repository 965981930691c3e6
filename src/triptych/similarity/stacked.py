"""Nearest search against very many classes: pools of equal size lie together, so that one product serves many."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.similarity.common import is_recorded, without_autocast
from triptych.similarity.nearest import product_by_rows

__all__ = ["Stack", "stack_pools", "stacked_similarity", "unstacked"]

_BLOCK_BYTES = 1 << 20  # of the products held at a time for each thread, which are reduced while still in its cache
_ROWS = 1024  # of the queries, at most, in one product


class Stack(NamedTuple):
    """Pools of the same size.

    Attributes:
        numbers: (n,) which classes, 0..N-1.
        pools: (n, J, D).

    >>> import torch
    >>> from triptych.similarity import stack_pools
    >>> [stack.numbers.tolist() for stack in stack_pools([torch.zeros(2, 4), torch.zeros(3, 4), torch.ones(2, 4)])]
    [[0, 2], [1]]
    """

    numbers: Int64[Tensor, " n"]
    pools: Float[Tensor, "n J D"]


def stack_pools(pools: Sequence[Float[Tensor, "_ D"]], most: int | None = None) -> list[Stack]:
    """The pools of all classes, those of the same size together, by default all, else at most so many.

    A pool that is alone is not copied.

    >>> import torch
    >>> from triptych.similarity import stack_pools
    >>> [tuple(stack.pools.shape) for stack in stack_pools([torch.zeros(2, 4), torch.zeros(3, 4), torch.ones(2, 4)])]
    [(2, 2, 4), (1, 3, 4)]
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for number, pool in enumerate(pools):
        by_size.setdefault((len(pool), 0 if most is None else number // most), []).append(number)
    device = pools[0].device
    return [
        Stack(
            torch.tensor(numbers, device=device),
            pools[numbers[0]][None] if len(numbers) == 1 else torch.stack([pools[number] for number in numbers]),
        )
        for numbers in by_size.values()
    ]


def unstacked(stacks: Sequence[Stack]) -> list[Float[Tensor, "J D"]]:
    """The pools in the order of their classes.

    >>> import torch
    >>> from triptych.similarity.stacked import stack_pools, unstacked
    >>> [len(pool) for pool in unstacked(stack_pools([torch.zeros(2, 4), torch.zeros(3, 4), torch.ones(2, 4)]))]
    [2, 3, 2]
    """
    found = {int(number): pool for stack in stacks for number, pool in zip(stack.numbers, stack.pools, strict=True)}
    return [found[number] for number in range(len(found))]


@torch.no_grad()
@without_autocast
def stacked_similarity(rows: Float[Tensor, "Q R D"], stacks: Sequence[Stack]) -> Float[Tensor, "Q N"]:
    """``nearest_similarity`` with k = 1 against stacked pools, without a gradient.

    >>> import torch
    >>> from triptych.similarity.stacked import stack_pools, stacked_similarity
    >>> rows = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    >>> stacked_similarity(rows, stack_pools([torch.eye(2), torch.tensor([[0.5, -1.0], [0.0, 0.25]])]))
    tensor([[3., 1.]])
    """
    if is_recorded():
        return _recorded(rows, stacks)
    scores = rows.new_empty(len(rows), sum(len(stack.numbers) for stack in stacks))
    threads = torch.get_num_threads() if rows.device.type == "cpu" else 64
    for first in range(0, len(rows), queries := max(1, _ROWS // rows.shape[1])):
        part = rows[first : first + queries]
        flat = part.flatten(0, 1)  # (Q * R, D)
        for numbers, pools in stacks:
            members = pools.shape[1]
            many = max(1, threads * _BLOCK_BYTES // (flat.element_size() * len(flat) * members))  # classes at a time
            for own, block in zip(numbers.split(many), pools.split(many), strict=True):
                products = product_by_rows(flat, block.flatten(0, 1))  # (Q * R, n * J)
                nearest = products.view(len(flat), len(own), members).amax(2)
                scores[first : first + queries, own] = nearest.view(len(part), -1, len(own)).sum(1)
    return scores


def _recorded(rows: Float[Tensor, "Q R D"], stacks: Sequence[Stack]) -> Float[Tensor, "Q N"]:
    """One product a stack, whatever the number of queries."""
    found = []
    for _, pools in stacks:
        products = (rows.flatten(0, 1) @ pools.flatten(0, 1).T).view(-1, rows.shape[1], *pools.shape[:2])
        found.append(products.amax(3).sum(1))  # (Q, n)
    return torch.cat(found, dim=1)[:, torch.cat([stack.numbers for stack in stacks]).argsort()]
