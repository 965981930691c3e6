"""Commands that take labelled photos name the same layouts, and the quickstart lists them."""

from pathlib import Path

import pytest
from commands import Command

LAYOUTS = (
    "a folder with one sub-folder per class; such folders in train/, val/ and test/; a folder with images/ and "
    "train.csv, val.csv and test.csv; a CSV file of path,label; Parquet files (image, label); or hf:NAME."
)
WITH_SPLITS = (
    "a folder with train/ and val/, each with one sub-folder per class; a folder with images/, train.csv and val.csv; "
    "a folder of Parquet files train-*.parquet and val-*.parquet; or hf:NAME."
)
ROWS = ("one sub-folder of photos per class", "`train/`, `val/`, `test/`", "`images/` and `train.csv`", "`path,label`")
QUICKSTART = Path(__file__).parents[2] / "docs" / "quickstart.md"


@pytest.mark.parametrize("name", ["fit", "add", "compare", "evaluate"])
def test_each_command_names_the_same_layouts(command: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "dumb")
    assert LAYOUTS in shown_help(command, name)


@pytest.mark.parametrize("name", ["pretrain", "train"])
def test_training_names_layouts_with_splits_alone(command: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "dumb")
    shown = shown_help(command, name)
    assert f"Photos by class, with splits train and val: {WITH_SPLITS}" in shown
    assert "path,label" not in shown


def shown_help(command: Command, name: str) -> str:
    return " ".join(command(name, "--help").out.replace("\u2502", " ").replace("|", " ").split())


def test_the_quickstart_lists_them() -> None:
    text = QUICKSTART.read_text(encoding="utf-8").split("## Data layouts")[1].split("\n## ")[0]
    for row in (*ROWS, "Parquet files", "`hf:NAME`"):
        assert row in text
    for name in ("`fit`", "`add --from`", "`compare`", "`evaluate`", "`train`", "`pretrain`"):
        assert name in text


@pytest.mark.parametrize("name", ["demo", "compare", "evaluate", "train"])
def test_a_shot_is_the_same_everywhere(command: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "Photos of each class to learn from" in command(name, "--help").out


@pytest.mark.parametrize(
    "name", ["add", "compare", "evaluate", "explain", "fit", "predict", "pretrain", "serve", "sort", "train"]
)
def test_a_device_is_the_same_everywhere(command: Command, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert "Where to compute: cpu, cuda, or auto for a GPU where there is one." in command(name, "--help").out
