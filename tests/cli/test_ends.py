"""How a command ends where the system, or a library, does not go along: in one line of our own."""

import errno
import os
from pathlib import Path

import pytest
from commands import Command


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


def test_a_folder_at_hand_that_was_removed_is_told(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    ended = command("methods")
    assert (ended.code, ended.err) == (1, "error: the folder at hand was removed; go to another one\n")


class PanicException(BaseException):
    __module__ = "pyo3_runtime"


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("could not create a primitive"), "out of memory; try fewer or smaller photos at once"),
        (
            ImportError("_cyutility.so: failed to map segment from shared object"),
            "out of memory; try fewer or smaller photos at once",
        ),
        (PanicException("Failed to build tokio runtime"), "a library cannot go on (Failed to build tokio runtime)"),
        (
            OSError(errno.EMFILE, os.strerror(errno.EMFILE), "matplotlib/patheffects.py"),
            "too many open files; allow more of them, as with ulimit -n 1024",
        ),
    ],
)
def test_what_libraries_say_is_told_in_our_words(
    command: Command, monkeypatch: pytest.MonkeyPatch, error: BaseException, told: str
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("triptych.data.count_splits", fails)
    ended = command("splits", ".")
    assert (ended.code, ended.err) == (1, f"error: {told}\n")
