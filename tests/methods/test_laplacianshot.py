"""LaplacianShot against naive float64 loops written from its paper; a recogniser refuses it."""

import numpy as np
import pytest
import torch
from photos import photo
from registry import backbone_of, method_over

from triptych import Recognizer
from triptych.methods import LaplacianShotConfig, SimpleShotConfig
from triptych.similarity import rectified

LABELS = torch.tensor([0, 0, 1, 2])


def rectified_means(vectors: list[np.ndarray], means: list[np.ndarray]) -> list[np.ndarray]:
    """Each vector belongs to the class with the largest cosine, and counts there as much as it is sure."""
    found: list[list[tuple[float, np.ndarray]]] = [[] for _ in means]
    for vector in vectors:
        cosines = [vector @ mean / np.sqrt((vector @ vector) * (mean @ mean)) for mean in means]
        shares = np.exp(10 * np.array(cosines)) / np.sum(np.exp(10 * np.array(cosines)))
        nearest = int(np.argmax(cosines))
        found[nearest].append((shares[nearest], vector))
    return [
        sum(share * vector for share, vector in members) / sum(share for share, _ in members) if members else mean
        for members, mean in zip(found, means, strict=True)
    ]


def test_a_class_that_nothing_is_nearest_to_keeps_its_mean() -> None:
    photos = [torch.tensor([[1.0, 0.0], [-0.8, 0.6]]), torch.tensor([[1.0, 0.1]]), torch.tensor([[-1.0, 0.5]])]
    query = torch.tensor([[1.0, 0.1], [-1.0, 0.5]])
    moved, means = rectified(query, photos)
    before = [one.double().mean(0).numpy() for one in photos]
    expected = rectified_means([*torch.cat(photos).double().numpy(), *moved.double().numpy()], before)
    np.testing.assert_allclose(means.numpy(), expected, rtol=1e-5)
    np.testing.assert_allclose(means[0].numpy(), before[0], rtol=1e-6)


@torch.no_grad()
def test_neighbours_pull_each_other_towards_a_class() -> None:
    torch.manual_seed(3)
    query, support = torch.randn(6, 3, 32, 32), torch.randn(4, 3, 32, 32)
    config = LaplacianShotConfig(neighbours=2, weight=0.7, steps=4)
    method = method_over(config, backbone_of("conv64f"))
    pooled = [method.backbone(one).double().mean((2, 3)).numpy() for one in (query, support)]
    x, photos = ([row / np.sqrt(row @ row) for row in rows] for rows in pooled)
    means = [np.mean([photos[i] for i in np.flatnonzero(LABELS.numpy() == n)], axis=0) for n in range(3)]
    x = [one + np.mean(means, axis=0) - np.mean(x, axis=0) for one in x]
    means = rectified_means([*photos, *x], means)
    unary = np.array([[np.sum((one - mean) ** 2) for mean in means] for one in x])
    near = [sorted((p for p in range(6) if p != q), key=lambda p: np.sum((x[q] - x[p]) ** 2))[:2] for q in range(6)]
    logits = -unary
    for _ in range(4):
        y = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        logits = np.array([-unary[q] + 0.7 * sum(y[p] for p in near[q]) for q in range(6)])
    np.testing.assert_allclose(method(query, support, LABELS).numpy(), logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_neighbours_and_rectification_it_is_simpleshot() -> None:
    torch.manual_seed(3)
    query, support = torch.randn(3, 3, 32, 32), torch.randn(4, 3, 32, 32)
    plain = method_over(SimpleShotConfig(), backbone_of("conv64f")).levels(query, support, LABELS)["global"]
    alone = method_over(LaplacianShotConfig(weight=0.0, rectify=False), backbone_of("conv64f"))(query, support, LABELS)
    torch.testing.assert_close(alone, plain)
    one = method_over(LaplacianShotConfig(), backbone_of("conv64f"))(query[:1], support, LABELS)
    torch.testing.assert_close(one, plain[:1])  # a single query has no neighbours, and corrects nothing


def test_a_recogniser_refuses_what_answers_queries_together() -> None:
    with pytest.raises(ValueError, match="method 'laplacianshot' looks at all queries together"):
        Recognizer(method_over(LaplacianShotConfig(), backbone_of("conv64f"))).fit(
            [photo(0, 0), photo(1, 0)], ["a", "b"]
        )
