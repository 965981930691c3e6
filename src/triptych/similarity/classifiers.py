"""Linear classifiers that are fitted to a few vectors a class: logistic regression, and a cosine classifier."""

import warnings
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from triptych.similarity.common import without_autocast
from triptych.system.blas import one_blas_thread

__all__ = ["LinearScores", "fit_cosine_classifier", "fit_logistic_regression", "linear_to_classes"]

_TOLERANCE = 1e-6  # of the gradient: the order of photos and classes must not show in the scores
_MOST_STEPS = 10_000
_SHORTEST = 1e-6  # of a class mean, so that its direction has a gradient


class LinearScores(NamedTuple):
    """Linear scores of N classes of vectors with C entries.

    Attributes:
        weights: (N, C).
        biases: (N,).

    >>> import torch
    >>> from triptych.similarity import fit_logistic_regression
    >>> fit_logistic_regression(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])).biases.abs().round()
    tensor([0., 0.])
    """

    weights: Float[Tensor, "N C"]
    biases: Float[Tensor, " N"]


@torch.no_grad()
@without_autocast
def fit_logistic_regression(
    vectors: Float[Tensor, "S C"], labels: Int64[Tensor, " S"], strength: float = 1.0
) -> LinearScores:
    r"""Multinomial logistic regression, by scikit-learn, in float64.

    .. math:: \min_{W, b} \; \tfrac12 \|W\|_F^2
        - \lambda \sum_i \frac{S}{N S_{y_i}} \log \mathrm{softmax}(W x_i + b)_{y_i}

    with :math:`\lambda` the ``strength``, scikit-learn's C, and :math:`S_n` the vectors of class n of all S; the biases
    sum to zero. The classifier of Tian, Wang, Krishnan, Tenenbaum and Isola, ECCV 2020, who give it vectors of unit
    length, of each class as many: the factor is then one. Else it keeps a class of few vectors in the answers. No
    gradient flows through the fit.

    >>> import torch
    >>> from triptych.similarity import fit_logistic_regression
    >>> fit_logistic_regression(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1])).weights.round(decimals=2)
    tensor([[ 0.5200],
            [-0.5200]])
    """
    from sklearn.linear_model import LogisticRegression

    two = int(labels.max()) == 1
    # Of two classes scikit-learn fits the difference of their weights, whose square counts twice as much.
    model = LogisticRegression(
        C=strength * (2 if two else 1), class_weight="balanced", tol=_TOLERANCE, max_iter=_MOST_STEPS
    )
    # What is ignored: that a step of the line search gains nothing any more.
    with one_blas_thread(), warnings.catch_warnings(action="ignore"):
        model.fit(vectors.double().cpu().numpy(), labels.cpu().numpy())
    weights, biases = model.coef_, model.intercept_
    if two:
        weights, biases = np.concatenate([-weights, weights]) / 2, np.concatenate([-biases, biases]) / 2
    biases = biases - biases.mean()
    return LinearScores(torch.from_numpy(weights).to(vectors), torch.from_numpy(biases).to(vectors))


@without_autocast
def fit_cosine_classifier(
    vectors: Float[Tensor, "S C"],
    labels: Int64[Tensor, " S"],
    scale: float = 10.0,
    steps: int = 100,
    rate: float = 0.01,
) -> Float[Tensor, "N C"]:
    r"""One unit vector a class, by so many steps of gradient descent on the cross-entropy of scaled cosines.

    .. math:: \min_W \; -\frac{1}{S} \sum_i \log \mathrm{softmax}\big(s \, \hat W \hat x_i\big)_{y_i}

    Rows of :math:`\hat W` and the :math:`\hat x_i` have unit length. The classifier of Baseline++: Chen, Liu, Kira,
    Wang and Huang, ICLR 2019. The authors' code starts from random weights and makes 100 passes in batches of four,
    with momentum and weight decay; here descent starts from the class means and sees all photos, so that the result is
    always the same. The scale is 10 by default; the authors' is 2 for up to 200 classes. Steps are in float64. No
    gradient flows through the fit.

    >>> import torch
    >>> from triptych.similarity import fit_cosine_classifier
    >>> fit_cosine_classifier(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1]), steps=0)
    tensor([[1., 0.],
            [0., 1.]])
    """
    units = functional.normalize(vectors.detach().double(), dim=1)
    truth = functional.one_hot(labels).to(units)  # (S, N)
    weights = truth.T @ units / truth.sum(0)[:, None]  # (N, C), the class means
    for _ in range(steps):
        lengths = weights.norm(dim=1, keepdim=True).clamp_min(_SHORTEST)
        directions = weights / lengths
        error = (scale * units @ directions.T).softmax(1) - truth  # (S, N)
        slope = scale * error.T @ units / len(units)  # by the directions, (N, C)
        along = (slope * directions).sum(1, keepdim=True)
        weights = weights - rate * (slope - along * directions) / lengths
    return functional.normalize(weights, dim=1).to(vectors)


@without_autocast
def linear_to_classes(query: Float[Tensor, "Q C"], fitted: LinearScores) -> Float[Tensor, "Q N"]:
    r"""The score of each class for each vector.

    .. math:: s(q, n) = w_n^T x_q + b_n

    >>> import torch
    >>> from triptych.similarity import LinearScores, linear_to_classes
    >>> linear_to_classes(torch.tensor([[2.0, 1.0]]), LinearScores(torch.eye(2), torch.tensor([0.5, 0.0])))
    tensor([[2.5000, 1.0000]])
    """
    return query @ fitted.weights.T + fitted.biases
