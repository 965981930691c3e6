"""Where a command may write: nothing that a user has is ever lost."""

import os
import stat
from pathlib import Path

import pytest
from permissions import as_nobody, open_place
from photos import class_folders, photo
from toys import small_method

from triptych import Recognizer, save_method
from triptych.system.files import write_whole
from triptych.system.kinds import ONNX_MODEL, PAGE, PICTURE, RECOGNIZER, RECORD, TABLE, Kind
from triptych.system.outputs import check_output, check_run_folder
from triptych.system.packed import pack

WRITTEN = {
    ".triptych": (RECOGNIZER, pack({}, "triptych-recognizer", 4, {})),
    ".html": (PAGE, b"<!doctype html>\n<title>Triptych demonstration</title>"),
    ".svg": (PICTURE, b'<?xml version="1.0"?><svg><desc>triptych</desc></svg>'),
    ".pdf": (PICTURE, b"%PDF-1.4\n" + bytes(200_000) + b"/Creator (triptych)"),
    ".json": (RECORD, b'{"versions": {"triptych": "0.1.0"}}'),
    ".csv": (TABLE, b"image,label,probability,in_support,error\r\n1.png,lemon,0.9,False,\r\n"),
}


@pytest.mark.parametrize("ending", WRITTEN)
def test_a_file_of_the_same_kind_is_replaced_on_demand(tmp_path: Path, ending: str) -> None:
    kind, data = WRITTEN[ending]
    path = tmp_path / f"x{ending}"
    check_output(path, kind)
    path.write_bytes(data)
    with pytest.raises(ValueError, match="exists already; replace it with --overwrite, or name another file"):
        check_output(path, kind)
    check_output(path, kind, overwrite=True)


@pytest.mark.parametrize("ending", WRITTEN)
@pytest.mark.parametrize("data", [b"", b"my own notes", b"\x89PNG\r\n\x1a\n a photo"], ids=["empty", "notes", "photo"])
def test_a_file_of_another_kind_is_never_replaced(tmp_path: Path, ending: str, data: bytes) -> None:
    path = tmp_path / f"x{ending}"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="that triptych wrote; name another file"):
        check_output(path, WRITTEN[ending][0], overwrite=True)


def test_a_photo_is_no_picture_that_triptych_wrote(tmp_path: Path) -> None:
    photo(0, 0).save(tmp_path / "holiday.png")
    with pytest.raises(ValueError, match=r"holiday.png: exists and is no picture that triptych wrote"):
        check_output(tmp_path / "holiday.png", PICTURE, overwrite=True)


def test_saving_in_python_replaces_the_same_kind_alone(tmp_path: Path) -> None:
    recognizer = Recognizer(small_method()).fit([photo(0, 0, 24), photo(1, 0, 24)], ["a", "b"])
    why = recognizer.explain(photo(0, 1, 24))
    for save, name in ((recognizer.save, "x.triptych"), (recognizer.save, "no ending"), (why.save, "x.png")):
        save(tmp_path / name)
        save(tmp_path / name)
        for data in (b"my own notes", b"\x89PNG\r\n\x1a\n a photo"):
            (tmp_path / name).write_bytes(data)
            with pytest.raises(ValueError, match="that triptych wrote; name another file"):
                save(tmp_path / name)
            assert (tmp_path / name).read_bytes() == data
    save_method(small_method(), tmp_path / "x.safetensors")
    save_method(small_method(), tmp_path / "x.safetensors")
    (tmp_path / "x.safetensors").write_bytes(b"my own notes")
    with pytest.raises(ValueError, match=r"x.safetensors: exists and is no method that triptych wrote"):
        save_method(small_method(), tmp_path / "x.safetensors")


@pytest.mark.parametrize(("name", "told"), [("a\0.safetensors", "null"), ("a" * 300 + ".safetensors", "too long")])
def test_a_name_that_no_system_takes_is_told(tmp_path: Path, name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        save_method(small_method(), tmp_path / name)


@pytest.mark.parametrize("name", ["1.jpg", "triptych", "x.triptych.bak"])
def test_the_ending_says_what_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"expected a name that ends in \.triptych, as a recogniser is written"):
        check_output(tmp_path / name, RECOGNIZER)
    check_output(tmp_path / "x.TRIPTYCH", RECOGNIZER)


@pytest.mark.parametrize("place", ["photos/x.html", "photos/class0/x.html", "inside/x.html", "elsewhere/x.html"])
def test_nothing_is_written_where_photos_are_read(tmp_path: Path, place: str) -> None:
    photos = class_folders(tmp_path / "photos", classes=1, each=1)
    (tmp_path / "inside").symlink_to(photos / "class0")
    (tmp_path / "elsewhere").mkdir()
    (photos / "class1").symlink_to(tmp_path / "elsewhere")
    (photos / "loop").symlink_to(photos / "loop")
    (photos / "circle").symlink_to(photos)
    with pytest.raises(ValueError, match=r"lies inside .*photos, whose photos are read; name a place outside"):
        check_output(tmp_path / place, PAGE, read=[photos])
    with pytest.raises(ValueError, match="lies inside"):
        check_run_folder((tmp_path / place).with_suffix(""), read=[photos])
    check_output(tmp_path / "x.html", PAGE, read=[photos])


def test_what_is_read_is_not_written_over(tmp_path: Path) -> None:
    read = tmp_path / "read.html"
    read.write_bytes(WRITTEN[".html"][1])
    (tmp_path / "link.html").symlink_to(read)
    os.link(read, tmp_path / "hard.html")
    for name in ("read.html", "link.html", "hard.html"):
        with pytest.raises(ValueError, match=f"{name}: is read by this command and would be lost"):
            check_output(tmp_path / name, PAGE, read=[read], overwrite=True)


