"""The weighted pixel level and weighted moments against naive float64 loops."""

import numpy as np
import oracle
import pytest
import torch

from triptych.similarity import (
    pixel_similarity,
    salient_descriptors,
    salient_moments,
    salient_pool,
    salient_similarity,
    salient_to_classes,
)
from triptych.similarity.salient import kept_moments


def naive(query: np.ndarray, maps: list[np.ndarray], power: float, keep: int) -> float:
    def longest(one: np.ndarray) -> list[np.ndarray]:
        return sorted(oracle.descriptors(one), key=lambda x: -np.linalg.norm(x))[:keep]

    pool = [oracle.unit(x) for one in maps for x in longest(one)]
    chosen = longest(query)
    weights = [np.linalg.norm(x) ** power for x in chosen]
    return sum(w * max(oracle.unit(x) @ y for y in pool) for w, x in zip(weights, chosen, strict=True)) / sum(weights)


@pytest.mark.parametrize(("power", "keep"), [(0.0, 12), (2.0, 12), (2.0, 5), (4.0, 1)])
def test_similarities_are_those_of_the_equation(power: float, keep: int) -> None:
    torch.manual_seed(0)
    query, support, labels = torch.randn(2, 5, 3, 4), torch.randn(4, 5, 3, 4), torch.tensor([1, 0, 1, 1])
    found = salient_similarity(query, support, labels, power, keep)
    expected = oracle.table(lambda q, maps: naive(q, maps, power, keep), query.numpy(), support.numpy(), labels.numpy())
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_without_weights_it_is_the_mean_of_the_pixel_level() -> None:
    query, support, labels = torch.randn(2, 5, 3, 3), torch.randn(3, 5, 3, 3), torch.tensor([0, 1, 0])
    torch.testing.assert_close(
        salient_similarity(query, support, labels, power=0.0), pixel_similarity(query, support, labels) / 9
    )


def test_lengths_of_another_layer_choose_and_weigh() -> None:
    maps, lengths = torch.randn(1, 2, 1, 3), torch.tensor([[1.0, 0.0, 3.0]])
    found = salient_descriptors(maps, power=2, keep=2, lengths=lengths)
    assert found.positions.tolist() == [[2, 0]]
    torch.testing.assert_close(found.weights, torch.tensor([[0.9, 0.1]]))
    torch.testing.assert_close(found.units[0, 0], torch.nn.functional.normalize(maps[0, :, 0, 2], dim=0))
    with pytest.raises(ValueError, match=r"expected lengths of shape \(1, 3\), got \(1, 2\)"):
        salient_descriptors(maps, lengths=lengths[:, :2])


def test_an_empty_map_is_like_nothing() -> None:
    empty = salient_descriptors(torch.zeros(1, 2, 2, 2))
    assert empty.weights.tolist() == [[0.25] * 4]
    pool = salient_pool(salient_descriptors(torch.randn(1, 2, 2, 2))).descriptors
    assert salient_to_classes(empty, [pool]).tolist() == [[0.0]]


def test_half_precision_maps_with_long_descriptors_are_finite() -> None:
    maps = torch.full((1, 4, 2, 2), 6e4, dtype=torch.float16)
    assert salient_similarity(maps, maps, torch.tensor([0]), power=8.0).item() == pytest.approx(1.0, abs=1e-3)


def test_keeping_none_is_refused() -> None:
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        salient_descriptors(torch.randn(1, 2, 2, 2), keep=0)


def test_moments_are_those_of_the_equation() -> None:
    maps = torch.randn(2, 3, 2, 3)
    mean, deviation = salient_moments(maps, power=2.0)
    for image, one in enumerate(maps.numpy()):
        rows = oracle.descriptors(one)
        weights = np.array([np.linalg.norm(x) ** 2 for x in rows])
        weights /= weights.sum()
        expected = sum(w * x for w, x in zip(weights, rows, strict=True))
        spread = np.sqrt(sum(w * (x - expected) ** 2 for w, x in zip(weights, rows, strict=True)))
        np.testing.assert_allclose(mean[image].numpy(), expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(deviation[image].numpy(), spread, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_moments_of_kept_shares_are_those_of_shortened_descriptors(power: float) -> None:
    torch.manual_seed(0)
    maps, kept = torch.randn(1, 5, 2, 3).double(), torch.rand(4, 6).double()
    found = kept_moments(maps[0].flatten(1).T, kept, power)
    for shares, mean, deviation in zip(kept, *found, strict=True):
        expected = salient_moments(maps * shares.view(1, 1, 2, 3), power)
        torch.testing.assert_close(mean, expected[0][0])
        torch.testing.assert_close(deviation, expected[1][0])
