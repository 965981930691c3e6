"""LaplacianShot against naive float64 loops written from its paper; a recogniser refuses it."""

import numpy as np
import pytest
import torch
from photos import photo
from registry import backbone_of, method_over

from triptych import Recognizer
from triptych.methods import LaplacianShotConfig, SimpleShotConfig

LABELS = torch.tensor([0, 0, 1, 2])


@torch.no_grad()
def test_neighbours_pull_each_other_towards_a_class() -> None:
    torch.manual_seed(3)
    query, support = torch.randn(6, 3, 32, 32), torch.randn(4, 3, 32, 32)
    config = LaplacianShotConfig(neighbours=2, weight=0.7, steps=4)
    method = method_over(config, backbone_of("conv64f"))
    pooled = [method.backbone(one).double().mean((2, 3)).numpy() for one in (query, support)]
    x, photos = ([row / np.sqrt(row @ row) for row in rows] for rows in pooled)
    means = [np.mean([photos[i] for i in np.flatnonzero(LABELS.numpy() == n)], axis=0) for n in range(3)]
    unary = np.array([[np.sum((one - mean) ** 2) for mean in means] for one in x])
    near = [sorted((p for p in range(6) if p != q), key=lambda p: np.sum((x[q] - x[p]) ** 2))[:2] for q in range(6)]
    logits = -unary
    for _ in range(4):
        y = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        logits = np.array([-unary[q] + 0.7 * sum(y[p] for p in near[q]) for q in range(6)])
    np.testing.assert_allclose(method(query, support, LABELS).numpy(), logits, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_without_neighbours_it_is_simpleshot() -> None:
    torch.manual_seed(3)
    query, support = torch.randn(3, 3, 32, 32), torch.randn(4, 3, 32, 32)
    plain = method_over(SimpleShotConfig(), backbone_of("conv64f")).levels(query, support, LABELS)["global"]
    alone = method_over(LaplacianShotConfig(weight=0.0), backbone_of("conv64f"))(query, support, LABELS)
    torch.testing.assert_close(alone, plain)
    one = method_over(LaplacianShotConfig(), backbone_of("conv64f"))(query[:1], support, LABELS)
    torch.testing.assert_close(one, plain[:1])  # a single query has no neighbours


def test_a_recogniser_refuses_what_answers_queries_together() -> None:
    with pytest.raises(ValueError, match="method 'laplacianshot' looks at all queries together"):
        Recognizer(method_over(LaplacianShotConfig(), backbone_of("conv64f"))).fit(
            [photo(0, 0), photo(1, 0)], ["a", "b"]
        )
