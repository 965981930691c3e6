"""The nearest search on a GPU: product and selection in one kernel, no similarity leaves the chip.

Importing it needs Triton, which PyTorch for CUDA brings along.
"""

from collections.abc import Iterator, Sequence
from typing import no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["fused_indices", "fused_search"]

_ROWS, _MEMBERS, _DEPTH = 128, 64, 64  # tile of rows, of members of a pool, and of their coordinates


def fused_search(
    rows: Float[Tensor, "rows D"],
    pools: Sequence[Float[Tensor, "_ D"]],
    k: int,
    dtype: torch.dtype,
    with_indices: bool = True,
) -> Iterator[tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"]]]:
    """For each class the k largest products of each row, and with which members of its pool they are.

    Members are chosen in ``dtype`` with float32 sums; the products of the chosen are those of the given vectors.
    Indices are always returned.
    """
    sizes = [len(pool) for pool in pools]
    indices = fused_indices(rows.to(dtype), torch.cat(list(pools)).to(dtype), sizes, k)  # (N, rows, k)
    for pool, chosen in zip(pools, indices, strict=True):
        products = [torch.linalg.vecdot(rows, pool[members]) for members in chosen.unbind(1)]
        yield torch.stack(products, dim=1), chosen


def fused_indices(
    rows: Float[Tensor, "rows D"], members: Float[Tensor, "J D"], sizes: Sequence[int], k: int
) -> Int[Tensor, "N rows k"]:
    """Which members of each pool have the k largest products with each row; the pools lie one after another."""
    count, depth = rows.shape
    starts = torch.tensor([0, *sizes], device=rows.device).cumsum(0).to(torch.int32)
    indices = torch.empty(len(sizes), count, k, dtype=torch.int64, device=rows.device)
    grid = (triton.cdiv(count, _ROWS), len(sizes))
    _nearest[grid](
        rows.contiguous(),
        members.contiguous(),
        starts,
        indices,
        count,
        depth,
        K=k,
        SLOTS=max(2, triton.next_power_of_2(k)),
        ROWS=_ROWS,
        MEMBERS=_MEMBERS,
        DEPTH=_DEPTH,
        num_warps=8,
    )
    return indices


@triton.jit
@no_type_check  # a checker of shapes would wrap the function, and Triton would miss the names of this file
def _nearest(  # type: ignore[no-untyped-def]
    rows,
    members,
    starts,
    indices,
    count,
    depth,
    K: tl.constexpr,
    SLOTS: tl.constexpr,
    ROWS: tl.constexpr,
    MEMBERS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """One tile of rows against one pool; the best K so far live in registers, in no order."""
    own = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    row = rows + own[:, None].to(tl.int64) * depth
    start, stop = tl.load(starts + tl.program_id(1)), tl.load(starts + tl.program_id(1) + 1)
    slot = tl.arange(0, SLOTS)
    # Slots beyond K hold infinity, so that they are never the least and never replaced.
    best = tl.zeros((ROWS, SLOTS), tl.float32) + tl.where(slot < K, float("-inf"), float("inf"))[None, :]
    where = tl.zeros((ROWS, SLOTS), tl.int32)
    for tile in range(start, stop, MEMBERS):
        other = tile + tl.arange(0, MEMBERS)
        member = members + other[None, :].to(tl.int64) * depth
        products = tl.zeros((ROWS, MEMBERS), tl.float32)
        for first in range(0, depth, DEPTH):
            coordinate = first + tl.arange(0, DEPTH)
            known = coordinate < depth
            x = tl.load(row + coordinate[None, :], mask=(own < count)[:, None] & known[None, :], other=0.0)
            p = tl.load(member + coordinate[:, None], mask=(other < stop)[None, :] & known[:, None], other=0.0)
            products = tl.dot(x, p, products, input_precision="ieee")
        products = tl.where((other < stop)[None, :], products, float("-inf"))
        for _ in tl.static_range(K):
            value, column = tl.max(products, axis=1, return_indices=True)
            least, weakest = tl.min(best, axis=1, return_indices=True)
            replaced = (slot[None, :] == weakest[:, None]) & (value > least)[:, None]
            best = tl.where(replaced, value[:, None], best)
            where = tl.where(replaced, (tile - start + column)[:, None], where)
            products = tl.where(tl.arange(0, MEMBERS)[None, :] == column[:, None], float("-inf"), products)
    target = (tl.program_id(1).to(tl.int64) * count + own[:, None]) * K + slot[None, :]
    tl.store(indices + target, where.to(tl.int64), mask=(own < count)[:, None] & (slot < K)[None, :])
