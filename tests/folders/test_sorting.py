"""Photos are copied into folders by what they are recognised as, and nothing is lost on the way."""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from commands import Command
from photos import photo
from PIL import Image
from toys import small_method

from triptych import Recognizer
from triptych.folders.sort import UNREADABLE, folder_names, sort_photos
from triptych.system.files import copy_new, part_beside, remove_abandoned


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(small_method()).fit(
        [photo(kind, i) for kind in range(3) for i in range(6)], np.repeat(["a", "b/c", "B_C"], 6)
    )


@pytest.fixture
def incoming(tmp_path: Path) -> Path:
    """Photos of classes 0, 1 and 2, two of them of the same name; noise; a damaged photo; a text."""
    for kind in range(3):
        place = tmp_path / "incoming" / str(kind)
        place.mkdir(parents=True)
        photo(kind, 50 + kind).save(place / f"{kind}.png")
    for kind, place in ((0, "0"), (0, "1")):
        photo(kind, 60 + int(place)).save(tmp_path / "incoming" / place / "same.png")
    (tmp_path / "incoming" / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    (tmp_path / "incoming" / "README.md").write_text("# To be sorted")
    return tmp_path / "incoming"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_photos_go_into_folders_by_answer(recognizer: Recognizer, incoming: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    summary = sort_photos(recognizer, incoming, out)
    second = folder_names(["a", "b/c", "B_C"])["b/c"]
    found = files(out)
    assert set(found) == {
        "a/0.png",
        "a/same.png",
        "a/same-2.png",
        f"{second}/1.png",
        "B_C/2.png",
        f"{UNREADABLE}/broken.jpg",
    }
    assert found["a/same.png"] == (incoming / "0" / "same.png").read_bytes()
    assert found["a/same-2.png"] == (incoming / "1" / "same.png").read_bytes()
    assert summary.folders == {"a": 3, "B_C": 1, second: 1, UNREADABLE: 1}
    assert (summary.copied, summary.already_there) == (6, 0)
    assert list(summary.unreadable) == ["broken.jpg"]
    assert (summary.not_images, summary.unread) == (1, 0)
    assert (out / "a" / "0.png").stat().st_mtime == (incoming / "0" / "0.png").stat().st_mtime


def test_sorting_again_copies_what_is_new(recognizer: Recognizer, incoming: Path) -> None:
    out = incoming / "sorted"  # its photos are not sorted again
    sort_photos(recognizer, incoming, out)
    before = files(out)
    again = sort_photos(recognizer, incoming, out)
    assert (again.copied, again.already_there) == (0, 6)
    assert files(out) == before
    photo(0, 70).save(incoming / "0.png")
    assert sort_photos(recognizer, incoming, out).copied == 1
    assert set(files(out)) == {*before, "a/0-2.png"}


def test_a_photo_in_two_folders_is_copied_once(
    command: Command, recognizer: Recognizer, incoming: Path, tmp_path: Path
) -> None:
    shutil.copy(incoming / "0" / "0.png", incoming / "1" / "0.png")
    recognizer.save(tmp_path / "x.triptych")
    ended = command("sort", tmp_path / "x.triptych", incoming, tmp_path / "sorted")
    assert "7 photos: 6 copied, 0 already there, 1 the same as another, 1 unreadable" in ended.out
    assert f"    4 photos  {tmp_path / 'sorted' / 'a'}" in ended.out  # of this run, and the folder has 3 files
    assert len(files(tmp_path / "sorted" / "a")) == 3
    again = sort_photos(recognizer, incoming, tmp_path / "sorted")
    assert (again.copied, again.already_there, again.repeated) == (0, 7, 0)


@pytest.mark.parametrize(("out", "file"), [("x", "x"), ("x/y", "x"), ("x", "x/B_C"), ("x", f"x/{UNREADABLE}")])
def test_a_file_in_the_place_of_a_folder_is_named(
    recognizer: Recognizer, incoming: Path, tmp_path: Path, out: str, file: str
) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("mine")
    with pytest.raises(ValueError, match=f"{file}: a file; .* folder for the copies"):
        sort_photos(recognizer, incoming, tmp_path / out)
    assert (tmp_path / file).read_text() == "mine"
    assert files(tmp_path).keys() - {f"incoming/{name}" for name in files(incoming)} == {file}


def test_what_is_there_is_never_overwritten(recognizer: Recognizer, incoming: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    (out / "a" / "same.png").mkdir(parents=True)
    (out / "a" / "0.png").write_text("mine")
    (out / "a" / "same-2.png").symlink_to("nowhere")
    sort_photos(recognizer, incoming, out)
    assert (out / "a" / "0.png").read_text() == "mine"
    assert (out / "a" / "0-2.png").read_bytes() == (incoming / "0" / "0.png").read_bytes()
    assert os.readlink(out / "a" / "same-2.png") == "nowhere"
    assert (out / "a" / "same-3.png").is_file()
    assert (out / "a" / "same-4.png").is_file()


def test_unknowns_go_apart(recognizer: Recognizer, incoming: Path, tmp_path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(incoming / "noise.png")
    summary = sort_photos(recognizer, incoming, tmp_path / "sorted", unknown="what is this?", false_alarm=0.06)
    (place,) = [name for name in summary.folders if name.startswith("what is this_")]
    assert (tmp_path / "sorted" / place / "noise.png").is_file()
    with pytest.raises(ValueError, match="unknown is 'a', which is a class"):
        sort_photos(recognizer, incoming, tmp_path / "sorted", unknown="a")


@pytest.mark.parametrize("links", [True, False])
def test_a_copy_that_fails_leaves_nothing(tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError()))
    (tmp_path / "x").write_text("new")
    (tmp_path / "taken").write_text("old")
    assert not copy_new(tmp_path / "x", tmp_path / "taken", tmp_path / ".part")
    assert (tmp_path / "taken").read_text() == "old"
    assert copy_new(tmp_path / "x", tmp_path / "copy", tmp_path / ".part")
    assert (tmp_path / "copy").read_text() == "new"
    for source, target in (("none", "y"), ("x", "nowhere/y")):
        with pytest.raises(OSError, match=f"{source}: cannot be copied to .*{target}"):
            copy_new(tmp_path / source, tmp_path / target, tmp_path / ".part")
    assert {path.name for path in tmp_path.iterdir()} == {"x", "taken", "copy"}


def test_parts_of_a_killed_run_are_removed(recognizer: Recognizer, incoming: Path, tmp_path: Path) -> None:
    out = tmp_path / "sorted"
    out.mkdir()
    (out / ".copy.0123456789abcdef.part").touch()
    os.utime(out / ".copy.0123456789abcdef.part", (time.time() - 7200,) * 2)
    sort_photos(recognizer, incoming, out)
    assert not list(out.glob(".*"))


NAMES = ["", ".", "..", "a/b", "a\\b", "/etc/passwd", "../up", "CON", "com1.txt", " x ", "x.", ".hidden", "tab\there"]
NAMES += ["x" * 300, "ä" * 200, "Apple", "apple", "e\u0301", "\u00e9", "\u202egnp", "caf\udce9", "a:b", UNREADABLE]
NAMES += ["plum", "two words", "_plum-34c17129", "../plum", "苹果", "-rf"]


def test_folder_names_are_safe_and_different(tmp_path: Path) -> None:
    names = folder_names(NAMES, taken=[UNREADABLE])
    folded = {name.casefold() for name in names.values()}
    assert len(folded | {UNREADABLE}) == len(NAMES) + 1
    for name in names.values():
        assert (tmp_path / name).parent == tmp_path
        (tmp_path / name).mkdir()
        assert len(name.encode()) < 120
        assert name == name.strip(" .")
        assert not set(name) & set('<>:"/\\|?*\t')
        assert name.split(".")[0].lower() not in {"con", "com1"}
    assert len(list(tmp_path.iterdir())) == len(NAMES)
    kept = {"plum", "two words", "苹果", "-rf"}
    assert {label for label, name in names.items() if label == name} == kept


def test_the_name_of_a_folder_does_not_depend_on_the_other_classes() -> None:
    assert folder_names(["a/b"])["a/b"] == folder_names(["a/b", "a:b", "c"])["a/b"]


def test_the_command_reports_and_exits_with_1(
    command: Command, recognizer: Recognizer, incoming: Path, tmp_path: Path
) -> None:
    file = tmp_path / "x.triptych"
    recognizer.save(file)
    ended = command("sort", file, incoming, tmp_path / "sorted")
    assert ended.code == 1
    assert "6 photos: 6 copied, 0 already there, 1 unreadable; 1 other file is no image" in ended.out
    assert f"{incoming / 'broken.jpg'}: damaged image" in ended.err
    (incoming / "broken.jpg").unlink()
    shutil.rmtree(tmp_path / "sorted" / UNREADABLE)
    ended = command("sort", file, incoming, "-o", tmp_path / "sorted", "--unknown", "none", "--json")
    assert ended.code == 0
    assert ended.json["copied"] + ended.json["already_there"] == 5
    for options, message in ((("--false-alarm", 0.1), "expected --unknown beside it"), (("--unknown", ""), "is empty")):
        ended = command("sort", file, incoming, tmp_path / "other", *options)
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err
        assert not (tmp_path / "other").exists()
    for places, message in (((), "expected a folder for the copies: OUT_DIR"), (("a", "-o", "b"), "got a and --out b")):
        ended = command("sort", file, incoming, *places)
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err
    for out, message in ((incoming, "expected another folder"), (tmp_path / "x", "nowhere: no such folder")):
        ended = command("sort", file, tmp_path / "nowhere" if message.startswith("nowhere") else incoming, out)
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err


def test_the_copy_of_an_old_photo_is_not_taken_for_abandoned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = tmp_path / "old.jpg", tmp_path / "new.jpg"
    source.write_bytes(b"photo")
    os.utime(source, (10**9, 10**9))
    link = os.link

    def while_another_starts(part: Path, to: Path) -> None:
        remove_abandoned(tmp_path / "copy")
        link(part, to)

    monkeypatch.setattr(os, "link", while_another_starts)
    assert copy_new(source, target, part_beside(tmp_path / "copy"))
    assert (target.read_bytes(), target.stat().st_mtime) == (b"photo", 10**9)
