"""Covariance metric: how far a query's descriptors lie along the directions in which a class varies."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.similarity.common import at_least_float32, without_autocast

__all__ = ["covariance_class", "covariance_to_classes"]


@without_autocast
def covariance_class(maps: Float[Tensor, "K C H W"]) -> Float[Tensor, "C C"]:
    r"""The covariance of all descriptors of one class.

    .. math:: \Sigma_n = \frac{1}{K_n M - 1} \sum_i (x_i - \mu_n)(x_i - \mu_n)^T

    Li, Xu, Huo, Wang, Gao and Luo, AAAI 2019 (CovaMNet).

    >>> import torch
    >>> from triptych.similarity import covariance_class
    >>> covariance_class(torch.tensor([0.0, 2.0]).view(1, 1, 1, 2))
    tensor([[2.]])
    """
    descriptors = at_least_float32(maps).transpose(0, 1).flatten(1)  # (C, K*M)
    if descriptors.shape[1] < 2:
        raise ValueError("a covariance needs maps of at least two positions, got one")
    centred = descriptors - descriptors.mean(1, keepdim=True)
    return centred @ centred.T / (descriptors.shape[1] - 1)


@without_autocast
def covariance_to_classes(
    query: Float[Tensor, "Q C H W"], classes: Sequence[Float[Tensor, "C C"]]
) -> Float[Tensor, "Q N M"]:
    r"""At each position of a query, its descriptor along the covariance of each class.

    .. math:: d_i(q, n) = (x_i - \bar x_q)^T \Sigma_n (x_i - \bar x_q)

    with the mean descriptor :math:`\bar x_q` of the query. The metric of CovaMNet, see ``covariance_class``, centred as
    in LibFewShot. The authors' code divides each channel of the query by its norm over the positions in place of that.

    Returns:
        (Q, N, M) similarities >= 0 of the M = H * W positions.

    Raises:
        ValueError: the query has a single position, which is its own mean.

    >>> import torch
    >>> from triptych.similarity import covariance_to_classes
    >>> covariance_to_classes(torch.tensor([1.0, 3.0]).view(1, 1, 1, 2), [torch.tensor([[2.0]]), torch.tensor([[0.5]])])
    tensor([[[2.0000, 2.0000],
             [0.5000, 0.5000]]])
    """
    descriptors = at_least_float32(query).flatten(2)  # (Q, C, M)
    if descriptors.shape[2] < 2:
        raise ValueError("the covariance metric needs maps of at least two positions, got one")
    centred = descriptors - descriptors.mean(2, keepdim=True)
    return torch.stack([(centred * (covariance @ centred)).sum(1) for covariance in classes], dim=1)
