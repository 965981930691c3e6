"""The threaded decoder: photos in order, errors in their place, and files that are no images apart."""

import warnings
from pathlib import Path
from threading import Event, Thread

import numpy as np
import pytest
from PIL import Image

from triptych.data import ImageError, NamedBytes, Photo, Preprocessing, Unreadable, read_class_photos, read_photos
from triptych.data.photos import left_out_warnings
from triptych.data.same import pixel_id


def png(path: Path, shade: int) -> Path:
    Image.new("RGB", (20, 10), (shade, 0, 0)).save(path)
    return path


def test_photos_keep_their_order_and_errors_their_place(tmp_path: Path) -> None:
    sources: list = [png(tmp_path / f"{shade}.png", shade) for shade in range(70)]
    sources[7] = tmp_path / "absent.png"
    sources[9] = np.full((9, 9, 3), 9, np.uint8)
    sources[11] = NamedBytes((tmp_path / "11.png").read_bytes(), "table:11")
    read = list(read_photos(iter(sources), Preprocessing(8)))
    assert isinstance(read[7], Unreadable)
    assert read[7].error == f"{tmp_path / 'absent.png'}: No such file or directory; expected an image file"
    assert [photo.pixels[0, 0, 0] for photo in read if isinstance(photo, Photo)] == [*range(7), *range(8, 70)]
    assert all(photo.id == pixel_id(photo.pixels) for photo in read if isinstance(photo, Photo))
    assert read[11].name == "table:11"


def test_an_array_that_its_owner_changes_is_read_as_it_came() -> None:
    scratch = np.zeros((9, 9, 3), np.uint8)

    def frames():
        for shade in range(5):
            scratch[:] = shade
            yield scratch

    assert [photo.pixels[0, 0, 0] for photo in read_photos(frames(), Preprocessing(4))] == [0, 1, 2, 3, 4]


def test_a_single_path_is_not_read_letter_by_letter(tmp_path: Path) -> None:
    for one in (str(tmp_path / "x.jpg"), tmp_path / "x.jpg", b"x"):
        with pytest.raises(ValueError, match=r"expected a sequence of images, got a single .*; wrap it in a list"):
            list(read_photos(one, Preprocessing()))  # type: ignore[arg-type]


def test_photos_of_any_shape_are_read_with_keep() -> None:
    wide, tall = read_photos([np.zeros((30, 60), np.uint8), np.zeros((60, 30), np.uint8)], Preprocessing(32, "keep"))
    assert (wide.pixels.shape, tall.pixels.shape) == ((32, 64, 3), (64, 32, 3))
    assert wide.id != tall.id


def test_a_generator_that_is_left_waits_for_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The garbage collector may close it within the lock under which threads begin and end."""
    goes_on, read = Event(), Preprocessing.pixels
    first = np.zeros((9, 9, 3), np.uint8)

    def waiting(preprocessing: Preprocessing, source: object) -> np.ndarray:
        assert source is first or goes_on.wait(60)
        return read(preprocessing, source)

    monkeypatch.setattr(Preprocessing, "pixels", waiting)
    photos = read_photos([first, *[png(tmp_path / f"{shade}.png", shade) for shade in range(70)]], Preprocessing(4))
    assert isinstance(next(photos), Photo)
    leaving = Thread(target=photos.close, daemon=True)
    leaving.start()
    leaving.join(30)
    left = not leaving.is_alive()
    goes_on.set()
    assert left


def test_files_that_are_no_images_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("# My photos")
    (tmp_path / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    sources = [png(tmp_path / "1.png", 1), tmp_path / "README.md", tmp_path / "cut.png"]
    with pytest.warns(UserWarning, match="skipped 1 unreadable photo:\n|left out 1 file") as caught:
        assert len(list(read_class_photos(sources, ["a"] * 3, Preprocessing()))) == 1
    broken, others = (str(one.message) for one in caught)
    assert "cut.png: damaged image" in broken.splitlines()[1]
    assert others == f"left out 1 file that is no image: {tmp_path / 'README.md'}"


def test_what_is_said_of_many_is_short() -> None:
    lost = [Unreadable(f"{i}", f"{i}: bad") for i in range(50)] + [Unreadable(f"t{i}", "", False) for i in range(9)]
    broken, others = left_out_warnings(lost)
    lines = broken.splitlines()
    assert (len(lines), lines[0], lines[-1]) == (22, "skipped 50 unreadable photos:", "  and 30 more")
    assert others == "left out 9 files that are no image: t0, t1, t2, ..."
    assert left_out_warnings([]) == []


def test_a_class_without_a_readable_photo_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a text")
    (tmp_path / "b.png").touch()
    sources = [png(tmp_path / "1.png", 1), tmp_path / "a.txt", tmp_path / "b.png"]
    with pytest.raises(
        ImageError, match=r"class 'y': none of its photos can be read \(2\); the first: .*b.png: the fil"
    ):
        list(read_class_photos(sources, ["x", "y", "y"], Preprocessing()))


def test_all_readable_is_no_news(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(read_class_photos([png(tmp_path / "1.png", 1)], ["x"], Preprocessing()))) == 1
