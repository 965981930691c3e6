"""Plain heads on pooled features, as peers.py compares them: probabilities, and how known a photo is."""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from torch import nn

from triptych.comparison.baselines import prepared

__all__ = ["HEADS", "Head"]

# Vectors learnt from, their classes 0..N-1, vectors asked about -> probabilities (Q, N), how known each photo is (Q,).
Head = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]

_C = (10.0, 100.0, 1.0)  # the first where each class has a single photo
_EPOCHS, _RATE, _BATCH = 50, 1e-3, 16


def class_mean(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Softmax of minus the squared distance to class means (Snell et al., NeurIPS 2017); the distance tells unknowns.

    >>> import numpy as np
    >>> class_mean(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 1]), np.array([[2.0, 0.0]]))[0].argmax(1)
    array([0])
    """
    learnt, query = prepared(known, asked)
    means = np.stack([learnt[labels == n].mean(axis=0) for n in range(labels.max() + 1)])
    squared = np.square(query[:, None] - means).sum(2)
    return torch.from_numpy(-squared).softmax(1).numpy(), -squared.min(1)


def logistic_regression(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Its C is chosen by cross-validation on the support; the highest probability tells unknowns."""
    learnt, query = prepared(known, asked)
    model = LogisticRegression(C=_C[0], max_iter=10_000)
    folds = min(3, int(np.bincount(labels).min()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The number of unique classes", UserWarning)
        chosen = GridSearchCV(model, {"C": list(_C)}, cv=folds) if folds > 1 else model
        probabilities = chosen.fit(learnt, labels).predict_proba(query)
    return probabilities, probabilities.max(1)


def dense_layer(known: np.ndarray, labels: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One dense layer on the pooled features as they are, 50 epochs of Adam at 0.001 in batches of 16.

    So Teachable Machine and many tutorials train; the highest probability tells unknowns.
    """
    torch.manual_seed(0)
    vectors, truth = torch.from_numpy(known).float(), torch.from_numpy(labels)
    layer = nn.Linear(vectors.shape[1], int(labels.max()) + 1)
    optimiser = torch.optim.Adam(layer.parameters(), lr=_RATE)
    for _ in range(_EPOCHS):
        for batch in torch.randperm(len(vectors)).split(_BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(layer(vectors[batch]), truth[batch]).backward()
            optimiser.step()
    with torch.no_grad():
        probabilities = layer(torch.from_numpy(asked).float()).softmax(1).numpy()
    return probabilities, probabilities.max(1)


HEADS: dict[str, Head] = {
    "nearest class mean": class_mean,
    "logistic regression": logistic_regression,
    "dense layer, 50 epochs": dense_layer,
}
