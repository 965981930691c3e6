"""The levels against naive loops, other libraries, and the ways in which inputs go wrong."""

import numpy as np
import oracle
import pytest
import scipy.linalg
import torch
from sklearn.covariance import oas
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence
from torch.utils._python_dispatch import TorchDispatchMode

from triptych.similarity import (
    DISTANCES,
    covariance_to_classes,
    distribution_class,
    distribution_similarity,
    global_similarity,
    part_similarity,
    pixel_class,
    pixel_similarity,
    pixel_to_classes,
    searching,
)

EPISODES = {
    "2-way 1-shot": [1, 1],
    "3-way unequal": [3, 1, 2],
    "one class": [2],
    "6-way": [1, 2, 1, 1, 3, 1],
}
LEVELS = {
    "pixel k=1": lambda q, s, y: pixel_similarity(q, s, y),
    "pixel k=3": lambda q, s, y: pixel_similarity(q, s, y, k=3),
    "part k=1": lambda q, s, y: part_similarity(q, s, y),
    "part k=2 cosine": lambda q, s, y: part_similarity(q, s, y, k=2, normalize=True),
    "global": global_similarity,
    **{
        distance: lambda q, s, y, distance=distance: distribution_similarity(q, s, y, distance)
        for distance in DISTANCES
    },
}
LOOPS = {
    "pixel k=1": lambda q, maps: oracle.pixel(q, maps, 1),
    "pixel k=3": lambda q, maps: oracle.pixel(q, maps, 3),
    "part k=1": lambda q, maps: oracle.part(q, maps, 1, False),
    "part k=2 cosine": lambda q, maps: oracle.part(q, maps, 2, True),
    "wasserstein": oracle.wasserstein,
    "global": oracle.pooled,
}


