"""The command ``triptych explain``: the evidence as text, as JSON and as a picture."""

import json
import sys
import warnings
from pathlib import Path

import pytest
from photos import photo
from PIL import Image

from triptych import Recognizer
from triptych.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recogniser, a new photo and one that it has learnt from."""
    root = tmp_path_factory.mktemp("explain")
    images = [photo(kind, number) for kind in range(3) for number in range(2)]
    Recognizer().fit(images, [1, 1, 2, 2, 3, 3]).save(root / "x.triptych")
    photo(1, 50).save(root / "new.png")
    photo(1, 0).save(root / "old.png")
    (root / "bad.png").write_text("no photo")
    return root


def explain(monkeypatch: pytest.MonkeyPatch, folder: Path, *arguments: object) -> int:
    """The exit code."""
    monkeypatch.setattr(sys, "argv", ["triptych", "explain", str(folder / "x.triptych"), *map(str, arguments)])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_text_and_picture(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(monkeypatch, folder, folder / "new.png", "--out", tmp_path / "why.png", "--top", 2) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("2  ")
    assert "pixel +" in lines[0]
    assert sum(line.startswith("    patch (") for line in lines) == 6
    with Image.open(tmp_path / "why.png") as picture:
        assert picture.format == "PNG"


def test_json_is_one_document(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(monkeypatch, folder, folder / "new.png", "--json") == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["label"], result["in_support"], result["grid"]) == (2, False, [21, 21])
    assert sum(one["probability"] for one in result["classes"]) == pytest.approx(1)
    winner = result["classes"][0]
    assert winner["contributions"].keys() == winner["similarities"].keys() == {"distribution", "pixel", "part"}
    assert len(winner["matches"]) == len(winner["parts"]) == 10
    assert {"query", "photo", "name", "view", "support", "similarity", "margin"} == winner["matches"][0].keys()
    assert captured.err == ""


def test_a_photo_that_was_learnt_from_is_said_to_be(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert explain(monkeypatch, folder, folder / "old.png", "--json") == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["in_support"]
    assert "its answer proves nothing" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bad.png"], "bad.png: not an image"),
        (["none.png"], "none.png: No such file"),
        (
            ["new.png", "--out", "no/such/folder/why.png"],
            "why.png: expected the name of a .png file in a folder that exists",
        ),
        (["new.png", "--top", "0"], "equal to 1"),
        (["new.png", "--out", "FOLDER/new.png"], "new.png: is read by this command and would be lost"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(
    folder: Path,
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = (folder / "new.png").read_bytes()
    arguments = [argument.replace("FOLDER", str(folder)) for argument in arguments]
    assert explain(monkeypatch, folder, folder / arguments[0], *arguments[1:]) == 2
    assert (folder / "new.png").read_bytes() == before
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
