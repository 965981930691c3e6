"""The commands on a bank: the same as on a .triptych file."""

from pathlib import Path

import pytest
from commands import Command
from photos import class_folders, photo

from triptych.bank import Bank


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    return class_folders(folder, classes=3, each=2)


@pytest.fixture
def bank(photos: Path, tmp_path: Path, command: Command) -> Path:
    place = tmp_path / "bank"
    ended = command("fit", photos, "--bank", place, "--method", "mml-conv64f", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["file"] == str(place)
    assert set(ended.json["classes"].values()) == {2}
    return place


def test_fit_add_predict_show_remove(bank: Path, tmp_path: Path, command: Command) -> None:
    photo(7, 0).save(tmp_path / "0.png")
    photo(7, 1).save(tmp_path / "1.png")
    added = command("add", bank, "new", tmp_path / "0.png", "--json")
    assert added.json == {"file": str(bank), "added": {"new": 1}, "photos": 7}
    [answer] = command("predict", bank, tmp_path / "1.png", "--json").json
    assert answer["label"] == "new"
    assert set(answer["probabilities"]) == {one["label"] for one in command("show", bank, "--json").json["classes"]}
    shown = command("show", bank)
    assert "4 classes, 7 photos, 1 to 2 a class" in shown.out
    assert "     1  new" in shown.out
    listed = command("show", bank, "--photos").out.splitlines()
    photo_id, name = listed[listed.index("     1  new") + 1].split()
    assert name == "0.png"
    assert next(iter(Bank(str(bank)).listing()['"new"'])).startswith(photo_id)
    assert command("show", bank, "--photos", "--json").json["classes"][-1]["photos"][0]["name"] == "0.png"
    assert command("explain", bank, tmp_path / "1.png", "--json").json["label"] == "new"
    out = tmp_path / "answers.csv"
    folder = tmp_path / "asked"
    folder.mkdir()
    photo(7, 2).save(folder / "2.png")
    assert command("predict", bank, folder, "--out", out).code == 0
    assert "2.png,new" in out.read_text()
    refused = command("predict", bank, folder, "--out", tmp_path / "no.csv", "--engine", "onnxruntime")
    assert refused.code == 2
    assert "this needs them in memory; fit without a bank" in refused.err
    assert not list(tmp_path.glob("no.csv*"))
    assert command("remove", bank, "--label", "new", "--json").json["photos"] == 6


def test_places_that_are_refused(bank: Path, photos: Path, tmp_path: Path, command: Command) -> None:
    for arguments, message in (
        ((), "expected --out with a .triptych file to write, or --bank"),
        (("-o", tmp_path / "x.triptych", "--bank", tmp_path / "x"), "one of the two"),
        (("--bank", bank), "a bank already; add to it"),
        (("--bank", tmp_path / "x", "--overwrite"), "--overwrite is for a file"),
        (("--bank", photos / "bank"), "whose photos are read"),
        (("--bank", photos), "lies"),
        (("--bank", tmp_path), "holds other things than a bank"),
        (("--bank", tmp_path / "no" / "where"), "in a folder that exists"),
    ):
        ended = command("fit", photos, *arguments)
        assert ended.code == 2
        assert message in ended.err, ended.err
    assert "needs them in memory" in command("export", bank, "-o", tmp_path / "x.onnx").err
    assert "--out makes a page of a .triptych file" in command("show", bank, "-o", tmp_path / "x.html").err
    assert command("show", bank).code == 0


def test_a_class_of_too_few_usable_photos_leaves_no_bank(photos: Path, tmp_path: Path, command: Command) -> None:
    (sorted(photos.glob("*/*"))[0]).write_bytes(b"\xff\xd8\xff no photo")
    ended = command("fit", photos, "--bank", tmp_path / "bank", "--method", "mml-conv64f", "--min-photos", "2")
    assert ended.code == 2
    assert "1 usable photo, expected at least 2" in ended.err
    assert not (tmp_path / "bank").exists()


def test_a_shelf_is_made_of_a_file(bank: Path, tmp_path: Path, command: Command) -> None:
    ended = command("serve", bank, "--data", tmp_path / "shelves", "--port", "0")
    assert ended.code == 2
    assert f"{bank}: a bank; a shelf is made of a .triptych file" in ended.err
