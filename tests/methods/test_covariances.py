"""DeepBDC and CovaMNet against naive float64 loops written from their papers."""

import numpy as np
import pytest
import torch
from registry import backbone_of, method_over
from torch import Tensor

from triptych.methods import CovaMNet, CovaMNetConfig, DeepBDC, DeepBDCConfig, Encoded, Method
from triptych.similarity import bdc_vectors

LABELS = torch.tensor([0, 0, 1])


@torch.no_grad()
def episode(method: Method) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """Logits, and the maps (B, C, M) of queries and support."""
    torch.manual_seed(3)
    query, support = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32)
    query_maps, support_maps = (method.encode(one).maps.flatten(2).double().numpy() for one in (query, support))
    return method(query, support, LABELS), query_maps, support_maps


def bdc_matrix(channels: np.ndarray, scale: float) -> np.ndarray:
    count = len(channels)
    distances = np.array([[np.sqrt(scale * np.sum((x - y) ** 2) + 1e-5) for y in channels] for x in channels])
    centring = np.eye(count) - np.ones((count, count)) / count
    return centring @ distances @ centring


def upper(matrix: np.ndarray) -> np.ndarray:
    return np.array([matrix[k, m] for k in range(len(matrix)) for m in range(k, len(matrix))])


def test_brownian_distance_covariance_is_centred_distances_of_channels() -> None:
    maps = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    for found, channels in zip(bdc_vectors(maps, 0.3), maps.flatten(2).numpy(), strict=True):
        np.testing.assert_allclose(found, upper(bdc_matrix(channels, 0.3)), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("comparison", ["product", "distance"])
@pytest.mark.parametrize("reduced", [None, 6])
def test_deepbdc_compares_with_the_mean_matrix_of_a_class(comparison: str, reduced: int | None) -> None:
    method = method_over(DeepBDCConfig(comparison=comparison, reduced=reduced), backbone_of("conv64f"))
    assert isinstance(method, DeepBDC)
    logits, query, support = episode(method)
    assert query.shape[1] == method.channels == (reduced or 64)
    for q, channels in enumerate(query):
        own = upper(bdc_matrix(channels, 1 / 50))
        for n in range(2):
            mean = np.mean([upper(bdc_matrix(one, 1 / 50)) for one in support[LABELS.numpy() == n]], axis=0)
            expected = own @ mean if comparison == "product" else -np.sum((own - mean) ** 2)
            assert logits[q, n].item() == pytest.approx(expected, rel=1e-3, abs=1e-4)


@torch.no_grad()
def test_deepbdc_is_not_drawn_to_the_class_of_the_largest_matrix() -> None:
    method = method_over(DeepBDCConfig(), backbone_of("conv64f"))
    maps = torch.randn(1, 64, 4, 4)
    photos = Encoded({"maps": torch.cat([maps, 3 * maps])})  # the second is of the query's direction, and longer
    assert method.compare_encoded(Encoded({"maps": maps}), photos, torch.tensor([0, 1]))["covariance"].argmax() == 0


def test_covamnet_is_a_weighted_sum_over_positions() -> None:
    method = method_over(CovaMNetConfig(), backbone_of("conv64f"))
    assert isinstance(method, CovaMNet)
    with torch.no_grad():
        method.weights.fill_(0.25)  # interpolation keeps what is the same everywhere
    logits, query, support = episode(method)
    for n in range(2):
        pool = np.concatenate([one.T for one in support[LABELS.numpy() == n]])
        mean = sum(pool) / len(pool)
        covariance = sum(np.outer(x - mean, x - mean) for x in pool) / (len(pool) - 1)
        for q, descriptors in enumerate(query):
            centred = [x - descriptors.mean(1) for x in descriptors.T]
            expected = 0.25 * 441 / len(centred) * sum(x @ covariance @ x for x in centred)
            assert logits[q, n].item() == pytest.approx(expected, rel=1e-4)


def test_covamnet_weighs_each_position_of_the_authors_maps() -> None:
    method = method_over(CovaMNetConfig(), backbone_of("conv64f"))
    assert isinstance(method, CovaMNet)
    maps, covariance = torch.rand(1, 64, 21, 21), torch.eye(64)
    found = method.compare(Encoded({"maps": maps}), [{"covariance": covariance}])["covariance"]
    centred = maps - maps.mean((2, 3), keepdim=True)
    expected = (centred.square().sum(1) * method.weights[0]).sum()
    torch.testing.assert_close(found[0, 0], expected, rtol=1e-4, atol=1e-5)
