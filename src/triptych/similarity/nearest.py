"""Nearest search in blocks: the one primitive behind the pixel level and the part level."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["nearest_similarity"]

# Similarities held at a time, (block, J): small enough to be reduced while still in a core's cache.
_BLOCK_ELEMENTS = 1 << 21


def nearest_similarity(
    rows: Float[Tensor, "Q R D"],
    pools: Sequence[Float[Tensor, "_ D"]],
    k: int,
    dtype: torch.dtype | None = None,
) -> Float[Tensor, "Q N"]:
    r"""Sum, over the R rows of each query, of the k largest inner products with each class's pool.

    .. math:: s(q, n) = \sum_{r=1}^{R} \sum_{j \in \mathrm{top}_k} \langle x_{q,r}, p_{n,j} \rangle

    The search itself needs no gradient: it runs in blocks, in ``dtype``, and yields indices. Only the chosen
    pairs are multiplied again, in the precision of ``rows`` and with gradient, so that no tensor of all R * J
    similarities is ever held, in either direction.

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
    if not 1 <= k <= smallest:
        raise ValueError(f"k must be between 1 and {smallest}, the size of the smallest class's pool; got {k}")
    flat = rows.flatten(0, 1)  # (Q*R, D)
    searched = flat.detach().to(dtype or rows.dtype)
    scores = []
    for pool in pools:
        indices = _nearest_indices(searched, pool.detach().to(searched.dtype), k)
        scores.append(_ChosenProducts.apply(flat, pool, indices).view(len(rows), -1).sum(1))  # (Q,)
    return torch.stack(scores, dim=1)


@torch.no_grad()
def _nearest_indices(rows: Tensor, pool: Tensor, k: int) -> Int[Tensor, "rows k"]:
    block = max(1, _BLOCK_ELEMENTS // len(pool))
    transposed = pool.T
    found = [_top_indices(part @ transposed, k) for part in rows.split(block)]
    return torch.cat(found)


def _top_indices(similarities: Tensor, k: int) -> Tensor:
    if k == 1:  # max is faster than topk
        return similarities.max(dim=1, keepdim=True).indices
    return similarities.topk(k, dim=1, sorted=False).indices


class _ChosenProducts(torch.autograd.Function):
    """Inner products <x_i, p_j> of rows (R, D) and pool (J, D) for chosen indices j (R, k), as (R, k).

    Autograd's own gather would keep the (R, k, D) chosen vectors for the backward pass; here they are taken
    again from the pool.
    """

    @staticmethod
    def forward(ctx, rows: Tensor, pool: Tensor, indices: Tensor) -> Tensor:  # type: ignore[override, no-untyped-def]
        ctx.save_for_backward(rows, pool, indices)
        products = [(rows * pool[chosen]).sum(1) for chosen in indices.unbind(1)]
        return torch.stack(products, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override, no-untyped-def]
        rows, pool, indices = ctx.saved_tensors
        grad_rows, grad_pool = torch.zeros_like(rows), torch.zeros_like(pool)
        for weight, chosen in zip(grad.split(1, dim=1), indices.unbind(1), strict=True):
            grad_rows.addcmul_(weight, pool[chosen])
            grad_pool.index_add_(0, chosen, weight * rows)
        return grad_rows, grad_pool, None
