"""Precision: half only where it pays, and a word where it does not."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
import torch

from triptych.similarity import current_search, in_precision
from triptych.system import precision as module
from triptych.system.precision import PRECISIONS, half_speed, resolve_precision

OLD = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRIPTYCH_HALF", raising=False)


def test_the_probe_is_made_once_however_many_threads_ask_at_once() -> None:
    module._probe.cache_clear()
    together = Barrier(4)

    def ask(_: int) -> float:
        together.wait()
        return half_speed("cpu")

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert module._probe.cache_info().misses == 1
    assert len(set(found)) == 1
    assert found[0] > 0


@pytest.mark.parametrize(
    ("speed", "evaluate", "train"), [(4.0, "bf16-search", "bf16"), (1.1, "32", "32"), (0.1, "32", "32")]
)
def test_auto_is_half_precision_only_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, speed: float, evaluate: str, train: str
) -> None:
    monkeypatch.setattr(module, "_probe", lambda: speed)
    assert resolve_precision("auto", "cpu") == evaluate
    assert resolve_precision("auto", "cpu", half="bf16") == train
    assert resolve_precision("32", "cpu") == "32"


def test_half_precision_where_it_is_slow_is_granted_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_probe", lambda: 0.02)
    module._warn_of_slowness.cache_clear()
    with pytest.warns(UserWarning, match=r"bf16: half precision is 50.0 times slower than float32") as told:
        assert [ask("bf16", "cpu") for ask in (resolve_precision, _entered)] == ["bf16", "bf16"]  # from two places
    assert len(told) == 1


def _entered(precision: str, device: str) -> str:
    with in_precision(precision, device) as resolved:
        return resolved


def test_a_setting_overrules_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_probe", lambda: 0.02)
    monkeypatch.setenv("TRIPTYCH_HALF", "always")
    assert resolve_precision("auto", "cpu") == "bf16-search"
    monkeypatch.setattr(module, "_probe", lambda: 50.0)
    monkeypatch.setenv("TRIPTYCH_HALF", "never")
    assert resolve_precision("auto", "cpu", half="bf16") == "32"
    assert resolve_precision("bf16", "cpu") == "bf16"
    monkeypatch.setenv("TRIPTYCH_HALF", "maybe")
    with pytest.raises(ValueError, match="TRIPTYCH_HALF is 'maybe'; expected always, never or auto"):
        resolve_precision("auto", "cpu")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_precision_is_in_force_around_a_call(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_probe", lambda: 4.0)
    with in_precision(precision, "cpu") as resolved:
        assert resolved == ("bf16-search" if precision == "auto" else precision)
        assert torch.is_autocast_enabled("cpu") == (resolved == "bf16")
        assert current_search().dtype == (torch.float32 if resolved == "32" else torch.bfloat16)
    assert current_search().dtype is None
    assert not torch.is_autocast_enabled("cpu")


def test_an_old_processor_is_told_from_a_new_one_by_the_probe_alone() -> None:
    """Played by the libraries' own switches; on a processor that is old itself this is the plain probe."""
    program = "from triptych.system.precision import half_speed; print(half_speed('cpu'))"
    old = subprocess.run(
        [sys.executable, "-c", program], env=os.environ | OLD, capture_output=True, text=True, check=True
    )
    assert float(old.stdout) < 1.0
