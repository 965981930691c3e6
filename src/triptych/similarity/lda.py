"""Linear discriminant analysis of a few images a class: one covariance for all classes, shrunk towards the identity."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.similarity.common import class_members, without_autocast

__all__ = ["LDA", "ShrunkInverse", "fit_lda", "lda_to_classes"]


class LDA(NamedTuple):
    """Linear scores of N classes of vectors with D entries.

    Attributes:
        directions: (N, D), the inverse covariance times each class's mean.
        offsets: (N,), what a class's score loses.

    >>> import torch
    >>> from triptych.similarity import fit_lda
    >>> fit_lda(torch.tensor([[3.0], [-1.0]]), torch.tensor([0, 1]), ridge=0.5).offsets.round(decimals=6)
    tensor([9., 1.], dtype=torch.float64)
    """

    directions: Float[Tensor, "N D"]
    offsets: Float[Tensor, " N"]


@without_autocast
def fit_lda(
    vectors: Float[Tensor, "S D"],
    labels: Int64[Tensor, " S"],
    ridge: float = 0.003,
    shrinkage: Float[Tensor, " N"] | None = None,
) -> LDA:
    r"""Linear discriminant analysis with a ridge.

    .. math:: s(x, n) = x^T \Sigma^{-1} \mu_n - \tfrac12 \mu_n^T \Sigma^{-1} \mu_n, \qquad
        \Sigma = \frac{1}{S - N} \sum_i (x_i - \mu_{y_i})(x_i - \mu_{y_i})^T + \rho I

    :math:`\rho` is ``ridge``, meant for vectors of about unit length. With one image a class nothing is known of the
    variation within classes, and the scores rank as the distances to the class means do. Sources: Fisher,
    "The use of multiple measurements in taxonomic problems", 1936; of the ridge, Friedman, "Regularized Discriminant
    Analysis", JASA 1989.

    Args:
        vectors: (S, D) one vector an image.
        labels: (S,) the class of each, 0..N-1; classes may have different numbers of images.
        ridge: added to each variance, > 0.
        shrinkage: (N,) what to multiply the means with once the covariance is known; see ``mean_shrinkage``.

    Raises:
        ValueError: labels that do not fit, or a ridge that is not positive.

    >>> import torch
    >>> from triptych.similarity import fit_lda, lda_to_classes
    >>> fitted = fit_lda(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]), ridge=0.5)
    >>> lda_to_classes(torch.tensor([[1.0, 0.0]]), fitted).round(decimals=6)
    tensor([[ 1., -1.]], dtype=torch.float64)
    """
    if not ridge > 0:
        raise ValueError(f"ridge must be above 0, got {ridge}")
    members = class_members(labels, len(vectors))
    rows = vectors.double()
    means = torch.stack([rows[one].mean(0) for one in members])  # (N, D)
    inverse = ShrunkInverse.of(rows - means[labels], len(means), ridge)
    means = means if shrinkage is None else means * shrinkage.to(means)[:, None]
    directions = inverse.times(means)
    return LDA(directions, (directions * means).sum(1) / 2)


@without_autocast
def lda_to_classes(query: Float[Tensor, "Q D"], fitted: LDA) -> Float[Tensor, "Q N"]:
    """The score of each class for each query vector; see ``fit_lda``.

    >>> import torch
    >>> from triptych.similarity import LDA, lda_to_classes
    >>> lda_to_classes(torch.tensor([[2.0, 1.0]]), LDA(torch.eye(2).double(), torch.tensor([0.5, 0.0])))
    tensor([[1.5000, 1.0000]], dtype=torch.float64)
    """
    return query.double() @ fitted.directions.T - fitted.offsets


class ShrunkInverse(NamedTuple):
    r"""The inverse of :math:`X^T X / f + \rho I`, in whichever of the two dimensions of X is smaller.

    With fewer rows than entries, by Woodbury's identity,

    .. math:: (X^T X / f + \rho I)^{-1} v = \frac{1}{\rho} \big(v - X^T (X X^T + f \rho I)^{-1} X v\big)

    Attributes:
        rows: (S, D) X in float64; needed with fewer rows than entries only.
        factor: Cholesky factor of :math:`X X^T + f \rho I`, or of the matrix itself if S >= D.
        freedom: f.
        ridge: :math:`\rho`.

    >>> import torch
    >>> from triptych.similarity.lda import ShrunkInverse
    >>> ShrunkInverse.of(torch.tensor([[1.0, 0.0], [1.0, 0.0]]).double(), 1, ridge=0.5).times(torch.eye(2).double())
    tensor([[0.4000, 0.0000],
            [0.0000, 2.0000]], dtype=torch.float64)
    """

    rows: Float[Tensor, "S D"]
    factor: Tensor
    freedom: int
    ridge: float

    @classmethod
    def of(cls, deviations: Float[Tensor, "S D"], classes: int, ridge: float) -> "ShrunkInverse":
        """Of the deviations of all vectors from the means of their classes."""
        size, entries = deviations.shape
        freedom = max(size - classes, 1)
        if size < entries:
            small, diagonal = deviations @ deviations.T, freedom * ridge
        else:
            small, diagonal = deviations.T @ deviations / freedom, ridge
        small.diagonal().add_(diagonal)
        return cls(deviations, torch.linalg.cholesky(small), freedom, ridge)

    def times(self, vectors: Float[Tensor, "J D"]) -> Float[Tensor, "J D"]:
        """The inverse times each vector."""
        if len(self.factor) == self.rows.shape[1]:
            return torch.cholesky_solve(vectors.T, self.factor).T
        within = torch.cholesky_solve(self.rows @ vectors.T, self.factor)  # (S, J)
        return (vectors - within.T @ self.rows) / self.ridge
