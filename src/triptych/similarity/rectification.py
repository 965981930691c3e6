"""Class means that the queries of a task correct, for methods that answer them together."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.similarity.common import without_autocast
from triptych.similarity.vectors import cosines

__all__ = ["rectified"]

_SHARPNESS = 10.0  # of the softmax over classes; the authors'


@without_autocast
def rectified(
    query: Float[Tensor, "Q C"], classes: Sequence[Float[Tensor, "_ C"]]
) -> tuple[Float[Tensor, "Q C"], Float[Tensor, "N C"]]:
    r"""The queries, moved so that their mean is that of the class means, and the class means of both together.

    .. math:: \tilde x_q = x_q + \frac{1}{N} \sum_{n=1}^{N} m_n - \frac{1}{Q} \sum_{p=1}^{Q} x_p, \qquad
        \tilde m_n = \frac{\sum_{x \in A_n} p_n(x) \, x}{\sum_{x \in A_n} p_n(x)}, \qquad
        p_n(x) = \frac{\exp(10 \cos(x, m_n))}{\sum_{n'} \exp(10 \cos(x, m_{n'}))}

    with the class means m of the photos, and of all photos and moved queries those A_n that have the largest cosine
    with m_n; a class without any keeps its mean. Liu, Song and Qin, "Prototype Rectification for Few-Shot Learning",
    ECCV 2020, with the weights of Ziko et al., ICML 2020, who divide by the number of vectors: where classes are
    alike, some means are then much shorter than others, and decide. It supposes about as many queries of each class:
    what all queries have in common is lost, and of a single one nothing is left.

    >>> import torch
    >>> from triptych.similarity import rectified
    >>> query = torch.tensor([[2.0, 1.0], [1.0, 2.0]])
    >>> moved, means = rectified(query, [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])])
    >>> moved
    tensor([[1., 0.],
            [0., 1.]])
    """
    means = torch.stack([photos.mean(0) for photos in classes])  # (N, C)
    moved = query + means.mean(0) - query.mean(0)
    vectors = torch.cat([*classes, moved])  # (S + Q, C)
    near = cosines(vectors, means)
    shares = (_SHARPNESS * near).softmax(1)
    shares = shares * functional.one_hot(near.argmax(1), len(classes))  # of the nearest class alone, (S + Q, N)
    sums = shares.sum(0)[:, None]
    return moved, torch.where(sums > 0, shares.T @ vectors / sums.clamp_min(torch.finfo(sums.dtype).tiny), means)