def episode(shots: list[int], channels: int = 7, size: tuple[int, int] = (5, 4), seed: int = 0, queries: int = 4):
    """Random maps with the mean and skew of a LeakyReLU's output, float64, labels not in order."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.tensor(shots))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    maps = torch.randn(queries + len(labels), channels, *size, generator=generator, dtype=torch.float64)
    maps = torch.nn.functional.leaky_relu(maps + 0.2, 0.2)
    return maps[:queries], maps[queries:], labels


@pytest.mark.parametrize("shots", EPISODES.values(), ids=EPISODES)
@pytest.mark.parametrize("level", LOOPS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_level_equals_naive_loops(level: str, shots: list[int], dtype: torch.dtype, tolerance: float) -> None:
    query, support, labels = episode(shots)
    expected = oracle.table(LOOPS[level], query.numpy(), support.numpy(), labels.numpy())
    scores = LEVELS[level](query.to(dtype), support.to(dtype), labels)
    assert scores.dtype == dtype
    np.testing.assert_allclose(scores.numpy(), expected, rtol=tolerance)


def gaussians(query: Tensor, support: Tensor, labels: Tensor):
    def one(maps: list[np.ndarray]) -> MultivariateNormal:
        mean, covariance = oracle.gaussian(maps)
        return MultivariateNormal(torch.from_numpy(mean), torch.from_numpy(covariance))

    classes = [one([m.numpy() for m in support[labels == n]]) for n in range(int(labels.max()) + 1)]
    return [one([q.numpy()]) for q in query], classes


@pytest.mark.parametrize("shots", EPISODES.values(), ids=EPISODES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
def test_kl_equals_torch_distributions_in_both_directions(
    shots: list[int], dtype: torch.dtype, tolerance: float
) -> None:
    query, support, labels = episode(shots, channels=12)
    queries, classes = gaussians(query, support, labels)
    forward = torch.stack([torch.stack([kl_divergence(q, n) for n in classes]) for q in queries])
    backward = torch.stack([torch.stack([kl_divergence(n, q) for n in classes]) for q in queries])
    inputs = (query.to(dtype), support.to(dtype), labels)
    torch.testing.assert_close(-distribution_similarity(*inputs, "kl").double(), forward, rtol=tolerance, atol=0)
    torch.testing.assert_close(
        -distribution_similarity(*inputs, "kl_reverse").double(), backward, rtol=tolerance, atol=0
    )
    torch.testing.assert_close(
        -distribution_similarity(*inputs, "log_kl").double(), (1 + forward).log(), rtol=tolerance, atol=0
    )


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-7), (torch.float32, 1e-5)])
def test_bures_equals_scipy_matrix_roots(dtype: torch.dtype, tolerance: float) -> None:
    query, support, labels = episode([3, 1, 2], channels=9)
    queries, classes = gaussians(query, support, labels)

    def distance(one: MultivariateNormal, other: MultivariateNormal) -> float:
        a, b = one.covariance_matrix.numpy(), other.covariance_matrix.numpy()
        root = scipy.linalg.sqrtm(a)
        cross = scipy.linalg.sqrtm(root @ b @ root)
        gap = ((one.mean - other.mean) ** 2).sum().item()
        return float(np.sqrt(gap + np.trace(a + b - 2 * cross.real)))

    expected = np.array([[distance(q, n) for n in classes] for q in queries])
    scores = distribution_similarity(query.to(dtype), support.to(dtype), labels, "bures")
    np.testing.assert_allclose(-scores.numpy(), expected, rtol=tolerance)


@pytest.mark.parametrize("level", LEVELS)
def test_gradient_is_right(level: str) -> None:
    query, support, labels = episode([2, 1], channels=4, size=(3, 2), queries=2)
    inputs = (query.requires_grad_(), support.requires_grad_())
    assert torch.autograd.gradcheck(lambda q, s: LEVELS[level](q, s, labels), inputs)


@pytest.mark.parametrize("level", LEVELS)
def test_half_precision_maps_give_nearly_the_same(level: str) -> None:
    query, support, labels = episode([3, 1, 2], channels=16)
    exact = LEVELS[level](query.bfloat16().double(), support.bfloat16().double(), labels)
    scores = LEVELS[level](query.bfloat16(), support.bfloat16(), labels)
    assert scores.dtype == torch.float32
    # Products come from the search, which rounds them and the query's vectors to bf16; the rest is exact.
    torch.testing.assert_close(scores.double(), exact, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_search_in_half_precision_gives_nearly_the_same(k: int, dtype: torch.dtype) -> None:
    query, support, labels = episode([3, 1, 2], channels=16, size=(9, 9))
    exact = pixel_similarity(query, support, labels, k)
    with searching(dtype):
        fast = pixel_similarity(query.float(), support.float(), labels, k)
        with_gradient = pixel_similarity(query.float().requires_grad_(), support.float(), labels, k)
    torch.testing.assert_close(fast.double(), exact, rtol=2**-8, atol=0)
    torch.testing.assert_close(with_gradient.detach(), fast)


@pytest.mark.parametrize("level", LEVELS)
def test_autocast_does_not_change_a_score(level: str) -> None:
    query, support, labels = episode([3, 1, 2])
    inputs = (query.float(), support.float(), labels)
    with torch.autocast("cpu", torch.bfloat16):
        inside = LEVELS[level](*inputs)
    assert torch.equal(inside, LEVELS[level](*inputs))


@pytest.mark.parametrize("level", LEVELS)
def test_order_of_the_support_does_not_matter(level: str) -> None:
    query, support, labels = episode([3, 1, 2])
    order = torch.tensor([5, 0, 3, 1, 4, 2])
    torch.testing.assert_close(
        LEVELS[level](query, support[order], labels[order]), LEVELS[level](query, support, labels)
    )


@pytest.mark.parametrize("level", LEVELS)
def test_queries_do_not_influence_each_other(level: str) -> None:
    query, support, labels = episode([3, 1, 2])
    alone = torch.cat([LEVELS[level](one[None], support, labels) for one in query])
    torch.testing.assert_close(alone, LEVELS[level](query, support, labels))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("kind", ["zeros", "constant", "query is support"])
def test_degenerate_maps_give_finite_scores_and_gradients(level: str, kind: str) -> None:
    query, support, labels = episode([1, 1], queries=2)
    if kind == "zeros":
        query, support = torch.zeros_like(query), torch.zeros_like(support)
    elif kind == "constant":
        query, support = torch.ones_like(query), torch.ones_like(support)
    else:
        query = support.clone()
    query.requires_grad_(), support.requires_grad_()
    scores = LEVELS[level](query, support, labels)
    scores.sum().backward()
    assert scores.isfinite().all()
    assert query.grad.isfinite().all()
    assert support.grad.isfinite().all()


@pytest.mark.parametrize("level", LEVELS)
def test_a_query_is_most_similar_to_itself(level: str) -> None:
    _, support, labels = episode([1, 1, 1, 1], channels=16)
    scores = LEVELS[level](support, support, labels)
    # Raw parts are inner products, in which a longer part may win; all others are at their best at themselves.
    if level != "part k=1":
        assert torch.equal(scores.argmax(1), labels)


class LargestTensor(TorchDispatchMode):
    """Remembers the size of the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else [result]:
            if isinstance(one, Tensor):
                self.elements = max(self.elements, one.numel())
        return result


@pytest.mark.parametrize("k", [1, 3])
def test_the_full_similarity_tensor_is_never_built(k: int) -> None:
    query, support, labels = episode([5] * 5, channels=8, size=(21, 21), queries=75)
    inputs = query.float().requires_grad_(), support.float().requires_grad_()
    positions = 21 * 21
    with LargestTensor() as seen:
        pixel_similarity(*inputs, labels, k=k).sum().backward()
    full = 75 * positions * 25 * positions
    assert seen.elements < full / 50


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.tensor([0, 2, 2])}, "class 1 of 0..2 has no support image"),
        ({"labels": torch.tensor([0, -1, 1])}, "labels must be 0..N-1, got -1"),
        ({"k": True}, "k must be between 1 and 20"),
        ({"k": 0}, "k must be between 1 and 20"),
        ({"k": 21}, "k must be between 1 and 20"),
    ],
)
def test_wrong_arguments_are_named(change: dict, message: str) -> None:
    query, support, labels = episode([1, 2])
    with pytest.raises(ValueError, match=message):
        pixel_similarity(**{"query": query, "support": support, "labels": labels} | change)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("level", LEVELS)
