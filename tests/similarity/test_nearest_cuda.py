"""The GPU kernel: by Triton's interpreter on a CPU, or compiled where a GPU is present."""

import pytest
import torch

from triptych.similarity import nearest_similarity

triton = pytest.importorskip("triton", reason="needs Triton")
from triptych.similarity.nearest_cuda import fused_indices, fused_search  # noqa: E402

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# The interpreter multiplies the bits of bfloat16 (triton-lang/triton issue 11584).
DTYPES = [torch.float32, torch.float16, *([torch.bfloat16] if DEVICE == "cuda" else [])]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("depth", [7, 64, 100])
def test_kernel_finds_the_nearest_of_unequal_pools(dtype: torch.dtype, k: int, depth: int) -> None:
    generator = torch.Generator().manual_seed(depth)
    rows = torch.randn(150, depth, generator=generator).to(DEVICE, dtype)
    sizes = [5, 70, 130]
    members = torch.randn(sum(sizes), depth, generator=generator).to(DEVICE, dtype)
    indices = fused_indices(rows, members, sizes, k)
    for pool, chosen in zip(members.split(sizes), indices, strict=True):
        expected = (rows.double() @ pool.double().T).topk(k, dim=1)
        found = (rows.double() @ pool.double().T).gather(1, chosen)
        assert (chosen.sort(1).values.diff(dim=1) > 0).all()  # no member twice
        torch.testing.assert_close(found.sort(1).values, expected.values.sort(1).values, rtol=1e-5, atol=1e-5)


def test_products_of_the_chosen_are_exact() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(40, 16, generator=generator).to(DEVICE)
    pools = [torch.randn(size, 16, generator=generator).to(DEVICE) for size in (9, 80)]
    for pool, (products, indices) in zip(pools, fused_search(rows, pools, 2, torch.float16), strict=True):
        torch.testing.assert_close(products, (rows @ pool.T).gather(1, indices))


def test_negative_products_are_found_beside_the_padding() -> None:
    rows = torch.tensor([[1.0, 0.0]], device=DEVICE)
    members = torch.tensor([[-0.9, 0.3], [-0.2, 0.1], [-0.5, 0.0]], device=DEVICE)
    assert sorted(fused_indices(rows, members, [3], 2).flatten().tolist()) == [1, 2]


@pytest.mark.skipif(DEVICE == "cpu", reason="needs a GPU")
@pytest.mark.parametrize("k", [1, 3])
def test_gpu_search_agrees_with_the_cpu(k: int) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(3, 441, 64, generator=generator)
    pools = [torch.randn(size, 64, generator=generator) for size in (441, 2205)]
    exact = nearest_similarity(rows, pools, k)
    fused = nearest_similarity(rows.cuda(), [pool.cuda() for pool in pools], k, torch.bfloat16)
    torch.testing.assert_close(fused.cpu(), exact, rtol=2**-8, atol=0)
