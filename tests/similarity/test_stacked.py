"""Pools that lie together give what they give one by one."""

import pytest
import torch

from triptych.similarity import nearest_similarity
from triptych.similarity.stacked import stack_pools, stacked_similarity, unstacked


@pytest.mark.parametrize("sizes", [[4], [3, 5, 3, 3], [2] * 300])
@pytest.mark.parametrize(("queries", "rows"), [(1, 5), (40, 30)])
def test_stacked_pools_score_as_single_ones(sizes: list[int], queries: int, rows: int) -> None:
    torch.manual_seed(0)
    pools, asked = [torch.randn(size, 7) for size in sizes], torch.randn(queries, rows, 7)
    torch.testing.assert_close(stacked_similarity(asked, stack_pools(pools)), nearest_similarity(asked, pools, 1))


def test_they_come_apart_in_the_order_of_the_classes() -> None:
    pools = [torch.randn(size, 2) for size in (3, 1, 3, 2, 1)]
    for one, other in zip(unstacked(stack_pools(pools)), pools, strict=True):
        assert torch.equal(one, other)


def test_a_pool_of_a_size_of_its_own_is_not_copied() -> None:
    pools = [torch.randn(3, 2), torch.randn(4, 2)]
    assert [stack.pools.data_ptr() for stack in stack_pools(pools)] == [pool.data_ptr() for pool in pools]
