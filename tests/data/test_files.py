"""What is no plain file is refused at once, and what is no photo is not read."""

import os
import socket
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from permissions import as_nobody, open_place
from PIL import Image

from triptych.data import (
    ImageError,
    NotAnImageError,
    Preprocessing,
    check_photo,
    check_photo_folder,
    files_below,
    is_image,
    list_folder,
    read_image,
    read_photos,
    walk,
)
from triptych.data.files import content_digest

ABOVE_ANY_MEMORY = 30 * 10**9


def sparse(path: Path, beginning: bytes) -> Path:
    with path.open("wb") as file:
        file.write(beginning)
        file.truncate(ABOVE_ANY_MEMORY)
    return path


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match=r"pipe.jpg: a named pipe; expected an image file"):
        read_image(tmp_path / "pipe.jpg")
    assert is_image(tmp_path / "pipe.jpg")  # it may be one: nobody has looked
    assert len(content_digest(tmp_path / "pipe.jpg")) == 16


def test_a_socket_and_a_device_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.jpg")
        with pytest.raises(ImageError, match=r"s.jpg: a socket"):
            read_image("s.jpg")
    with pytest.raises(ImageError, match="/dev/zero: a device"):
        read_image("/dev/zero")


def test_a_giant_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = sparse(tmp_path / "giant.jpg", b"\xff\xd8\xff\xe0")
    with pytest.raises(ImageError, match=r"giant.jpg: 30000 MB, expected at most 200; .* TRIPTYCH_MAX_MEGABYTES"):
        read_image(path)


def test_a_film_is_told_by_its_first_bytes(tmp_path: Path) -> None:
    path = sparse(tmp_path / "film.mp4", b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41")
    tracemalloc.start()
    with pytest.raises(NotAnImageError, match=r"film.mp4: not an image by its first bytes; expected JPEG, PNG"):
        read_image(path)
    assert not is_image(path)
    assert len(content_digest(path)) == 16
    assert tracemalloc.get_traced_memory()[1] < 1e6
    tracemalloc.stop()


def test_the_limit_in_bytes_is_adjustable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.bmp"
    Image.new("RGB", (600, 600)).save(path)  # 1.08 MB
    monkeypatch.setenv("TRIPTYCH_MAX_MEGABYTES", "1")
    with pytest.raises(ImageError, match="1 MB, expected at most 1; scale it down"):
        read_image(path)
    monkeypatch.setenv("TRIPTYCH_MAX_MEGABYTES", "1.1")
    assert read_image(path).size == (600, 600)


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    for name, shade in (("a.png", 0), ("b.png", 0), ("c.png", 9)):
        Image.new("RGB", (9, 9), (shade, 0, 0)).save(tmp_path / name)
    a, b, c = (content_digest(tmp_path / name) for name in ("a.png", "b.png", "c.png"))
    assert a == b != c
    (tmp_path / "d").write_text("one")
    (tmp_path / "e").write_text("two")
    assert content_digest(tmp_path / "d") != content_digest(tmp_path / "e")


NAMES = [b"caf\xe9.png", b"a\x1b[31mred.png", b"line\nbreak.png"]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_any_name_is_named_safely(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)
    try:
        Path(os.fsdecode(path)).write_bytes(b"no photo")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    (read,) = read_photos([os.fsdecode(path)], Preprocessing())
    assert read.error.encode().decode().isprintable()
    assert read.error.startswith(f"{read.name}: not an image")


def test_a_lone_surrogate_is_named_and_others_go_on() -> None:
    bad, good = read_photos(["\ud800.jpg", np.zeros((9, 9), np.uint8)], Preprocessing())
    assert bad.error.startswith("\\ud800.jpg: ")
    assert "expected an image file" in bad.error
    assert good.pixels.shape == (84, 84, 3)


def test_a_locked_photo_is_unreadable_and_no_other_file() -> None:
    with open_place() as place:
        path = place / "locked.png"
        Image.new("RGB", (9, 9)).save(path)
        path.chmod(0)
        with as_nobody():
            (read,) = read_photos([path], Preprocessing())
            assert read.error == f"{path}: Permission denied; expected an image file"
            assert read.is_image
            assert is_image(path)
            assert len(content_digest(path)) == 16


@pytest.mark.parametrize("value", [0, True, b"x.jpg", None, 1.5])
def test_what_is_no_path_is_refused(value: Any) -> None:
    for call in (check_photo, is_image, check_photo_folder, walk, files_below, list_folder):
        with pytest.raises(ValueError, match=f"expected a path, got {type(value).__name__}"):
            call(value)


def test_a_path_may_be_a_text(tmp_path: Path) -> None:
    (tmp_path / "ant").mkdir()
    (tmp_path / "ant" / "1.jpg").touch()
    assert walk(str(tmp_path)).files == walk(tmp_path).files == tuple(files_below(str(tmp_path)))
    assert list_folder(str(tmp_path)).sources == [tmp_path / "ant" / "1.jpg"]
