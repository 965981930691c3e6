"""The page that adds a method: its file, its lines of the registry and its commands work as they stand."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from documents import snippets

from triptych import Recognizer
from triptych.methods import Method
from triptych.methods.types import METHOD_TYPES

ROOT = Path(__file__).parents[1]
SHOWN = snippets(ROOT / "docs" / "adding-a-method.md")
FILE, USE = (text for language, text in SHOWN if language == "python")
(DIFF,) = (text for language, text in SHOWN if language == "diff")
COMMANDS, _, TESTS = (text for language, text in SHOWN if not language)  # the second: the row of the table, hours
NAME = "triptych.methods.nearest_mean"


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    """The method of the page, registered as those of the package are."""
    module = ModuleType(NAME)
    monkeypatch.setitem(sys.modules, NAME, module)
    exec(compile(FILE, "nearest_mean.py", "exec"), module.__dict__)
    found: type[Method] = module.NearestMean
    monkeypatch.setitem(METHOD_TYPES, found.name, found)
    return found


def test_the_method_of_the_page_recognises_and_explains(
    kind: type[Method], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    exec(compile(USE, "use", "exec"), names)
    recognizer, photos = names["recognizer"], names["asked"]
    assert isinstance(recognizer, Recognizer)
    assert isinstance(recognizer.method_, kind)
    assert isinstance(photos, list)
    answers = recognizer.predict(photos)
    assert sum(answer == photo.parent.name for answer, photo in zip(answers, photos, strict=True)) > len(photos) / 2
    assert set(recognizer.explain(photos[0]).classes[0].contributions) == {"cosine"}
    recognizer.save(tmp_path / "x.triptych")
    assert list(Recognizer.load(tmp_path / "x.triptych").predict(photos)) == list(answers)


def with_lines_added(place: Path) -> None:
    """Each added line of the diff, behind the line of the file that stands above it."""
    for part in re.split("^--- ", DIFF, flags=re.MULTILINE)[1:]:
        name, *lines = part.splitlines()
        text = (place / name).read_text(encoding="utf-8")
        for known, added in zip(lines[::2], lines[1::2], strict=True):
            assert (known[0], added[0]) == (" ", "+")
            assert text.count(f"\n{known[1:]}\n") == 1, f"{name} has no one line {known[1:]!r}"
            text = text.replace(f"\n{known[1:]}\n", f"\n{known[1:]}\n{added[1:]}\n")
        (place / name).write_text(text, encoding="utf-8")


@pytest.mark.slow
def test_the_method_of_the_page_is_registered_and_trained(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src")
    (tmp_path / "src/triptych/methods/nearest_mean.py").write_text(FILE, encoding="utf-8")
    with_lines_added(tmp_path)
    (tmp_path / "triptych").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m triptych.cli "$@"\n')
    (tmp_path / "triptych").chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "PYTHONPATH": str(tmp_path / "src")}
    ended = subprocess.run(["bash", "-euc", COMMANDS], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "2-way 1-shot, 4 episodes" in ended.stdout
    for name in ("tests", "docs", "pyproject.toml"):
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, tmp_path / name)
    with (tmp_path / "docs/methods.md").open("a", encoding="utf-8") as page:
        page.write("| `nearest-mean` |\n")
    command = TESTS.replace("python", sys.executable, 1).strip()
    told = subprocess.run(["bash", "-euc", command], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout
    assert " passed" in told.stdout
