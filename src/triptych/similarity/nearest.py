"""Nearest search in blocks: the one primitive behind the pixel level and the part level."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from triptych.similarity.common import is_recorded

__all__ = ["nearest_similarity", "product_by_rows"]

# (rows, pools, k, dtype of the search, whether indices are needed) -> for each class the k largest products of each
# row, (rows, k), and which members of the pool they are with.
SearchFunction = Callable[
    [Tensor, Sequence[Tensor], int, torch.dtype, bool], Iterator[tuple[Float[Tensor, "rows k"], Tensor | None]]
]

# Bytes of the gaps held at a time, (block, members): few enough to be reduced while still in a core's own cache, many
# enough for a fast product. On a CPU so many for each thread.
_BLOCK_BYTES = {"cpu": 1 << 20, "cuda": 1 << 28}
_LEAST_ROWS = 64  # of a block; a larger pool is searched in parts
_LANES = 64  # columns that a vectorised minimum takes at once, in any precision
_FEW = 4  # so many of the least are found faster one by one than by topk
_BITS = {torch.bfloat16: torch.int16, torch.float16: torch.int16}
_ABOVE_ROUNDING = 1.01  # half precision may lengthen a vector by under one percent


def nearest_similarity(
    rows: Float[Tensor, "Q R D"],
    pools: Sequence[Float[Tensor, "_ D"]],
    k: int,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "Q N"]:
    r"""Sum, over the R rows of each query, of the k largest inner products with each class's pool.

    .. math:: s(q, n) = \sum_{r=1}^{R} \sum_{j \in \mathrm{top}_k} \langle x_{q,r}, p_{n,j} \rangle

    The R * J inner products of a class exist only block by block, in either direction: the search itself has
    no gradient, and the backward pass sees the chosen pairs alone, in the precision of ``rows``.

    Args:
        rows: (Q, R, D) vectors of the queries.
        pools: one (J_n, D) matrix per class; J_n may differ.
        k: how many nearest neighbours count, 1 <= k <= every J_n.
        dtype: precision of the search; by default that of ``rows``.

    Returns:
        (Q, N) in the precision of ``rows``.

    Raises:
        ValueError: k is below 1 or above the size of a pool.

    >>> import torch
    >>> from triptych.similarity import nearest_similarity
    >>> rows = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    >>> nearest_similarity(rows, [torch.eye(2), torch.tensor([[0.5, -1.0], [0.0, 0.25]])], k=1)
    tensor([[3., 1.]])
    """
    smallest = min(len(pool) for pool in pools)
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= smallest:
        raise ValueError(f"k must be between 1 and {smallest}, the size of the smallest class's pool; got {k!r}")
    if is_recorded():
        return _recorded(rows, pools, k)
    if len(rows) == 0:
        return rows.new_zeros(0, len(pools))
    flat = rows.flatten(0, 1)  # (Q*R, D)
    with_gradient = torch.is_grad_enabled() and any(x.requires_grad for x in (rows, *pools))
    search = _choose_search(flat, dtype or rows.dtype)
    found = search(flat.detach(), [pool.detach() for pool in pools], k, dtype or rows.dtype, with_gradient)
    products, indices = zip(*found, strict=True)
    scores = torch.stack([one.view(len(rows), -1).sum(1) for one in products], dim=1)
    return _ScoresWithGradient.apply(scores, rows, indices, *pools) if with_gradient else scores


def _recorded(rows: Float[Tensor, "Q R D"], pools: Sequence[Float[Tensor, "_ D"]], k: int) -> Float[Tensor, "Q N"]:
    """One product a class, whatever the number of queries."""
    products = [rows.flatten(0, 1) @ pool.T for pool in pools]  # (Q*R, J_n)
    found = [one.amax(1) if k == 1 else one.topk(k, dim=1).values.sum(1) for one in products]
    return torch.stack([one.view(-1, rows.shape[1]).sum(1) for one in found], dim=1)


def _choose_search(rows: Tensor, dtype: torch.dtype) -> SearchFunction:
    """One kernel on a GPU in half precision, where it can be had; blocks otherwise."""
    if rows.is_cuda and dtype in _BITS and find_spec("triton") is not None:
        from triptych.similarity.nearest_cuda import fused_search

        return fused_search
    return _blocked_search


def _blocked_search(
    rows: Tensor, pools: Sequence[Tensor], k: int, dtype: torch.dtype, with_indices: bool
) -> Iterator[tuple[Tensor, Tensor | None]]:
    searched = _search_rows(rows, dtype)
    for pool in pools:
        products, indices = _search_one(searched, _search_pool(pool, dtype), k, with_indices)
        yield products.to(rows.dtype), indices


# In half precision a row x becomes [-x, -x, r_x] and a member p of a pool [p', p - p', r_p], p' being p rounded and
# r a bound of the lengths. Their product is the gap r_x r_p - <x, p> >= 0, smallest for the nearest:
# - half precision is finest near zero, so its digits are spent where the choice is made;
# - the bits of floats that are not negative sort as integers, of which a CPU finds the least five times faster;
# - one p may be nearest to many x, so that its rounding error would add up: p - p' takes it back.


def _search_rows(rows: Float[Tensor, "n D"], dtype: torch.dtype) -> Float[Tensor, "n _"]:
    if dtype not in _BITS:
        return -rows.to(dtype).contiguous()
    rounded = -rows.to(dtype)
    return torch.cat([rounded, rounded, _reach(rows, dtype)], dim=1)


def _search_pool(pool: Float[Tensor, "n D"], dtype: torch.dtype) -> Float[Tensor, "n _"]:
    if dtype not in _BITS:
        return pool.to(dtype).contiguous()
    rounded = pool.to(dtype)
    return torch.cat([rounded, (pool - rounded).to(dtype), _reach(pool, dtype)], dim=1)


def _reach(vectors: Tensor, dtype: torch.dtype) -> Float[Tensor, "n 1"]:
    return (vectors.norm(dim=1).amax() * _ABOVE_ROUNDING).to(dtype).expand(len(vectors), 1)


def _search_one(
    rows: Tensor, pool: Tensor, k: int, with_indices: bool
) -> tuple[Float[Tensor, "rows k"], Int[Tensor, "rows k"] | None]:
    """The k largest products of each row, and on demand which members of the pool they are with."""
    threads = torch.get_num_threads() if rows.device.type == "cpu" else 1
    elements = threads * _BLOCK_BYTES[rows.device.type] // rows.element_size()
    size = math.ceil(len(pool) / math.ceil(len(pool) * _LEAST_ROWS / elements))
    found = [_search_part(rows, part, k, with_indices, elements // size) for part in pool.split(size)]
    bits, indices = found[0] if len(found) == 1 else _merged(found, size, k)
    gaps = bits.view(rows.dtype).to(torch.promote_types(rows.dtype, torch.float32))
    products = rows[0, -1].to(gaps.dtype) * pool[0, -1] - gaps if rows.dtype in _BITS else -gaps
    return products, indices


def _search_part(
    rows: Tensor, pool: Tensor, k: int, with_indices: bool, block: int
) -> tuple[Tensor, Int[Tensor, "rows _"] | None]:
    """The least gaps of each row, k or as many as the pool has members, and on demand their columns."""
    least, columns = [], []
    for part in rows.split(block):
        gaps = product_by_rows(part, pool).view(_BITS.get(rows.dtype, rows.dtype))  # (block, members)
        if k == 1 and not with_indices:
            least.append(gaps.amin(1, keepdim=True))
        else:
            values, chosen = _least_in_two_stages(gaps, min(k, len(pool)))
            least.append(values)
            columns.append(chosen)
    return torch.cat(least), torch.cat(columns) if columns else None


def _merged(found: list[tuple[Tensor, Tensor | None]], size: int, k: int) -> tuple[Tensor, Tensor | None]:
    """The least of what was found in parts of a pool of ``size`` members each."""
    values, chosen = _least(torch.cat([one for one, _ in found], dim=1), k)
    columns = [one + number * size for number, (_, one) in enumerate(found) if one is not None]
    return values, torch.cat(columns, dim=1).gather(1, chosen) if columns else None


def product_by_rows(rows: Float[Tensor, "rows D"], pool: Float[Tensor, "J D"]) -> Float[Tensor, "rows J"]:
    """The inner product of every row with every member of a pool."""
    plain = rows.dtype != torch.float32 or rows.device.type != "cpu" or rows.numel() == 0
    linear = None if plain else _onednn_linear()
    return rows @ pool.T if linear is None else linear(rows, pool, None, "none", [], "")


@cache
def _onednn_linear() -> Callable[..., Tensor] | None:
    """The product in float32 by oneDNN, where PyTorch has it; None where ``torch.mm`` has to do the same.

    ``torch.mm`` leaves float32 to MKL. With oneDNN the pixel level is 1.11 to 1.21 (AVX2) and 1.74 to 1.87 (AVX-512)
    times as fast, on one thread of an AMD EPYC. No public operation leads there: this one is of PyTorch's compiler.
    """
    try:
        return torch.ops.mkldnn._linear_pointwise if torch.backends.mkldnn.is_available() else None
    except AttributeError:
        return None


def _least_in_two_stages(gaps: Tensor, k: int) -> tuple[Tensor, Int[Tensor, "block k"]]:
    """The k least of each row and their columns.

    First of groups, by a vectorised minimum; then among the members of the k best groups. A group is every
    ``width``-th column, so that neighbours in memory are of different groups, whose minima are taken side by side.
    """
    count = gaps.shape[1]
    width = _LANES * max(1, round(math.isqrt(count) / _LANES), math.ceil(k / _LANES))
    depth = count // width
    if depth < 2:
        return _least(gaps, k)
    grouped = gaps[:, : depth * width].view(-1, depth, width)
    _, groups = _least(grouped.amin(1), k)  # (block, k)
    members = grouped.gather(2, groups[:, None].expand(-1, depth, -1)).flatten(1)  # (block, depth * k)
    values, chosen = _least(torch.cat([members, gaps[:, depth * width :]], dim=1), k)
    in_groups = chosen // k * width + groups.gather(1, chosen % k)
    return values, torch.where(chosen < depth * k, in_groups, chosen + depth * (width - k))


def _least(values: Tensor, k: int) -> tuple[Tensor, Int[Tensor, "rows k"]]:
    """The k least of each row and their columns; ``values`` may be overwritten."""
    if k > _FEW:
        values, columns = torch.topk(-values, k, dim=1, sorted=False)  # topk takes a NaN for the largest: it shows
        return -values, columns
    found = [torch.min(values, dim=1, keepdim=True)]
    highest = torch.inf if values.is_floating_point() else torch.iinfo(values.dtype).max
    while len(found) < k:
        values.scatter_(1, found[-1].indices, highest)
        found.append(torch.min(values, dim=1, keepdim=True))
    return torch.cat([one.values for one in found], dim=1), torch.cat([one.indices for one in found], dim=1)


class _ScoresWithGradient(torch.autograd.Function):
    """Gradient of the scores (Q, N): rows (Q, R, D) and, per class, a pool (J, D) and the chosen indices (Q*R, k).

    The chosen vectors are taken from the pools again; autograd's own gather would keep (Q*R, k, D) of them a class.
    """

    @staticmethod
    def forward(  # type: ignore[override, no-untyped-def]
        ctx, scores: Tensor, rows: Tensor, indices: tuple[Tensor, ...], *pools: Tensor
    ) -> Tensor:
        ctx.save_for_backward(rows, *indices, *pools)
        return scores.view_as(scores)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override, no-untyped-def]
        rows, *rest = ctx.saved_tensors
        way = grad.shape[1]
        flat = rows.flatten(0, 1)
        grad_rows, grad_pools = torch.zeros_like(flat), []
        for indices, pool, weight in zip(rest[:way], rest[way:], grad.unbind(1), strict=True):
            weight = weight.repeat_interleave(rows.shape[1])[:, None]  # (Q*R, 1)
            grad_pool = torch.zeros_like(pool)
            for members in indices.unbind(1):
                grad_rows.addcmul_(weight, pool[members])
                grad_pool.index_add_(0, members, weight * flat)
            grad_pools.append(grad_pool)
        return None, grad_rows.view_as(rows), None, *grad_pools
