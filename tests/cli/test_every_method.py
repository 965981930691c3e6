"""Each registered name is trained and evaluated by the commands, as a user would."""

from pathlib import Path

import pytest
from commands import Command
from photos import class_folders

from triptych.methods import METHODS

TINY = [
    "--preset",
    "paper",
    "--steps",
    1,
    "--episodes-per-step",
    1,
    "--way",
    2,
    "--queries",
    1,
    "--side",
    64,
]  # maps of a few positions
TINY += ["--validation-episodes", 1, "--validation-queries", 1, "--precision", "32"]
ASKED = ["--way", 2, "--queries", 1, "--episodes", 2, "--precision", "32"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    for number, split in enumerate(("train", "val", "test")):
        class_folders(root / split, classes=3, each=2, first=3 * number)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("name", list(METHODS))
def test_each_name_is_trained_and_evaluated(command: Command, data: Path, tmp_path: Path, name: str) -> None:
    ended = command("train", data, "--method", name, "--out", tmp_path / "run", *TINY)
    assert ended.code == 0, ended.err
    asked = command("evaluate", data, "--method", ended.out.strip(), *ASKED, "--json")
    assert asked.code == 0, asked.err
    levels = asked.json["levels"]
    assert all(0 <= one["mean"] <= 1 for one in levels.values())
