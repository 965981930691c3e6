"""Extras: what a message advises works, and every list of them is that of pyproject.toml."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from triptych.system.extras import extra, how_to_install

ROOT = Path(__file__).parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
FOR_USERS = set(EXTRAS) - {"dev", "docs"}
SOURCES = sorted((ROOT / "src").rglob("*.py"))


def texts() -> dict[Path, str]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"), *SOURCES]
    return {path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in pages}


def test_what_is_missing_is_installed_from_a_clone_or_from_an_index() -> None:
    with pytest.raises(RuntimeError) as raised, extra("plot", "drawing needs matplotlib"):
        import no_such_library  # noqa: F401
    assert "pip install '.[plot]' in a clone" in str(raised.value)
    assert "pip install 'triptych[plot]'" in str(raised.value)


def test_one_place_says_how_extras_are_installed() -> None:
    elsewhere = {path: text for path, text in texts().items() if path.name != "extras.py"}
    assert [str(path) for path, text in elsewhere.items() if "triptych[" in text] == []


def test_only_extras_that_there_are_are_named() -> None:
    for path, text in texts().items():
        advised = set(re.findall(r"pip install '\.\[(\w+)\]'", text))
        used = set(re.findall(r"(?:\bextra|how_to_install)\([\"'](\w+)", text))
        assert advised | used <= set(EXTRAS), path


def test_the_quickstart_lists_them_all() -> None:
    page = texts()[Path("docs/quickstart.md")]
    rows = re.findall(r"^\| `(\w+)` \| .* \| `pip install '\.\[(\w+)\]'` \|$", page, re.M)
    assert sorted(rows) == sorted((name, name) for name in FOR_USERS)


def test_who_develops_has_them_all() -> None:
    (own,) = [one for one in EXTRAS["dev"] if one.startswith("triptych[")]
    assert set(own.removeprefix("triptych[").removesuffix("]").split(",")) == set(EXTRAS) - {"dev"}
    assert how_to_install("dev").startswith("pip install '.[dev]'")


def test_a_library_that_is_there_without_memory_for_it_is_not_said_to_be_missing() -> None:
    with pytest.raises(MemoryError), extra("onnx", "export needs onnx"):
        raise ImportError("onnx_cpp2py_export.so: failed to map segment from shared object")


def test_no_library_calls_home() -> None:
    """ONNX Runtime says at its import that it cannot, where the home folder is not writable."""
    script = "from triptych.system.extras import extra\nwith extra('onnx', ''): import onnxruntime"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env={**environment, "HOME": "/proc/none"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stderr == ""
