"""Brownian distance covariance: how the channels of a map depend on each other, linearly or not, as one matrix."""

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.similarity.common import at_least_float32, without_autocast

__all__ = ["bdc_vectors", "inner_products"]

_LEAST_SQUARE = 1e-5  # so that a root has a gradient; the release's


@without_autocast
def bdc_vectors(maps: Float[Tensor, "B C H W"], scale: Float[Tensor, ""] | float = 1.0) -> Float[Tensor, "B D"]:
    r"""The upper triangle of each image's BDC matrix, D = C (C + 1) / 2.

    .. math:: \hat a_{kl} = \sqrt{\gamma \|x_k - x_l\|_2^2 + 10^{-5}}, \qquad
        a_{kl} = \hat a_{kl} - \frac{1}{C} \sum_m \hat a_{km} - \frac{1}{C} \sum_m \hat a_{ml}
        + \frac{1}{C^2} \sum_{m, m'} \hat a_{mm'}

    with the channels :math:`x_k` (M,) of the map and :math:`\gamma` the ``scale``. Xie, Long, Lv, Wang and Li, CVPR
    2022; scale and offset are those of the authors' code.

    >>> import torch
    >>> from triptych.similarity import bdc_vectors
    >>> bdc_vectors(torch.tensor([0.0, 2.0]).view(1, 2, 1, 1)).round(decimals=2)
    tensor([[-1.,  1., -1.]])
    """
    channels = at_least_float32(maps).flatten(2)  # (B, C, M)
    products = channels @ channels.mT
    lengths = products.diagonal(dim1=1, dim2=2)
    squares = (lengths[:, :, None] + lengths[:, None] - 2 * products).clamp_min(0)
    distances = (scale * squares + _LEAST_SQUARE).sqrt()  # (B, C, C)
    rows = distances.mean(2)
    centred = distances - rows[:, :, None] - rows[:, None] + rows.mean(1)[:, None, None]
    upper = torch.triu_indices(channels.shape[1], channels.shape[1], device=maps.device)
    return centred[:, upper[0], upper[1]]


@without_autocast
def inner_products(query: Float[Tensor, "Q D"], classes: Float[Tensor, "N D"]) -> Float[Tensor, "Q N"]:
    r"""Inner products of the vectors of queries and those of classes.

    .. math:: s(q, n) = x_q^T c_n

    >>> import torch
    >>> from triptych.similarity import inner_products
    >>> inner_products(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 0.0], [0.0, 1.0]]))
    tensor([[3., 2.]])
    """
    return query @ classes.T