def test_no_query_no_score(level: str, dtype: torch.dtype) -> None:
    query, support, labels = episode([1, 2, 1])
    assert LEVELS[level](query[:0].to(dtype), support.to(dtype), labels).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_number_that_is_none_shows(dtype: torch.dtype) -> None:
    query, support, labels = episode([1, 2])
    support[labels == 0, 0, 0, 0] = torch.nan
    scores = pixel_similarity(query.to(dtype), support.to(dtype), labels)
    assert scores[:, 0].isnan().all()
    assert scores[:, 1].isfinite().all()


def test_unknown_distance_is_named() -> None:
    with pytest.raises(ValueError, match="unknown distance 'cosine'; expected one of wasserstein, kl"):
        distribution_similarity(*episode([1, 1]), "cosine")


def test_a_single_position_has_no_covariance() -> None:
    with pytest.raises(ValueError, match="at least two positions"):
        distribution_similarity(*episode([1, 1], size=(1, 1)))
    with pytest.raises(ValueError, match="at least two positions"):
        covariance_to_classes(torch.randn(2, 3, 1, 1), [torch.eye(3)])


def test_parts_need_maps_of_one_size() -> None:
    query, support, labels = episode([1, 1])
    with pytest.raises(ValueError, match=r"query maps have 15 positions and support maps 20"):
        part_similarity(query[:, :, :, :3], support, labels)


def test_pixel_level_takes_maps_of_different_sizes() -> None:
    query, support, labels = episode([1, 2])
    cut = query[:, :, :3]
    expected = oracle.table(LOOPS["pixel k=1"], cut.numpy(), support.numpy(), labels.numpy())
    np.testing.assert_allclose(pixel_similarity(cut, support, labels).numpy(), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("level", LEVELS)
def test_gpu_gives_the_same(level: str) -> None:
    query, support, labels = episode([3, 1, 2])
    on_gpu = LEVELS[level](query.cuda(), support.cuda(), labels.cuda())
    torch.testing.assert_close(on_gpu.cpu(), LEVELS[level](query, support, labels))


@pytest.mark.parametrize(("channels", "count"), [(6, 40), (40, 40), (60, 16)])
def test_oas_is_scikit_learns(channels: int, count: int) -> None:
    torch.manual_seed(channels)
    maps = torch.randn(1, channels, count, 1, dtype=torch.float64) * torch.linspace(0.1, 3, channels)[:, None, None]
    gaussian = distribution_class(maps, "wasserstein", "oas")
    biased, _ = oas(maps[0, :, :, 0].T.numpy())
    expected = biased * count / (count - 1) + 1e-6 * np.eye(channels)
    np.testing.assert_allclose(gaussian.covariance.numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize("distance", DISTANCES)
def test_oas_takes_fewer_descriptors_than_channels_and_maps_without_variance(distance: str) -> None:
    maps = torch.randn(4, 50, 3, 3)
    maps[3] = 1.0
    labels = torch.tensor([0, 1, 2, 3])
    for channels in (50, 1):
        query, support = (maps[:, :channels].clone().requires_grad_() for _ in range(2))
        scores = distribution_similarity(query, support, labels, distance, "oas")
        scores.sum().backward()
        assert scores.isfinite().all()
        assert scores.argmax(1).tolist() == [0, 1, 2, 3]
        assert query.grad.isfinite().all()
        assert support.grad.isfinite().all()


@pytest.mark.parametrize("distance", DISTANCES)
def test_blocks_of_queries_and_classes_change_no_score(distance: str, monkeypatch: pytest.MonkeyPatch) -> None:
    maps, labels = torch.randn(9, 8, 5, 5), torch.arange(9) // 2
    whole = distribution_similarity(maps, maps, labels, distance)
    monkeypatch.setattr("triptych.similarity.distribution._BLOCK_ELEMENTS", 2 * 8**2)
    torch.testing.assert_close(distribution_similarity(maps, maps, labels, distance), whole)


def test_an_unknown_shrinkage_is_refused() -> None:
    maps = torch.randn(2, 3, 2, 2)
    with pytest.raises(ValueError, match="unknown shrinkage 'none'; expected one of ridge, oas"):
        distribution_similarity(maps, maps, torch.arange(2), shrinkage="none")


def test_some_positions_stand_for_all() -> None:
    query, support, labels = (one if one.dtype == torch.int64 else one.float() for one in episode([1, 3]))
    pools = [pixel_class(support[labels == n]) for n in (0, 1)]
    every = torch.randperm(query.shape[2] * query.shape[3])
    whole = pixel_to_classes(query, pools)
    found = {}
    for part in (every, *every.chunk(2)):
        with searching(positions=part):
            found[len(part)] = found.get(len(part), 0) + pixel_to_classes(query, pools) * len(part) / len(every)
    assert len(found) in {2, 3}  # the halves of an odd number differ
    torch.testing.assert_close(found.pop(len(every)), whole)
    torch.testing.assert_close(sum(found.values()), whole)
