"""Plain classifiers of pooled features: what multi-level metric learning has to beat."""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, Int64
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import LinearSVC
from torch import Tensor

from triptych.system.blas import one_blas_thread

__all__ = ["BASELINES", "baseline_answers", "pooled", "prepared"]

# The first of each is used where every class has a single photo; otherwise the support itself chooses.
_NEIGHBOURS = (1, 3, 5)
_LOGISTIC_C = (10.0, 100.0, 1.0)
_SVM_C = (0.1, 1.0, 10.0)
_ITERATIONS = 10_000  # more than any needs: an unfinished classifier would be an unfair baseline


def pooled(maps: Float[Tensor, "B C H W"]) -> Float[np.ndarray, "B C"]:
    """One vector per image: the mean of its feature map over all positions, in float64.

    >>> import torch
    >>> from triptych.comparison.baselines import pooled
    >>> pooled(torch.tensor([[[[1.0, 3.0]], [[0.0, 0.5]]]]))
    array([[2.  , 0.25]])
    """
    # One at a time: in float64 all maps at once would be four times what is kept of them.
    return torch.stack([one.double().mean(dim=(1, 2)) for one in maps]).cpu().numpy()


def prepared(
    support: Float[np.ndarray, "S C"], others: Float[np.ndarray, "Q C"]
) -> tuple[Float[np.ndarray, "S C"], Float[np.ndarray, "Q C"]]:
    """Both sets of vectors less the mean of the support, each then of unit length; a zero vector stays zero.

    Source: Wang et al. (SimpleShot), arXiv 1911.04623, "CL2N", with the mean of the photos at hand in place of that
    of the training classes.
    """
    centre = support.mean(axis=0)
    return _unit(support - centre), _unit(others - centre)


def baseline_answers(
    support: Float[np.ndarray, "S C"], labels: Int64[np.ndarray, " S"], query: Float[np.ndarray, "Q C"]
) -> dict[str, Int64[np.ndarray, " Q"]]:
    """What each of ``BASELINES`` answers for pooled vectors of queries.

    Each is as strong as a careful user would make it: vectors as ``prepared`` makes them, and the number of
    neighbours and the strength of regularisation chosen by two-fold cross-validation on the support.

    Args:
        support: (S, C) pooled vectors.
        labels: (S,) their classes, of two at least.
        query: (Q, C) pooled vectors.

    Returns:
        name -> (Q,) labels.

    >>> import numpy as np
    >>> from triptych.comparison.baselines import baseline_answers
    >>> support = np.array([[1.0, 0.0], [0.9, 0.2], [0.0, 1.0], [0.1, 0.8]])
    >>> answers = baseline_answers(support, np.array([0, 0, 1, 1]), np.array([[0.2, 0.7]]))
    >>> {name: answer.tolist() for name, answer in answers.items()}
    {'class mean': [1], 'nearest neighbours': [1], 'logistic regression': [1], 'linear SVM': [1]}
    """
    known, asked = prepared(support, query)
    with warnings.catch_warnings(), one_blas_thread():
        # scikit-learn takes many classes of one photo for a regression problem.
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        return {name: classify(known, labels, asked) for name, classify in BASELINES.items()}


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)


def _class_mean(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    classes = np.unique(labels)
    means = np.stack([known[labels == label].mean(axis=0) for label in classes])
    return KNeighborsClassifier(1).fit(means, classes).predict(asked)


def _neighbours(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    fewest = min([len(known), *(int((~held).sum()) for held in _folds(labels))])
    grid = [KNeighborsClassifier(k, weights="distance") for k in _NEIGHBOURS if k <= fewest]
    return _best(grid, known, labels).predict(asked)


def _logistic(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return _best([LogisticRegression(C=c, max_iter=_ITERATIONS) for c in _LOGISTIC_C], known, labels).predict(asked)


def _svm(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> np.ndarray:
    return _best([LinearSVC(C=c, max_iter=_ITERATIONS) for c in _SVM_C], known, labels).predict(asked)


def _best(grid: Sequence[ClassifierMixin], known: np.ndarray, labels: np.ndarray) -> ClassifierMixin:
    """The classifier of the grid that is right most often in two-fold cross-validation, fitted; the first of equals."""
    folds = _folds(labels)
    right = [
        sum(float((one.fit(known[~held], labels[~held]).predict(known[held]) == labels[held]).sum()) for held in folds)
        for one in grid
    ]
    return grid[int(np.argmax(right))].fit(known, labels)


def _folds(labels: np.ndarray) -> list[np.ndarray]:
    """Masks (S,) of what is held out: half of each class, then the other; every class keeps one at least."""
    rank, single = np.zeros(len(labels), np.int64), np.zeros(len(labels), bool)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        rank[mine], single[mine] = np.arange(len(mine)), len(mine) == 1
    return [held for parity in (0, 1) if (held := (rank % 2 == parity) & ~single).any()]


BASELINES: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "class mean": _class_mean,
    "nearest neighbours": _neighbours,
    "logistic regression": _logistic,
    "linear SVM": _svm,
}
