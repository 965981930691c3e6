"""Correlations of maps: of each position with those around it, and of all positions of two maps."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.similarity.common import at_least_float32, without_autocast

__all__ = ["cross_correlation", "matching_attention", "self_correlation"]

_LEAST_VARIANCE = 1e-5


@without_autocast
def self_correlation(maps: Float[Tensor, "B C H W"], window: int = 5) -> Float[Tensor, "B C M P"]:
    r"""Each position with those around it, channel by channel.

    .. math:: R(x, p) = \hat z(x) \odot \hat z(x + p), \qquad \hat z(x) = \frac{\max(z(x), 0)}{\|\max(z(x), 0)\|_2}

    for the M = H * W positions x and the P offsets p of a square window, row by row; beyond the border, z is zero.
    Kang, Kwon, Min and Cho, ICCV 2021 (RENet); the maximum is the authors' code's.

    >>> import torch
    >>> from triptych.similarity import self_correlation
    >>> self_correlation(torch.tensor([3.0, 2.0]).view(1, 1, 1, 2), window=3)[0, 0, 0]
    tensor([0., 0., 0., 0., 1., 1., 0., 0., 0.])
    """
    units = functional.normalize(at_least_float32(maps).relu(), dim=1)
    around = functional.unfold(units, window, padding=window // 2)  # (B, C*P, M)
    around = around.unflatten(1, (maps.shape[1], window**2)).transpose(2, 3)  # (B, C, M, P)
    return around * units.flatten(2)[..., None]


@without_autocast
def cross_correlation(
    query: Float[Tensor, "Q C H W"], support: Float[Tensor, "S C h w"]
) -> Float[Tensor, "Q S h w H W"]:
    r"""The cosine between each position of a query's map and each of a support map.

    .. math:: C_{qs}(x_s, x_q) = \cos\big(z_s(x_s), z_q(x_q)\big)

    The cross-correlation of RENet, see ``self_correlation``.

    >>> import torch
    >>> from triptych.similarity import cross_correlation
    >>> maps = torch.tensor([[3.0, 4.0], [1.0, 0.0]]).view(2, 2, 1, 1)
    >>> cross_correlation(maps, maps).flatten(1)
    tensor([[1.0000, 0.6000],
            [0.6000, 1.0000]])
    """
    query, support = (functional.normalize(at_least_float32(maps), dim=1) for maps in (query, support))
    return torch.einsum("qcij,sckl->qsklij", query, support)


@without_autocast
def matching_attention(
    correlation: Float[Tensor, "*B h w H W"], temperature: float = 5.0
) -> tuple[Float[Tensor, "*B h w"], Float[Tensor, "*B H W"]]:
    r"""How much each position of the support, and of the query, is matched by those of the other.

    .. math:: A_s(x_s) = \frac{1}{HW} \sum_{x_q} \mathrm{softmax}_{x_s}\big(\tilde C(x_s, x_q) / \gamma\big)

    and :math:`A_q` the other way round. :math:`\tilde C` has zero mean and variance one along the softmax, as in the
    authors' code. The co-attention of RENet, see ``self_correlation``.

    >>> import torch
    >>> from triptych.similarity import matching_attention
    >>> of_support, of_query = matching_attention(torch.eye(2).view(1, 2, 1, 2))
    >>> of_support, of_query
    (tensor([[0.5000, 0.5000]]), tensor([[0.5000, 0.5000]]))
    """
    h, w, height, width = correlation.shape[-4:]
    table = at_least_float32(correlation).flatten(-4, -3).flatten(-2)  # (*B, h*w, H*W)
    of_support = (_standardised(table, -2) / temperature).softmax(-2).mean(-1)
    of_query = (_standardised(table, -1) / temperature).softmax(-1).mean(-2)
    return of_support.unflatten(-1, (h, w)), of_query.unflatten(-1, (height, width))


def _standardised(table: Tensor, dim: int) -> Tensor:
    variance = table.var(dim, keepdim=True, correction=int(table.shape[dim] > 1))  # one position has no variance
    return (table - table.mean(dim, keepdim=True)) / (variance + _LEAST_VARIANCE).sqrt()
