"""RENet against naive loops written from its paper, in float64."""

import itertools

import numpy as np
import pytest
import torch
from registry import backbone_of, method_over
from scipy.signal import correlate2d
from torch import nn
from torch.nn import functional

from triptych.methods import RENet, RENetConfig
from triptych.methods.renet import Matcher, SelfCorrelation
from triptych.similarity import cross_correlation, matching_attention, self_correlation


def test_self_correlation_multiplies_each_position_with_those_around_it() -> None:
    maps = torch.randn(1, 3, 4, 5, dtype=torch.float64)
    z = np.maximum(maps[0].numpy(), 0)
    z = z / np.maximum(np.sqrt((z**2).sum(0)), 1e-12)
    found = self_correlation(maps, window=3)[0].unflatten(1, (4, 5)).unflatten(3, (3, 3)).numpy()
    for row, column in np.ndindex(4, 5):
        for down, right in np.ndindex(3, 3):
            y, x = row + down - 1, column + right - 1
            around = z[:, y, x] if 0 <= y < 4 and 0 <= x < 5 else np.zeros(3)
            np.testing.assert_allclose(found[:, row, column, down, right], z[:, row, column] * around)


def test_cross_correlation_is_the_cosine_of_positions() -> None:
    query, support = (torch.randn(n, 3, 2, 3, dtype=torch.float64) for n in (2, 4))
    found = cross_correlation(query, support)
    for q, s, k, m, i, j in np.ndindex(2, 4, 2, 3, 2, 3):
        x, y = query[q, :, i, j].numpy(), support[s, :, k, m].numpy()
        assert found[q, s, k, m, i, j].item() == pytest.approx(x @ y / np.sqrt((x @ x) * (y @ y)))


def test_attention_is_how_much_the_other_image_matches() -> None:
    table = np.random.default_rng(0).normal(size=(6, 4))  # positions of the support, of the query
    of_support, of_query = matching_attention(torch.from_numpy(table).view(1, 2, 3, 2, 2), temperature=5.0)

    def softmax_of_standardised(column: np.ndarray) -> np.ndarray:
        powers = np.exp((column - column.mean()) / np.sqrt(column.var(ddof=1) + 1e-5) / 5)
        return powers / powers.sum()

    by_query = np.mean([softmax_of_standardised(table[:, j]) for j in range(4)], axis=0)
    by_support = np.mean([softmax_of_standardised(table[i]) for i in range(6)], axis=0)
    np.testing.assert_allclose(of_support.flatten(), by_query)
    np.testing.assert_allclose(of_query.flatten(), by_support)


def norm(module: nn.Module, channel: int, table: np.ndarray) -> np.ndarray:
    mean, variance, weight, bias = (
        getattr(module, name)[channel].item() for name in ("running_mean", "running_var", "weight", "bias")
    )
    return (table - mean) / np.sqrt(variance + 1e-5) * weight + bias


@torch.no_grad()
def test_the_surroundings_of_each_position_are_convolved_by_themselves() -> None:
    torch.manual_seed(0)
    layers = SelfCorrelation(3)
    for _ in range(3):
        layers(torch.randn(4, 3, 3, 4))  # statistics that are not zero and one
    maps = torch.randn(2, 3, 3, 4)
    found = layers.eval()(maps).double().numpy()

    def convolved(block: nn.Module, windows: np.ndarray) -> np.ndarray:
        """(C, h, w), without a border."""
        weight = block[0].weight.double().numpy()
        sums = [sum(correlate2d(x, w, "valid") for x, w in zip(windows, one, strict=True)) for one in weight]
        normed = np.stack([norm(block[1], o, one) for o, one in enumerate(sums)])
        return np.maximum(normed, 0) if len(block) == 3 else normed

    for b, (row, column) in itertools.product(range(2), np.ndindex(3, 4)):
        around = self_correlation(maps[[b]].double(), 5)[0, :, 4 * row + column].view(3, 5, 5).numpy()
        one, other = layers.shrink
        expected = convolved(layers.outward, convolved(other, convolved(one, convolved(layers.inward, around))))
        np.testing.assert_allclose(found[b, :, row, column], expected[:, 0, 0], rtol=1e-3, atol=1e-4)


def separable(layer: nn.Module, pairs: np.ndarray) -> np.ndarray:
    """(P, h, w, H, W), one slice after the other."""
    p, h, w, height, width = pairs.shape
    first, second, mix = (one[0].weight.double().numpy() for one in (layer.first, layer.second, layer.mix))
    hidden = np.zeros_like(pairs)
    for o, i, j in np.ndindex(p, height, width):
        hidden[o, :, :, i, j] = sum(correlate2d(pairs[c, :, :, i, j], first[o, c], "same") for c in range(p))
        hidden[o, :, :, i, j] = np.maximum(norm(layer.first[1], o, hidden[o, :, :, i, j]), 0)
    again = np.zeros_like(pairs)
    for o, k, m in np.ndindex(p, h, w):
        again[o, k, m] = sum(correlate2d(hidden[c, k, m], second[o, c], "same") for c in range(p))
        again[o, k, m] = norm(layer.second[1], o, again[o, k, m])
    mixed = np.einsum("oc,cklij->oklij", mix[:, :, 0, 0], again)
    return np.stack([norm(layer.mix[1], o, mixed[o]) for o in range(len(mixed))])


@torch.no_grad()
def test_the_matcher_convolves_in_four_dimensions() -> None:
    torch.manual_seed(0)
    matcher = Matcher()
    correlation = torch.randn(2, 1, 3, 3, 4, 3)
    for _ in range(3):
        matcher(correlation)  # statistics that are not zero and one
    matcher.eval()
    first, _, second = matcher.layers

    def layers(pairs: np.ndarray) -> np.ndarray:
        return separable(second, np.maximum(separable(first, pairs), 0))[0]

    for q, one in enumerate(correlation[:, 0].double().numpy()):
        expected = layers(one[None]) + layers(one.transpose(2, 3, 0, 1)[None]).transpose(2, 3, 0, 1)
        np.testing.assert_allclose(matcher(correlation)[q, 0], expected, rtol=1e-3, atol=1e-4)


@torch.no_grad()
def test_renet_is_the_cosine_of_attended_means() -> None:
    method = method_over(RENetConfig(grid=3), backbone_of("conv64f"))
    assert isinstance(method, RENet)
    torch.manual_seed(3)
    query, support, labels = torch.randn(2, 3, 32, 32), torch.randn(3, 3, 32, 32), torch.tensor([0, 0, 1])
    logits = method(query, support, labels)
    maps = [functional.adaptive_avg_pool2d(method.backbone(one), 3) for one in (query, support)]
    maps = [(one + method.structure(one)).relu() for one in maps]
    maps = [one - one.mean(1, keepdim=True) for one in maps]
    for q in range(2):
        for n in range(2):
            asked, photos = [], []
            for s in np.flatnonzero(labels.numpy() == n):
                pair = (method.reduction(maps[0][[q]]), method.reduction(maps[1][[s]]))
                cleaned = method.matcher(cross_correlation(*pair))
                of_support, of_query = (one[0, 0].double().numpy() for one in matching_attention(cleaned, 5.0))
                photos.append(np.einsum("hw,chw->c", of_support, maps[1][s].double().numpy()))
                asked.append(np.einsum("hw,chw->c", of_query, maps[0][q].double().numpy()))
            x, y = np.mean(asked, axis=0), np.mean(photos, axis=0)
            assert logits[q, n].item() == pytest.approx(5 * x @ y / np.sqrt((x @ x) * (y @ y)), rel=1e-4, abs=1e-4)
