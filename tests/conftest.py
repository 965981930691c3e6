"""Shapes are checked at run time, caches stay out of the home folder, and real data is used where it is."""

import os
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch is loaded; the workers share the cores

import pytest
import torch
from commands import Command
from jaxtyping import install_import_hook

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when a kernel is defined

_CHECKED = [
    "backbones",
    "comparison.baselines",
    "comparison.contest",
    "recognizer.sets",
    "recognizer.unknowns",
    "support",
    "data.augment",
    "evaluation",
    "evidence",
    "fusion",
    "methods",
    "similarity",
    "comparison.splits",
    "comparison.suspects",
]
install_import_hook([f"triptych.{name}" for name in _CHECKED], "checked.checked")


from triptych.methods.types import METHOD_TYPES  # noqa: E402 (checked, too)


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Decoded images go to a folder of this test session, also from the processes that tests start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRIPTYCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real data and published weights, which lies beside a developer's checkout."""
    folder = Path(__file__).resolve().parents[1].parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"needs real data in {folder}")
    return folder


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The methods of ``toys`` are registered, as those of the package are."""
    from toys import Centred, Together  # after the hook above

    for kind in (Centred, Together):
        monkeypatch.setitem(METHOD_TYPES, kind.name, kind)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs commands in this process."""
    return Command(monkeypatch, capsys)
