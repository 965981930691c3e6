"""Linear discriminant analysis of a few images a class: one covariance for all classes, shrunk towards the identity."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.similarity.common import class_members, without_autocast

__all__ = ["LDA", "fit_lda", "lda_leave_one_out", "lda_to_classes"]


class LDA(NamedTuple):
    """Linear scores of N classes of vectors with D entries.

    Attributes:
        directions: (N, D), the inverse covariance times each class's mean.
        offsets: (N,), what a class's score loses.

    >>> import torch
    >>> from triptych.similarity import fit_lda
    >>> fit_lda(torch.tensor([[3.0], [-1.0]]), torch.tensor([0, 1]), ridge=0.5).offsets
    tensor([9., 1.], dtype=torch.float64)
    """

    directions: Float[Tensor, "N D"]
    offsets: Float[Tensor, " N"]


class _Fit(NamedTuple):
    """What both functions need, in the space that the support spans."""

    basis: Tensor  # (D, r)
    rows: Tensor  # (S, r) support vectors
    means: Tensor  # (N, r)
    deviations: Tensor  # (S, r) of each support vector from its class's mean
    shots: Tensor  # (N,)


@without_autocast
def fit_lda(vectors: Float[Tensor, "S D"], labels: Int64[Tensor, " S"], ridge: float = 0.003) -> LDA:
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

    Raises:
        ValueError: labels that do not fit, or a ridge that is not positive.

    >>> import torch
    >>> from triptych.similarity import fit_lda, lda_to_classes
    >>> fitted = fit_lda(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]), ridge=0.5)
    >>> lda_to_classes(torch.tensor([[1.0, 0.0]]), fitted)
    tensor([[ 1., -1.]], dtype=torch.float64)
    """
    fit = _reduce(vectors, labels, ridge)
    covariance = _covariance(fit, len(fit.rows) - len(fit.means), ridge)
    directions = torch.linalg.solve(covariance, fit.means.T).T  # (N, r)
    return LDA(directions @ fit.basis.T, (directions * fit.means).sum(1) / 2)


@without_autocast
def lda_to_classes(query: Float[Tensor, "Q D"], fitted: LDA) -> Float[Tensor, "Q N"]:
    """The score of each class for each query vector; see ``fit_lda``.

    >>> import torch
    >>> from triptych.similarity import LDA, lda_to_classes
    >>> lda_to_classes(torch.tensor([[2.0, 1.0]]), LDA(torch.eye(2).double(), torch.tensor([0.5, 0.0])))
    tensor([[1.5000, 1.0000]], dtype=torch.float64)
    """
    return query.double() @ fitted.directions.T - fitted.offsets


@without_autocast
def lda_leave_one_out(
    vectors: Float[Tensor, "S D"], labels: Int64[Tensor, " S"], ridge: float = 0.003
) -> Float[Tensor, "S N"]:
    r"""The scores of each support vector by ``fit_lda`` of all the others, without fitting anew.

    Without image i of a class of K images, with its deviation :math:`d_i = x_i - \mu_{y_i}`, the class's mean is
    :math:`\mu_{y_i} - d_i / (K - 1)` and the scatter loses :math:`\frac{K}{K - 1} d_i d_i^T`, a change of rank one
    that the Sherman-Morrison formula inverts.

    Returns:
        (S, N) scores; -inf for the own class of an image that is its only one.

    >>> import torch
    >>> from triptych.similarity import lda_leave_one_out
    >>> vectors = torch.tensor([[1.0], [0.8], [-1.0], [-0.8]])
    >>> lda_leave_one_out(vectors, torch.tensor([0, 0, 1, 1]), ridge=1.0).argmax(1)
    tensor([0, 0, 1, 1])
    """
    fit = _reduce(vectors, labels, ridge)
    left = max(len(fit.rows) - 1 - len(fit.means), 1)  # degrees of freedom without one image
    inverse = torch.linalg.inv(_covariance(fit, left, ridge))
    others = (fit.shots[labels] - 1).double()  # images that remain in the own class
    alone = others == 0
    others = others.clamp_min(1)
    loss = torch.where(alone, 0.0, (others + 1) / (others * left))  # (S,)
    solved = fit.deviations @ inverse  # (S, r)
    gain = loss / (1 - loss * (fit.deviations * solved).sum(1))

    along_x = (fit.rows * solved).sum(1)  # (S,) of each image itself along its solved deviation
    half = fit.means @ inverse  # (N, r)
    found = _changed_scores(
        fit.rows @ half.T, (half * fit.means).sum(1), along_x[:, None], solved @ fit.means.T, gain[:, None]
    )
    own = fit.means[labels] - fit.deviations / others[:, None]  # (S, r) the class's mean without the image
    half = own @ inverse
    own_scores = _changed_scores(
        (fit.rows * half).sum(1), (own * half).sum(1), along_x, (solved * own).sum(1), gain
    ).masked_fill(alone, -torch.inf)
    return found.scatter(1, labels[:, None], own_scores[:, None])


def _changed_scores(x_mean: Tensor, mean_mean: Tensor, along_x: Tensor, along_mean: Tensor, gain: Tensor) -> Tensor:
    """Scores after the inverse covariance A has become A + gain * (A d)(A d)^T; ``along`` are products with A d."""
    return x_mean + gain * along_x * along_mean - (mean_mean + gain * along_mean.square()) / 2


def _reduce(vectors: Tensor, labels: Tensor, ridge: float) -> _Fit:
    """Vectors in an orthonormal basis of what they span: scores do not change, and D may be far above S."""
    if not ridge > 0:
        raise ValueError(f"ridge must be above 0, got {ridge}")
    members = class_members(labels, len(vectors))
    rows = vectors.double()
    if rows.shape[0] < rows.shape[1]:
        basis, triangle = torch.linalg.qr(rows.T)  # (D, S), (S, S)
        rows = triangle.T
    else:
        basis = torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)
    means = torch.stack([rows[one].mean(0) for one in members])
    return _Fit(basis, rows, means, rows - means[labels], torch.bincount(labels))


def _covariance(fit: _Fit, freedom: int, ridge: float) -> Tensor:
    identity = torch.eye(fit.rows.shape[1], dtype=fit.rows.dtype, device=fit.rows.device)
    return fit.deviations.T @ fit.deviations / max(freedom, 1) + ridge * identity
