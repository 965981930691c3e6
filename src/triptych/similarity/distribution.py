"""Distribution level: an image's descriptors as a Gaussian against the Gaussian of a class."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.similarity.common import check_maps, is_recorded, split_classes, without_autocast
from triptych.similarity.gaussians import (
    Gaussian,
    PrecisionGaussian,
    fit_gaussian,
    half_log_det,
    image_gaussians,
    inverted,
)

__all__ = [
    "DISTANCES",
    "distribution_class",
    "distribution_similarity",
    "distribution_to_classes",
]

_BLOCK_ELEMENTS = 1 << 25  # 256 MB
_SMALLEST_SQUARE = 1e-20  # below it a root's gradient is taken as zero


@without_autocast
def distribution_similarity(
    query: Float[Tensor, "Q C H W"],
    support: Float[Tensor, "S C h w"],
    labels: Int64[Tensor, " S"],
    distance: str = "wasserstein",
    shrinkage: str = "ridge",
) -> Float[Tensor, "Q N"]:
    r"""Minus the distance between the Gaussian of a query's descriptors and that of a class's.

    A Gaussian has the mean :math:`\mu` and the unbiased covariance S of the raw (not unit-length) descriptors, shrunk
    to :math:`\Sigma`; a class pools the descriptors of all its support images. The shrinkages:

    - ``"ridge"``: :math:`\Sigma = S + 0.01 I`, the MML release's, for few channels against many descriptors.
    - ``"oas"``: :math:`\Sigma = (1 - \rho) S + \rho\mu I` with :math:`\mu = \mathrm{tr}(S) / C` and
      :math:`\rho = \min(1, (\alpha + \mu^2) / ((n + 1)(\alpha - \mu^2 / C)))`, :math:`\alpha` the mean of the squared
      entries of S and n the number of descriptors: the oracle approximating shrinkage, for as many channels as
      descriptors, or more. Chen, Wiesel, Eldar and Hero, IEEE Transactions on Signal Processing 58 (2010), equation
      23, as scikit-learn computes it; 1e-6 I is added, so that a map without variance has a distance.

    The distances:

    - ``"wasserstein"``: :math:`\|\mu_q - \mu_n\|_2 / C + \|\Sigma_q - \Sigma_n\|_F / C^2`, the MML release's.
    - ``"kl"``: :math:`KL(N_q \| N_n) = \frac12 [\mathrm{tr}(\Sigma_n^{-1}\Sigma_q)
      + (\mu_n - \mu_q)^T \Sigma_n^{-1} (\mu_n - \mu_q) - C + \ln\det\Sigma_n - \ln\det\Sigma_q]`, as in ADM.
    - ``"kl_reverse"``: :math:`KL(N_n \| N_q)`.
    - ``"log_kl"``: :math:`\ln(1 + KL(N_q \| N_n))`, which ranks as ``"kl"``. KL spreads farther over classes of one
      image than over classes of five; its logarithm spreads alike, so that one temperature fits all shots.
    - ``"bures"``: the exact 2-Wasserstein distance between Gaussians,
      :math:`\sqrt{\|\mu_q - \mu_n\|^2 + \mathrm{tr}\,\Sigma_q + \mathrm{tr}\,\Sigma_n
      - 2\,\mathrm{tr}(\Sigma_q^{1/2}\Sigma_n\Sigma_q^{1/2})^{1/2}}`.

    Sources: Chen et al. (MML), arXiv 2103.11383v1, section 3.2; Li et al. (ADM), IJCAI 2020, equation 3;
    Dowson and Landau, J. Multivariate Analysis 12 (1982), for the last.

    Args:
        query: (Q, C, H, W) feature maps.
        support: (S, C, h, w) feature maps; classes may have different numbers of them.
        labels: (S,) the class of each support map, 0..N-1.
        distance: "wasserstein", "kl", "kl_reverse", "log_kl" or "bures".
        shrinkage: "ridge" or "oas".

    Returns:
        (Q, N) similarities <= 0, float32 or float64. The statistics are computed in float64: the inverse of a
        covariance amplifies rounding by the ratio of its largest to its smallest variance.

    Raises:
        ValueError: an unknown distance or shrinkage, a class without support image, or maps of a single position.

    >>> import torch
    >>> from triptych.similarity import distribution_similarity
    >>> x = torch.tensor([[0.0, 2.0], [1.0, 3.0]]).view(2, 1, 1, 2)
    >>> distribution_similarity(x, x, torch.tensor([0, 1]))
    tensor([[-0., -1.],
            [-1., -0.]])
    """
    check_maps(query, support)
    classes = [distribution_class(maps, distance, shrinkage) for maps in split_classes(support, labels)]
    return distribution_to_classes(query, classes, distance, shrinkage)


@without_autocast
def distribution_class(
    maps: Float[Tensor, "K C H W"], distance: str = "wasserstein", shrinkage: str = "ridge"
) -> Gaussian | PrecisionGaussian:
    """The Gaussian of all descriptors of one class, for "kl" and "log_kl" already inverted.

    >>> import torch
    >>> from triptych.similarity import distribution_class
    >>> distribution_class(torch.tensor([0.0, 2.0]).view(1, 1, 1, 2))
    Gaussian(mean=tensor([1.], dtype=torch.float64), covariance=tensor([[2.0100]], dtype=torch.float64))
    """
    _check_distance(distance)
    gaussian = fit_gaussian(maps.transpose(0, 1).flatten(1), shrinkage)
    return inverted(gaussian) if distance in {"kl", "log_kl"} else gaussian


@without_autocast
def distribution_to_classes(
    query: Float[Tensor, "Q C H W"],
    classes: Sequence[Gaussian | PrecisionGaussian],
    distance: str = "wasserstein",
    shrinkage: str = "ridge",
) -> Float[Tensor, "Q N"]:
    """``distribution_similarity`` against classes prepared by ``distribution_class`` in the same way.

    >>> import torch
    >>> from triptych.similarity import distribution_class, distribution_to_classes
    >>> maps = torch.tensor([[0.0, 2.0], [1.0, 3.0]]).view(2, 1, 1, 2)
    >>> distribution_to_classes(maps[:1], [distribution_class(one[None]) for one in maps])
    tensor([[-0., -1.]])
    """
    _check_distance(distance)
    block = max(1, _BLOCK_ELEMENTS // query.shape[1] ** 2)  # queries, or classes, of which matrices are held at once
    rows = []
    for part in [query] if is_recorded() else query.split(block):
        gaussian = image_gaussians(part, shrinkage)
        blocks = [_stack(classes[start : start + block]) for start in range(0, len(classes), block)]
        rows.append(torch.cat([-DISTANCES[distance](gaussian, one) for one in blocks], dim=1))
    similarity = torch.cat(rows)
    return similarity if query.dtype == torch.float64 else similarity.float()


def _stack(classes: Sequence[Gaussian | PrecisionGaussian]) -> Gaussian | PrecisionGaussian:
    return type(classes[0])(*map(torch.stack, zip(*classes, strict=True)))


def _check_distance(distance: str) -> None:
    if not isinstance(distance, str) or distance not in DISTANCES:
        raise ValueError(f"unknown distance {distance!r}; expected one of {', '.join(DISTANCES)}")


def _wasserstein(query: Gaussian, classes: Gaussian) -> Tensor:
    channels = query.mean.shape[1]
    means = _euclidean(query.mean, classes.mean)
    covariances = _euclidean(query.covariance.flatten(1), classes.covariance.flatten(1))
    return means / channels + covariances / channels**2  # (Q, N)


def _euclidean(x: Tensor, y: Tensor) -> Tensor:
    # The expansion |x|^2 - 2xy + |y|^2 would lose the small distances that decide.
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def _kl(query: Gaussian, classes: PrecisionGaussian) -> Tensor:
    """KL(N_q || N_n) for all pairs (Q, N), without a tensor of Q * N matrices."""
    trace = query.covariance.flatten(1) @ classes.precision.flatten(1).T  # (Q, N)
    offset = query.mean.T - classes.mean[:, :, None]  # (N, C, Q)
    mahalanobis = (offset * (classes.precision @ offset)).sum(1).T  # (Q, N)
    log_ratio = classes.half_log_det - half_log_det(torch.linalg.cholesky(query.covariance))[:, None]
    return (trace + mahalanobis - query.mean.shape[1]) / 2 + log_ratio


def _log_kl(query: Gaussian, classes: PrecisionGaussian) -> Tensor:
    return _kl(query, classes).log1p()


def _kl_reverse(query: Gaussian, classes: Gaussian) -> Tensor:
    return _kl(classes, inverted(query)).T


def _bures(query: Gaussian, classes: Gaussian) -> Tensor:
    """Per class, to hold (Q, C, C) and not (Q, N, C, C).

    With any factors A A^T and B B^T of the two covariances, tr (A A^T B B^T)^(1/2) is the sum of the singular
    values of A^T B; Cholesky factors save the matrix roots.
    """
    roots = torch.linalg.cholesky(query.covariance)  # (Q, C, C)
    query_trace = query.covariance.diagonal(dim1=-2, dim2=-1).sum(-1)
    columns = []
    for mean, covariance in zip(*classes, strict=True):
        cross = torch.linalg.svdvals(roots.mT @ torch.linalg.cholesky(covariance)).sum(-1)
        square = (query.mean - mean).square().sum(-1) + query_trace + covariance.trace() - 2 * cross
        columns.append(square.clamp_min(_SMALLEST_SQUARE).sqrt())
    return torch.stack(columns, dim=1)


DISTANCES: dict[str, Callable[[Gaussian, Any], Tensor]] = {
    "wasserstein": _wasserstein,
    "kl": _kl,
    "kl_reverse": _kl_reverse,
    "log_kl": _log_kl,
    "bures": _bures,
}
