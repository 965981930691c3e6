"""The nearest search against products written out in full: scores, members chosen, and the borders of its blocks."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from triptych.similarity import nearest, nearest_similarity

# Sizes around those of groups (64 columns), of a map and of five maps, and of a pool that is searched in parts.
COUNTS = [1, 2, 63, 64, 127, 128, 130, 441, 2205, 9000]
KS = [1, 2, 3, 4, 5, 70]


def whole(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """Vectors of whole numbers, whose products float32 holds exactly, so that no rounding chooses."""
    return torch.randint(-1000, 1000, shape).to(dtype)


def naive(rows: Tensor, pools: list[Tensor], k: int) -> Tensor:
    return torch.stack([(rows @ pool.T).topk(k, dim=2).values.sum((1, 2)) for pool in pools], dim=1)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Blocks grow with the threads; with one, a pool of 9,000 is searched in three parts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("k", KS)
def test_scores_and_members_are_those_of_all_products(count: int, k: int) -> None:
    torch.manual_seed(count)
    rows, pools = whole(3, 25, 4), [whole(max(count, k), 4), whole(k + 7, 4)]
    torch.testing.assert_close(nearest_similarity(rows, pools, k), naive(rows, pools, k))
    weight = torch.tensor([[1.0, 2.0], [3.0, 5.0], [7.0, 11.0]])  # so that each member tells who chose it

    def gradients(function) -> tuple[Tensor, ...]:
        inputs = [one.clone().requires_grad_() for one in (rows, *pools)]
        scores = function(inputs[0], inputs[1:], k)
        torch.testing.assert_close(scores.detach(), naive(rows, pools, k))
        return torch.autograd.grad((weight * scores).sum(), inputs)

    for ours, theirs in zip(gradients(nearest_similarity), gradients(naive), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("k", [1, 2, 5])
def test_borders_of_blocks_and_of_parts_leave_nothing_out(dtype: torch.dtype, k: int) -> None:
    torch.manual_seed(k)
    rows, pools = torch.randn(3, 150, 4, dtype=torch.float64), [torch.randn(9000, 4, dtype=torch.float64)]
    for asked in (rows, rows.clone().requires_grad_()):
        scores = nearest_similarity(asked, pools, k, dtype)
        torch.testing.assert_close(scores.detach(), naive(rows, pools, k), rtol=2**-8, atol=0)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_equal_members_count_each(k: int) -> None:
    best, other = torch.tensor([1.0, 0.0]), torch.tensor([0.5, 0.0])
    pool = torch.stack([other] * 100 + [best] * 2 + [other] * 98)
    for rows in (best.expand(1, 3, 2), best.repeat(1, 3, 1).requires_grad_()):
        scores = nearest_similarity(rows, [pool], k)
        torch.testing.assert_close(scores.detach(), torch.tensor([[3 * (2 + 0.5 * (k - 2))]]))


@pytest.mark.parametrize("k", [1, 3, 5])
def test_a_number_that_is_none_shows_in_its_class_alone(k: int) -> None:
    pools = [torch.randn(200, 4), torch.randn(200, 4)]
    pools[0][150, 1] = torch.nan
    for rows in (torch.randn(2, 5, 4), torch.randn(2, 5, 4).requires_grad_()):
        scores = nearest_similarity(rows, pools, k)
        assert scores[:, 0].isnan().all()
        assert scores[:, 1].isfinite().all()


def test_negative_products_are_ordered_in_half_precision() -> None:
    rows = torch.tensor([[[1.0, 0.0]]])
    pool = torch.tensor([[-0.9, 0.3], [-0.2, 0.1], [-0.5, 0.0]])
    for k, best in ((1, -0.2), (2, -0.7)):
        score = nearest_similarity(rows, [pool], k, torch.bfloat16)
        torch.testing.assert_close(score, torch.tensor([[best]]), rtol=0.01, atol=0)


def test_vectors_need_not_lie_in_order() -> None:
    rows, pool = torch.randn(2, 6, 5), torch.randn(6, 300)
    expected = naive(rows.mT, [pool.T], 1)
    torch.testing.assert_close(nearest_similarity(rows.mT, [pool.T], 1), expected)
    torch.testing.assert_close(nearest_similarity(rows.mT.contiguous(), [pool.T.contiguous()], 1), expected)


@pytest.mark.parametrize(("count", "depth"), [(0, 4), (3, 0)])
def test_no_rows_or_no_coordinates_score_nothing(count: int, depth: int) -> None:
    scores = nearest_similarity(torch.ones(2, count, depth), [torch.ones(5, depth)], 1)
    assert torch.equal(scores, torch.zeros(2, 1))


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN")
@pytest.mark.parametrize("k", [1, 3])
def test_without_onednn_scores_and_gradients_are_the_same(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    torch.manual_seed(k)
    rows, pool = torch.randn(2, 40, 16, requires_grad=True), torch.randn(500, 16, requires_grad=True)

    def answers() -> tuple[Tensor, ...]:
        scores = nearest_similarity(rows, [pool], k)
        return scores, *torch.autograd.grad(scores.square().sum(), (rows, pool))

    assert nearest._onednn_linear() is not None
    by_onednn = answers()
    monkeypatch.setattr(nearest, "_onednn_linear", lambda: None)
    for one, other in zip(by_onednn, answers(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_pytorch_without_onednn_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    nearest._onednn_linear.cache_clear()
    assert nearest._onednn_linear() is None
    nearest._onednn_linear.cache_clear()
