"""The command ``triptych explain``: the evidence as text, as JSON and as a picture."""

import re
from html import unescape
from pathlib import Path

import pytest
from commands import Command
from matplotlib import rc_context
from photos import photo

from triptych import Recognizer


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


def test_text_names_places_and_shares(command: Command, folder: Path) -> None:
    ended = command("explain", folder / "x.triptych", folder / "new.png", "--top", 2)
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert re.fullmatch(r"2  \d+\.\d%", lines[0])
    assert "    for it: " in lines[1]
    added = re.findall(r"\(([a-z]+) level\) ([+-]\d+\.\d\d)", " ".join(lines[1:3]))
    assert {level for level, _ in added} == {"distribution", "pixel", "part", "plda"}
    assert sum(line.startswith(("    Lead over ", "    Hardly a lead")) for line in lines) == 1
    place = r"(top|bottom|left|right|centre|(top|bottom) (left|right))"
    line = re.compile(rf"    (\d)\. {place} looks like {place} of .+ \((\d\.\d\d) alike\)")
    assert {found[1] for one in lines if (found := line.fullmatch(one))} >= {"1", "2"}


def test_text_and_picture_say_the_same(command: Command, folder: Path, tmp_path: Path) -> None:
    picture = tmp_path / "why.svg"
    with rc_context({"svg.fonttype": "none"}):  # text stays text
        ended = command("explain", folder / "x.triptych", folder / "new.png", "--top", 99, "-o", picture)
    drawn = [unescape(one) for one in re.findall(r"<text[^>]*>([^<]*)</text>", picture.read_text(encoding="utf-8"))]
    lines = ended.out.splitlines()
    alike = re.findall(r"\((\d\.\d\d) alike\)", ended.out)
    assert [one for one in drawn if re.fullmatch(r"\d\.\d\d", one)] == alike
    added = re.findall(r" level\) ([+-]\d\.\d\d)", ended.out)
    assert sorted(one for one in drawn if re.fullmatch(r"[+-]\d\.\d\d", one)) == sorted(added)
    for line in lines:
        if "Lead" in line:
            assert " ".join(line.split()) in " ".join(drawn)


@pytest.mark.parametrize(
    ("ending", "beginning"),
    [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF-"), ("html", b"<!doctype html>"), ("PNG", b"\x89PNG")],
)
def test_the_ending_says_which_picture(
    command: Command, folder: Path, tmp_path: Path, ending: str, beginning: bytes
) -> None:
    asked = ("explain", folder / "x.triptych", folder / "new.png", "--top", 1, "-o", tmp_path / f"why.{ending}")
    ended = command(*asked)
    assert ended.code == 0, ended.err
    assert f"Picture: {tmp_path / f'why.{ending}'}" in ended.out
    drawn = (tmp_path / f"why.{ending}").read_bytes()
    assert drawn.startswith(beginning)
    refused = command(*asked)
    assert (refused.code, refused.out) == (2, "")
    assert "exists already; replace it with --overwrite" in refused.err
    assert command(*asked, "--overwrite").code == 0
    assert (tmp_path / f"why.{ending}").read_bytes() == drawn


def test_json_is_one_document(command: Command, folder: Path) -> None:
    ended = command("explain", folder / "x.triptych", folder / "new.png", "--json")
    assert (ended.code, ended.err) == (0, "")
    result = ended.json
    assert (result["label"], result["in_support"], result["grid"]) == (2, False, [21, 21])
    assert sum(one["probability"] for one in result["classes"]) == pytest.approx(1)
    winner = result["classes"][0]
    assert winner["contributions"].keys() == winner["similarities"].keys() == {"distribution", "pixel", "part", "plda"}
    assert len(winner["matches"]) == len(winner["parts"]) == 10
    assert {"query", "photo", "name", "view", "support", "similarity", "margin"} == winner["matches"][0].keys()


def test_a_photo_that_was_learnt_from_is_said_to_be(command: Command, folder: Path) -> None:
    ended = command("explain", folder / "x.triptych", folder / "old.png", "--json")
    assert ended.code == 0
    assert ended.json["in_support"]
    assert "its answer proves nothing" in ended.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bad.png"], "bad.png: not an image"),
        (["none.png"], "none.png: No such file"),
        (["new.png", "--out", "no/such/folder/why.png"], "why.png: expected a file in a folder that exists"),
        (["new.png", "--out", "why.jpg"], "why.jpg: expected a name that ends in .png, .svg, .pdf or .html"),
        (["new.png", "--top", "0"], "--top must be a whole number of at least 1, got 0"),
        (["new.png", "--device", "gpu"], "device gpu: expected auto, cpu or cuda"),
        (["new.png", "--out", "new.png"], "new.png: is read by this command and would be lost"),
        (["new.png", "--out", "old.png", "--overwrite"], "old.png: exists and is no picture that triptych wrote"),
    ],
)
def test_what_is_wrong_is_one_line_and_exit_2(
    folder: Path, arguments: list[str], message: str, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    ended = command("explain", "x.triptych", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
