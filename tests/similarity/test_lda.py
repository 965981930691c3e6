"""Linear discriminant analysis against naive float64 loops."""

import numpy as np
import pytest
import torch

from triptych.similarity import fit_lda, lda_to_classes

SHOTS = [[3, 1, 4], [1, 1], [2, 2, 2, 2], [1, 2]]


def support_of(shots: list[int], size: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(sum(shots) + size)
    labels = torch.tensor([n for n, shot in enumerate(shots) for _ in range(shot)])
    order = torch.randperm(len(labels), generator=generator)
    return torch.randn(len(labels), size, generator=generator), labels[order]


def naive_score(query: np.ndarray, vectors: np.ndarray, labels: np.ndarray, ridge: float) -> np.ndarray:
    classes = sorted(set(labels.tolist()))
    means = {n: np.mean([x for x, y in zip(vectors, labels, strict=True) if y == n], axis=0) for n in classes}
    scatter = sum(np.outer(x - means[y], x - means[y]) for x, y in zip(vectors, labels.tolist(), strict=True))
    covariance = scatter / max(len(labels) - len(classes), 1) + ridge * np.eye(len(query))
    inverse = np.linalg.inv(covariance)
    return np.array([query @ inverse @ means[n] - means[n] @ inverse @ means[n] / 2 for n in classes])


@pytest.mark.parametrize("shots", SHOTS)
@pytest.mark.parametrize("size", [2, 30])
def test_scores_are_those_of_the_equation(shots: list[int], size: int) -> None:
    vectors, labels = support_of(shots, size)
    query = torch.randn(3, size)
    found = lda_to_classes(query, fit_lda(vectors, labels, ridge=0.1))
    for row, one in zip(found, query.double().numpy(), strict=True):
        expected = naive_score(one, vectors.double().numpy(), labels.numpy(), 0.1)
        np.testing.assert_allclose(row.numpy(), expected, rtol=1e-7, atol=1e-9)


def test_with_one_image_a_class_the_nearest_mean_wins() -> None:
    vectors, labels = support_of([1, 1, 1], 5)
    query = torch.randn(20, 5)
    distance = torch.cdist(query, vectors[torch.argsort(labels)])
    assert torch.equal(lda_to_classes(query, fit_lda(vectors, labels)).argmax(1), distance.argmin(1))


def test_equal_images_are_finite() -> None:
    vectors, labels = torch.ones(4, 3), torch.tensor([0, 0, 1, 1])
    assert lda_to_classes(vectors, fit_lda(vectors, labels)).isfinite().all()


def test_a_ridge_must_be_positive() -> None:
    with pytest.raises(ValueError, match="ridge must be above 0, got 0"):
        fit_lda(torch.ones(2, 2), torch.tensor([0, 1]), ridge=0.0)
