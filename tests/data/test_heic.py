"""HEIC, what iPhones take, with the library that decodes it and without."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.data import ImageError, Preprocessing, read_image, read_photos
from triptych.system.extras import how_to_install

HEAD = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def test_without_the_library_the_message_says_how_to_install_it(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)  # what Python itself does for a module it must not find
    (tmp_path / "IMG_1.HEIC").write_bytes(HEAD)
    (read,) = read_photos([tmp_path / "IMG_1.HEIC"], Preprocessing())
    assert read.error.endswith("IMG_1.HEIC: HEIC, which needs a further library; " + how_to_install("heic"))
    assert read.is_image  # it is a photo, which was not read


def encoded(photo: Image.Image, **options: object) -> bytes:
    library = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    library.from_pillow(photo).save(buffer, quality=90, **options)
    return buffer.getvalue()


def test_a_photo_is_read(tmp_path: Path) -> None:
    rows, columns = np.mgrid[:60, :80]
    pixels = np.stack([rows * 4, columns * 3, rows + columns], axis=2).astype(np.uint8)
    data = encoded(Image.fromarray(pixels))
    image = read_image(data)
    assert (image.mode, image.size) == ("RGB", (80, 60))
    assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 4
    (tmp_path / "photo.jpg").write_bytes(data)  # the name does not count
    assert read_image(tmp_path / "photo.jpg").tobytes() == image.tobytes()


def test_a_photo_comes_out_upright() -> None:
    scene = Image.new("RGB", (80, 40), "red")
    scene.paste("blue", (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(encoded(scene, exif=exif.tobytes()))
    assert image.size == (40, 80)
    assert image.getpixel((20, 10))[2] > 200 > image.getpixel((20, 70))[2]


def test_half_a_photo_is_damaged() -> None:
    data = encoded(Image.new("RGB", (80, 40), "red"))
    with pytest.raises(ImageError, match="shop: damaged image"):
        read_image(data[: len(data) // 2], name="shop")
