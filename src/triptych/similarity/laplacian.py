"""Laplacian regularisation: neighbouring queries are encouraged to be of the same class."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from triptych.similarity.common import without_autocast

__all__ = ["laplacian_assignments", "nearest_neighbours"]


@torch.no_grad()
@without_autocast
def nearest_neighbours(vectors: Float[Tensor, "Q C"], k: int) -> Bool[Tensor, "Q Q"]:
    """Which vectors are among the k nearest of each, itself left out; of fewer than k others, all.

    >>> import torch
    >>> from triptych.similarity import nearest_neighbours
    >>> nearest_neighbours(torch.tensor([[0.0], [1.0], [5.0]]), k=1).int()
    tensor([[0, 1, 0],
            [1, 0, 0],
            [0, 1, 0]], dtype=torch.int32)
    """
    distances = torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist")
    distances.fill_diagonal_(torch.inf)
    near = torch.zeros_like(distances, dtype=torch.bool)
    chosen = distances.topk(min(k, max(len(vectors) - 1, 0)), dim=1, largest=False).indices
    return near.scatter_(1, chosen, True)


@without_autocast
def laplacian_assignments(
    similarities: Float[Tensor, "Q N"], neighbours: Bool[Tensor, "Q Q"], weight: float = 1.0, steps: int = 20
) -> Float[Tensor, "Q N"]:
    r"""Logits of the assignments of queries to classes after so many bound updates.

    .. math:: y_q^{(i + 1)} = \mathrm{softmax}\Big(s_q + \lambda \sum_p w_{qp}\, y_p^{(i)}\Big), \qquad
        y_q^{(0)} = \mathrm{softmax}(s_q)

    with similarities s, minus the squared distances to the class means; w is one for neighbours and zero for others.
    Where w is symmetric, the objective is
    :math:`-\sum_q y_q^T s_q + \frac{\lambda}{4} \sum_{qp} w_{qp} \|y_q - y_p\|^2`, relaxed. Ziko, Dolz, Granger and
    Ben Ayed, ICML 2020. The sum before the last softmax is returned.

    >>> import torch
    >>> from triptych.similarity import laplacian_assignments
    >>> near = torch.tensor([[False, True], [True, False]])
    >>> laplacian_assignments(torch.tensor([[9.0, 0.0], [0.0, 0.1]]), near, steps=1).round(decimals=2)
    tensor([[9.4800, 0.5200],
            [1.0000, 0.1000]])
    """
    graph = weight * neighbours.to(similarities)
    logits = similarities
    for _ in range(steps):
        logits = similarities + graph @ logits.softmax(1)
    return logits
