"""Classes of few photos beside classes of many: what puts them on a par."""

from jaxtyping import Float, Int64
from torch import Tensor

__all__ = ["mean_shrinkage", "pool_advantage"]


def mean_shrinkage(shots: Int64[Tensor, " N"], prior: float) -> Float[Tensor, " N"]:
    r"""What to multiply each class's mean with, so that the noise in means of few photos is no length of their own.

    .. math:: \kappa_n = \frac{K_n}{K_n + r} \Big/ \frac{K_{\max}}{K_{\max} + r}

    The mean of K photos lies further from the centre than that of the class, by noise. A discriminant analysis takes
    half its squared length off the class's score, so that a class of few photos is hardly ever named beside classes
    of many. Shrunk to the centre as if r photos more lay there, the mean has about the length that it should have.
    Relative to the class of most photos: nothing changes where all have as many. Source: Efron and Morris, "Data
    analysis using Stein's estimator and its generalizations", JASA 1975.

    Args:
        shots: (N,) K, the photos of each class.
        prior: r, at least 0.

    >>> import torch
    >>> from triptych.similarity import mean_shrinkage
    >>> mean_shrinkage(torch.tensor([2, 6]), prior=2)
    tensor([0.6667, 1.0000])
    """
    kept = shots / (shots + prior)
    return kept / kept.max()


def pool_advantage(shots: Int64[Tensor, " N"], gain: float) -> Float[Tensor, " N"]:
    r"""How much nearer the nearest patch of each class is because the class has more, or fewer, photos.

    .. math:: a_n = g \, \log (K_n / K_{\max})

    The nearest of more patches is nearer, whatever they show; by about as much for each doubling. Taken off the
    similarities, this leaves what the patches have in common. Relative to the class of most photos, as in
    ``mean_shrinkage``, so that similarities of classes of as many photos stay as they are.

    Args:
        shots: (N,) K, the photos of each class.
        gain: g, in units of the similarity.

    >>> import torch
    >>> from triptych.similarity import pool_advantage
    >>> pool_advantage(torch.tensor([1, 10]), gain=0.03)
    tensor([-0.0691,  0.0000])
    """
    return gain * (shots / shots.max()).log()
