"""Relation Network and FRN against naive float64 loops written from their papers."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from triptych.methods import FRN, FRNConfig, Preprocessing, RelationConfig, RelationNetwork
from triptych.methods.frn import reconstruction

PREPROCESSING = Preprocessing(side=32)


@pytest.mark.parametrize("count", [3, 9])
def test_reconstruction_is_ridge_regression(count: int) -> None:
    rng = np.random.default_rng(0)
    descriptors, query = rng.normal(size=(count, 5)), rng.normal(size=5)
    weights = np.linalg.solve(descriptors @ descriptors.T + 0.7 * np.eye(count), descriptors @ query)
    expected = sum(weight * one for weight, one in zip(weights, descriptors, strict=True))
    inward, outward = reconstruction(torch.from_numpy(descriptors), 0.7)
    matrix = (inward if outward is None else inward @ outward).numpy()
    assert (outward is None) == (count == 9), "fewer descriptors than channels are kept as factors"
    np.testing.assert_allclose(query @ matrix, expected, rtol=1e-9)


@torch.no_grad()
def test_frn_is_the_error_of_reconstruction() -> None:
    torch.manual_seed(0)
    method = FRN(FRNConfig(preprocessing=PREPROCESSING, scale=0.5)).eval()
    method.alpha.fill_(0.3), method.beta.fill_(-0.2)
    query, support, labels = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32), torch.tensor([0, 0, 1])
    logits = method(query, support, labels).double().numpy()
    maps = {name: 0.5 * method.encode(x).maps.double().numpy() for name, x in (("q", query), ("s", support))}
    for n in range(2):
        pool = np.concatenate([one.reshape(64, -1).T for one in maps["s"][labels.numpy() == n]])
        penalty = len(pool) / 64 * np.exp(0.3) + 1e-6
        inverse = np.linalg.inv(pool.T @ pool + penalty * np.eye(64))
        for q in range(2):
            errors = [
                np.sum((descriptor - np.exp(-0.2) * descriptor @ inverse @ pool.T @ pool) ** 2)
                for descriptor in maps["q"][q].reshape(64, -1).T
            ]
            assert logits[q, n] == pytest.approx(-np.mean(errors), rel=1e-4)


@torch.no_grad()
def test_a_relation_is_of_the_mean_map_of_a_class_and_the_query() -> None:
    torch.manual_seed(0)
    method = RelationNetwork(RelationConfig(preprocessing=PREPROCESSING)).eval()
    query, support, labels = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32), torch.tensor([0, 0, 1])
    logits, maps, own = method(query, support, labels), method.encode(support).maps, method.encode(query).maps
    for n in range(2):
        mean = maps[labels == n].mean(0)
        for q in range(2):
            expected = method.relation(torch.cat([mean, own[q]])[None])
            assert logits[q, n].item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)


def test_relations_are_trained_by_squared_error() -> None:
    method = RelationNetwork(RelationConfig(preprocessing=PREPROCESSING))
    levels, truth = {"relation": torch.tensor([[2.0, -1.0], [0.5, 0.0]])}, torch.tensor([0, 1])
    scores = 1 / (1 + np.exp(-levels["relation"].double().numpy()))
    expected = np.mean((scores - np.array([[1, 0], [0, 1]])) ** 2)
    assert method.loss(levels, truth).item() == pytest.approx(expected, rel=1e-6)
    assert method.loss(levels, truth) != functional.cross_entropy(method.fuse(levels), truth)


@torch.no_grad()
def test_a_class_at_a_time_scores_as_all_at_once() -> None:
    torch.manual_seed(0)
    method = RelationNetwork(RelationConfig(preprocessing=PREPROCESSING))
    query, support, labels = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32), torch.tensor([0, 1, 2])
    for module in method.relation.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 1.0
    method(query, support, labels)
    method.eval()
    blocks = method(query, support, labels)
    method.training = True  # the modules stay in evaluation: only the blocks change
    torch.testing.assert_close(method(query, support, labels), blocks)
