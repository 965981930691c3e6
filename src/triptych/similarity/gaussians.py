"""Gaussians of local descriptors: those of an image, or those of all images of a class."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from triptych.similarity.common import without_autocast

__all__ = [
    "SHRINKAGES",
    "Gaussian",
    "PrecisionGaussian",
    "fit_gaussian",
    "gaussian_vector_size",
    "gaussian_vectors",
    "half_log_det",
    "image_gaussians",
    "inverted",
]

_RIDGE = 0.01  # added to every variance, as in the release
_FLOOR = 1e-6


class Gaussian(NamedTuple):
    """One or several Gaussians: mean (..., C) and covariance (..., C, C), in float64.

    >>> import torch
    >>> from triptych.similarity import Gaussian
    >>> Gaussian(mean=torch.zeros(2), covariance=torch.eye(2)).mean
    tensor([0., 0.])
    """

    mean: Float[Tensor, "*B C"]
    covariance: Float[Tensor, "*B C C"]


class PrecisionGaussian(NamedTuple):
    """What KL(. || N) needs of N: mean (..., C), inverse covariance (..., C, C) and half its log-determinant (...).

    >>> import torch
    >>> from triptych.similarity import distribution_class
    >>> type(distribution_class(torch.randn(1, 4, 5, 5), "kl")).__name__
    'PrecisionGaussian'
    """

    mean: Float[Tensor, "*B C"]
    precision: Float[Tensor, "*B C C"]
    half_log_det: Float[Tensor, "*B"]


@without_autocast
def image_gaussians(maps: Float[Tensor, "B C H W"], shrinkage: str = "ridge") -> Gaussian:
    """The Gaussian of the descriptors of each image.

    >>> import torch
    >>> from triptych.similarity import image_gaussians
    >>> image_gaussians(torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)).mean
    tensor([[1.]], dtype=torch.float64)
    """
    return fit_gaussian(maps.flatten(2), shrinkage)


def gaussian_vector_size(channels: Sequence[int]) -> int:
    """D of the vectors that ``gaussian_vectors`` makes of maps of so many channels.

    >>> from triptych.similarity import gaussian_vector_size
    >>> gaussian_vector_size([64, 64, 64])
    6432
    """
    return sum(count * (count + 3) // 2 for count in channels)


@without_autocast
def gaussian_vectors(maps: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B D"]:
    r"""Each image's Gaussians as one vector, in float64: the maps may be those of several layers.

    .. math:: g = (\mu_1, \mathrm{tril}\,L_1, \mu_2, \mathrm{tril}\,L_2, \ldots), \qquad \Sigma_l = L_l L_l^T

    with the mean and the covariance (ridge 0.01) of the descriptors of layer l. Source of the coordinates of a
    covariance: Lin, "Riemannian Geometry of Symmetric Positive Definite Matrices via Cholesky Decomposition", SIAM
    Journal on Matrix Analysis 40 (2019), without the logarithm of the diagonal.

    >>> import torch
    >>> from triptych.similarity import gaussian_vectors
    >>> gaussian_vectors([torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)])
    tensor([[1.0000, 1.4177]], dtype=torch.float64)
    """
    vectors = []
    for layer in maps:
        gaussian = image_gaussians(layer)
        rows, columns = torch.tril_indices(layer.shape[1], layer.shape[1], device=layer.device)
        root, failed = torch.linalg.cholesky_ex(gaussian.covariance)  # of maps that are not finite: NaN, and no error
        root = root.masked_fill(failed[:, None, None] > 0, torch.nan)
        vectors += [gaussian.mean, root[:, rows, columns]]
    return torch.cat(vectors, dim=1)


def fit_gaussian(descriptors: Float[Tensor, "*B C M"], shrinkage: str = "ridge") -> Gaussian:
    """The Gaussian of descriptors that lie in columns; ``shrinkage`` as in ``distribution_similarity``."""
    if shrinkage not in SHRINKAGES:
        raise ValueError(f"unknown shrinkage {shrinkage!r}; expected one of {', '.join(SHRINKAGES)}")
    count = descriptors.shape[-1]
    if count < 2:
        raise ValueError("the distribution level needs maps of at least two positions, got one")
    descriptors = descriptors.double()
    mean = descriptors.mean(-1)
    # The centred descriptors sum to zero, so no gradient flows through the mean that is taken off.
    centred = descriptors - mean.detach()[..., None]
    return Gaussian(mean, SHRINKAGES[shrinkage](_Scatter.apply(centred) / (count - 1), count))


class _Scatter(torch.autograd.Function):
    """X X^T, whose gradient (G + G^T) X is one product where autograd makes two."""

    @staticmethod
    def forward(ctx: Any, centred: Tensor) -> Tensor:
        ctx.save_for_backward(centred)
        return centred @ centred.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        (centred,) = ctx.saved_tensors
        return (gradient + gradient.mT) @ centred


def _ridge(covariance: Tensor, count: int) -> Tensor:
    return covariance + _RIDGE * _identity_like(covariance)


def _oas(covariance: Tensor, count: int) -> Tensor:
    channels = covariance.shape[-1]
    variance = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)
    energy = covariance.square().mean((-2, -1))
    numerator = energy + variance.square()
    denominator = (count + 1) * (energy - variance.square() / channels)
    shrunk = denominator > numerator
    # The divisor is chosen before the quotient: where it were zero, the gradient of both choices would be NaN.
    rho = torch.where(shrunk, numerator / torch.where(shrunk, denominator, 1.0), 1.0)[..., None, None]
    target = (rho * variance[..., None, None] + _FLOOR) * _identity_like(covariance)
    return (1 - rho) * covariance + target


def _identity_like(covariance: Tensor) -> Tensor:
    return torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)


def inverted(gaussian: Gaussian) -> PrecisionGaussian:
    """A Gaussian in the form in which it is compared with others."""
    root = torch.linalg.cholesky(gaussian.covariance)
    return PrecisionGaussian(gaussian.mean, torch.cholesky_inverse(root), half_log_det(root))


def half_log_det(root: Float[Tensor, "*B C C"]) -> Float[Tensor, "*B"]:
    """Half the log-determinant of a covariance, from its Cholesky factor."""
    return root.diagonal(dim1=-2, dim2=-1).log().sum(-1)


SHRINKAGES: dict[str, Callable[[Tensor, int], Tensor]] = {"ridge": _ridge, "oas": _oas}