def test_the_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nodir/x\.html: expected a file in a folder that exists"):
        check_output(tmp_path / "nodir" / "x.html", PAGE)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^{tmp_path}: a folder; expected a file, such as {tmp_path}/x\.onnx$"):
        check_output(tmp_path, ONNX_MODEL)


def test_a_kind_has_its_article(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ends in \.onnx, as an ONNX model is written$"):
        check_output(tmp_path / "x.jpg", ONNX_MODEL)
    with pytest.raises(ValueError, match=r"\.onnx: expected a name before the ending, such as x\.onnx$"):
        check_output(tmp_path / ".onnx", ONNX_MODEL)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no /proc")
def test_a_folder_that_takes_no_file_is_refused_whatever_its_permissions_say() -> None:
    with pytest.raises(OSError, match=r"^/proc/x\.html: cannot be written \(no file can be made in /proc: "):
        check_output(Path("/proc/x.html"), PAGE)
    with pytest.raises(OSError, match=r"^/proc/run: cannot be written \(no file can be made in /proc: "):
        check_run_folder(Path("/proc/run"))


def test_the_folder_must_be_writable() -> None:
    with open_place() as place:
        place.chmod(0o555)
        with as_nobody(), pytest.raises(OSError, match=r"x\.html: cannot be written .*Permission denied"):
            check_output(place / "x.html", PAGE)
        with as_nobody(), pytest.raises(OSError, match=r"run: cannot be written .*Permission denied"):
            check_run_folder(place / "run")


def test_a_check_leaves_nothing_behind(tmp_path: Path) -> None:
    check_output(tmp_path / "x.html", PAGE)
    check_run_folder(tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", [RECOGNIZER, PAGE, PICTURE, RECORD])
def test_a_device_is_written_to_and_stays_one(kind: Kind) -> None:
    check_output(Path("/dev/null"), kind)
    write_whole("/dev/null", b"gone")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    assert not list(Path("/dev").glob(".null*"))


def test_a_full_device_is_named() -> None:
    with pytest.raises(OSError, match=r"/dev/full: cannot be written \(No space left on device\)"):
        write_whole("/dev/full", b"too much")


def test_a_pipe_of_the_shell_gets_what_is_written() -> None:
    end, start = os.pipe()
    check_output(Path(f"/dev/fd/{start}"), PAGE)
    write_whole(f"/dev/fd/{start}", b"whole")
    assert os.read(end, 100) == b"whole"
    os.close(start), os.close(end)


def test_a_named_pipe_and_a_disk_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "disk").symlink_to(next((one for one in Path("/dev").iterdir() if one.is_block_device()), "pipe"))
    for name in ("pipe", "disk"):
        with pytest.raises(
            ValueError, match=f"{name}: a device or a named pipe, which cannot hold a page; name a file"
        ):
            check_output(tmp_path / name, PAGE)


def test_what_goes_on_after_a_kill_needs_a_file() -> None:
    with pytest.raises(ValueError, match="/dev/null: a device or a named pipe, which cannot hold a table of answers"):
        check_output(Path("/dev/null"), TABLE)


def run_in(folder: Path, checkpoint: bool) -> Path:
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text('{"stage": "train"}')
    if checkpoint:
        (folder / "checkpoint.pt").touch()
    return folder


def test_a_run_gets_a_folder_of_its_own(tmp_path: Path) -> None:
    check_run_folder(tmp_path / "new" / "run")
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / ".DS_Store").touch()
    check_run_folder(tmp_path / "hidden")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").touch()
    with pytest.raises(
        ValueError, match=r"home: holds other things than a run \(thesis.tex\); name a folder of its own"
    ):
        check_run_folder(tmp_path / "home", resume=True)
    with pytest.raises(ValueError, match=r"thesis.tex: a file; expected a folder"):
        check_run_folder(tmp_path / "home" / "thesis.tex" / "run")


@pytest.mark.parametrize("stage", [".", "pretrain"])
def test_a_run_is_gone_on_with_on_demand(tmp_path: Path, stage: str) -> None:
    run_in(tmp_path / "run" / stage, checkpoint=True)
    with pytest.raises(ValueError, match="a run already lies here; continue it with --resume"):
        check_run_folder(tmp_path / "run")
    check_run_folder(tmp_path / "run", resume=True)


def test_a_run_that_was_killed_before_it_saved_is_begun_anew(tmp_path: Path) -> None:
    check_run_folder(run_in(tmp_path / "run", checkpoint=False))


@pytest.mark.parametrize("links", [True, False])
def test_what_is_made_while_a_command_works_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: os.open(tmp_path, os.O_WRONLY))  # an OSError
    monkeypatch.chdir(tmp_path)
    path = Path("x.html")
    check_output(path, PAGE)
    path.write_text("mine")
    with pytest.raises(ValueError, match=r"x.html: was made meanwhile, and is kept; use --overwrite"):
        write_whole(path, b"<!doctype html> triptych")
    assert path.read_text() == "mine"
    path.unlink()
    for data in (b"<!doctype html> triptych", b"<!doctype html> triptych again"):
        write_whole(tmp_path / path, data)  # the second time it is its own
        assert path.read_bytes() == data
    assert os.listdir() == ["x.html"]


def test_what_a_command_may_replace_it_replaces(tmp_path: Path) -> None:
    path = tmp_path / "x.html"
    check_output(path, PAGE)  # of a command that failed
    path.write_bytes(b"<!doctype html> triptych")
    check_output(path, PAGE, overwrite=True)
    write_whole(path, b"<!doctype html> triptych again")
    link = tmp_path / "link.html"
    link.symlink_to("nowhere")
    check_output(link, PAGE)
    write_whole(link, b"new")
    assert link.read_bytes() == b"new"
