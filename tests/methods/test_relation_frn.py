"""Relation Network and FRN against naive float64 loops written from their papers."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate2d
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


def block(maps: np.ndarray, state: dict[str, np.ndarray], number: int) -> np.ndarray:
    """A convolution with BatchNorm, ReLU and 2 x 2 max-pooling: (C, H, W) to (F, ceil(H / 2), ceil(W / 2))."""
    norms = zip(
        *(state[f"{number}.1.{name}"] for name in ("weight", "bias", "running_mean", "running_var")), strict=True
    )
    rows = []
    for kernel, (scale, shift, mean, variance) in zip(state[f"{number}.0.weight"], norms, strict=True):
        found = sum(correlate2d(one, by, mode="same") for one, by in zip(maps, kernel, strict=True))
        normal = (found - mean) / np.sqrt(variance + 1e-5) * scale + shift
        height, width = normal.shape
        rows.append(
            [[max(0.0, normal[y : y + 2, x : x + 2].max()) for x in range(0, width, 2)] for y in range(0, height, 2)]
        )
    return np.array(rows)


def relation_score(pair: np.ndarray, state: dict[str, np.ndarray]) -> float:
    """The relation module g of a pair (2C, H, W) of maps."""
    maps = block(block(pair, state, 0), state, 1)
    height, width = maps.shape[1:]
    cells = [
        maps[:, y * height // 3 : -(-(y + 1) * height // 3), x * width // 3 : -(-(x + 1) * width // 3)].mean((1, 2))
        for y in range(3)
        for x in range(3)
    ]
    flat = np.stack(cells, axis=1).ravel()  # channel by channel
    hidden = np.maximum(0, state["4.weight"] @ flat + state["4.bias"])
    return (state["6.weight"] @ hidden + state["6.bias"]).item()


@torch.no_grad()
def test_a_relation_is_of_the_mean_map_of_a_class_and_the_query() -> None:
    torch.manual_seed(0)
    method = RelationNetwork(RelationConfig(preprocessing=PREPROCESSING, filters=5))
    for name, buffer in method.relation.named_buffers():
        if "running" in name:
            buffer.uniform_(0.2, 1.5)
    for norm in (one for one in method.relation.modules() if isinstance(one, torch.nn.BatchNorm2d)):
        norm.weight.uniform_(0.5, 2), norm.bias.uniform_(-0.5, 0.5)
    method.eval()
    query, support, labels = torch.randn(2, 3, 56, 40), torch.randn(3, 3, 56, 40), torch.tensor([0, 0, 1])
    logits, maps, own = method(query, support, labels), method.encode(support).maps, method.encode(query).maps
    state = {name: value.double().numpy() for name, value in method.relation.state_dict().items()}
    for n in range(2):
        mean = maps[labels == n].double().mean(0).numpy()
        for q in range(2):
            expected = relation_score(np.concatenate([mean, own[q].double().numpy()]), state)
            assert logits[q, n].item() == pytest.approx(expected, rel=1e-4, abs=1e-5)


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
