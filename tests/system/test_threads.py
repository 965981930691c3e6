"""Works spread over the cores."""

import threading
from collections.abc import Iterator
from contextvars import ContextVar

import numpy as np
import pytest
import torch

from triptych import load_method
from triptych.methods import encode_images
from triptych.support import encode
from triptych.system.threads import map_over_cores


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_each_thread_computes_alone_and_without_gradients(threads: int) -> None:
    together = threading.Barrier(threads)

    def work(number: int) -> tuple[int, int, bool, str]:
        together.wait(10)  # so that no thread takes two works
        return number, torch.get_num_threads(), torch.is_grad_enabled(), threading.current_thread().name

    found = map_over_cores(work, range(threads))
    assert [one[0] for one in found] == list(range(threads))
    assert len({one[3] for one in found}) == threads
    assert {one[1:3] for one in found} == {(1, False)}


def test_the_number_of_threads_stays_as_it_was(threads: int) -> None:
    map_over_cores(lambda _: None, range(5))
    assert torch.get_num_threads() == threads
    later: list[int] = []
    new = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    new.start()
    new.join()
    assert later == [threads]


def test_an_error_of_one_work_is_raised(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        map_over_cores(lambda number: 1 // number, [1, 0, 2, 3])
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("name", ["mml-conv64f", "mml-efficientnet-lite0"])
def test_photos_are_encoded_the_same_on_any_number_of_threads(threads: int, name: str, half: bool) -> None:
    method = load_method(name)
    side = method.preprocess.side
    pixels = np.random.default_rng(0).integers(0, 256, (4, side, side, 3), dtype=np.uint8)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        alone = encode_images(method, torch.from_numpy(pixels), 1)
        assert torch.equal(encode(method, pixels).maps, alone.maps)


def test_context_variables_of_the_caller_hold(threads: int) -> None:
    asked = ContextVar("asked", default="nobody")
    asked.set("me")
    assert map_over_cores(lambda _: asked.get(), range(4)) == ["me"] * 4
