"""What a figure was computed with."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from triptych.system.environment import ENVIRONMENT, environment, git_state, record_environment

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    named = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    ended = subprocess.run(["git", "-C", folder, *named, *arguments], check=True, capture_output=True, text=True)
    return ended.stdout.strip()


@needs_git
def test_the_commit_and_whether_files_were_changed_since(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    assert git_state(tmp_path) is None  # no commit yet
    (tmp_path / "x.py").write_text("1")
    git(tmp_path, "add", "x.py")
    git(tmp_path, "commit", "--quiet", "-m", "One.")
    commit = git(tmp_path, "rev-parse", "HEAD")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "notes").write_text("untracked")
    assert git_state(tmp_path) == git_state(tmp_path / "runs") == {"commit": commit, "changed": False}
    assert git_state(tmp_path / "runs", tracked=True) is None  # as an environment inside a checkout
    (tmp_path / "x.py").write_text("2")
    assert git_state(tmp_path) == {"commit": commit, "changed": True}


@needs_git
def test_no_program_that_a_repository_names_is_run(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "x.py").write_text("1")
    git(tmp_path, "add", "x.py")
    git(tmp_path, "commit", "--quiet", "-m", "One.")
    monitor = tmp_path / "monitor"
    monitor.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    monitor.chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(monitor))
    assert git_state(tmp_path) is not None
    assert not (tmp_path / "ran").exists()


def test_without_a_repository_there_is_no_commit(tmp_path: Path) -> None:
    assert git_state(tmp_path) is None
    assert git_state(tmp_path / "missing") is None


def test_each_start_of_a_run_is_kept(tmp_path: Path) -> None:
    record_environment(tmp_path, "cpu")
    record_environment(tmp_path, "cpu", step=7)
    starts = json.loads((tmp_path / ENVIRONMENT).read_text())["starts"]
    assert [start["step"] for start in starts] == [0, 7]
    assert {"python", "torch", "triptych", "numpy"} <= starts[0]["versions"].keys()
    assert "cores" in starts[0]["processor"]
    assert starts[0]["threads"] == environment()["threads"]
    (tmp_path / ENVIRONMENT).write_text('{"starts": 5')
    record_environment(tmp_path, "cpu", step=9)
    assert [start["step"] for start in json.loads((tmp_path / ENVIRONMENT).read_text())["starts"]] == [9]


@pytest.mark.parametrize(
    ("started", "told"),
    [
        ("/opt/python/triptych/__main__.py", "triptych train data"),
        ("/usr/bin/triptych", "triptych train data"),
        ("/opt/python/pytest/__main__.py", "/opt/python/pytest/__main__.py train data"),
        ("", "'' train data"),
    ],
)
def test_a_command_is_told_as_it_is_typed(monkeypatch: pytest.MonkeyPatch, started: str, told: str) -> None:
    monkeypatch.setattr("sys.argv", [started, "train", "data"])
    assert environment()["command"] == told
