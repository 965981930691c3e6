"""Devices are refused by name, in Triptych's own words."""

import sys

import pytest
import torch

from triptych.system.devices import usable_device


@pytest.mark.parametrize("name", ["gpu", "tpu", "meta", "xla", "cpu:7", "cpu:x", "", "cuda:-1"])
def test_what_is_no_device_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ValueError, match=f"^device {name}: expected auto, cpu or cuda$"):
        usable_device(name)


def test_mps_is_one_where_torch_may_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(ValueError, match=r"^device mps: expected auto, cpu or cuda$"):
        usable_device("mps")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ValueError, match=r"^device gpu: expected auto, cpu, cuda or mps$"):
        usable_device("gpu")


def test_a_gpu_that_is_not_there_is_told_in_a_few_words() -> None:
    gpus = torch.cuda.device_count()
    with pytest.raises(ValueError, match=r"^device cuda:77: PyTorch finds (no|\d+) GPUs? here; expected auto or cpu$"):
        usable_device("cuda:77")
    for name in ("cpu", "cpu:0", torch.device("cpu")):
        assert usable_device(name).type == "cpu"
    assert usable_device("auto").type == ("cuda" if gpus else "cpu")
