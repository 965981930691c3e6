"""Reading one photo: what a person sees comes out, and what cannot be read is refused with a mend."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.data import ImageError, read_image, squash
from triptych.data.images import source_name

RED, GREEN, BLUE, YELLOW = (250, 10, 10), (10, 200, 10), (10, 10, 230), (230, 230, 10)
WHITE = (255, 255, 255)


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(height: int = 64, width: int = 80) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def four_corners(height: int = 64, width: int = 96) -> np.ndarray:
    scene = np.empty((height, width, 3), np.uint8)
    scene[: height // 2, : width // 2] = RED
    scene[: height // 2, width // 2 :] = GREEN
    scene[height // 2 :, : width // 2] = BLUE
    scene[height // 2 :, width // 2 :] = YELLOW
    return scene


def assert_close(image: Image.Image, expected: np.ndarray, tolerance: int) -> None:
    assert image.mode == "RGB"
    values = np.asarray(image).astype(int)
    assert values.shape == expected.shape
    assert np.abs(values - expected).max() <= tolerance


# What comes out.


def test_an_rgb_png_keeps_every_pixel():
    photo = noise()
    assert_close(read_image(encode(photo, "PNG")), np.asarray(photo), 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_greyscale_has_three_equal_channels(kind):
    grey = noise().convert("L")
    assert_close(read_image(encode(grey, kind)), np.asarray(grey)[..., None].repeat(3, axis=2), 0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_one_bit_images_are_black_and_white(kind):
    bits = np.random.default_rng(0).random((16, 24)) < 0.5
    expected = (bits * 255)[..., None].repeat(3, axis=2)
    assert_close(read_image(encode(Image.fromarray(bits), kind)), expected, 0)


def palette_image() -> Image.Image:
    image = Image.new("P", (3, 1))
    image.putpalette([*RED, *GREEN, *BLUE])
    image.putdata([0, 1, 2])
    return image


def test_a_palette_is_looked_up():
    assert_close(read_image(encode(palette_image(), "PNG")), np.array([[RED, GREEN, BLUE]]), 0)


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_the_transparent_colour_of_a_palette_becomes_white(kind):
    data = encode(palette_image(), kind, transparency=1)
    assert_close(read_image(data), np.array([[RED, WHITE, BLUE]]), 0)


def test_a_palette_with_an_alpha_for_each_colour_is_laid_on_white():
    data = encode(palette_image(), "PNG", transparency=bytes([255, 0, 128]))
    assert_close(read_image(data), np.array([[RED, WHITE, (132, 132, 242)]]), 1)


def test_rgba_is_laid_on_white():
    values = np.array([[[*RED, 255], [*RED, 0], [200, 0, 100, 51]]], np.uint8)
    data = encode(Image.fromarray(values), "PNG")
    assert_close(read_image(data), np.array([[RED, WHITE, (244, 204, 224)]]), 1)


def test_grey_with_alpha_is_laid_on_white():
    image = Image.new("LA", (3, 1))
    image.putdata([(40, 255), (40, 0), (0, 51)])
    expected = np.array([[[40] * 3, [255] * 3, [204] * 3]])
    assert_close(read_image(encode(image, "PNG")), expected, 1)


def test_grey_with_premultiplied_alpha_is_laid_on_white():
    grey = Image.merge("LA", (Image.new("L", (20, 20), 100), Image.new("L", (20, 20), 0)))
    assert_close(read_image(grey.convert("La")), np.full((20, 20, 3), 255), 0)


def test_the_transparent_colour_of_an_rgb_png_becomes_white():
    image = Image.fromarray(np.array([[RED, GREEN, BLUE]], np.uint8))
    data = encode(image, "PNG", transparency=GREEN)
    assert_close(read_image(data), np.array([[RED, WHITE, BLUE]]), 0)


def test_the_transparent_shade_of_a_greyscale_png_becomes_white():
    image = Image.fromarray(np.array([[0, 90, 200]], np.uint8))
    expected = np.array([[[0] * 3, [255] * 3, [200] * 3]])
    assert_close(read_image(encode(image, "PNG", transparency=90)), expected, 0)


def test_a_cmyk_jpeg_has_the_colours_of_its_inks():
    inks = {(0, 255, 255, 0): (255, 0, 0), (255, 0, 0, 0): (0, 255, 255), (0, 0, 0, 0): WHITE, (0, 0, 0, 255): (0,) * 3}
    for ink, colour in inks.items():
        data = encode(Image.new("CMYK", (16, 8), ink), "JPEG", quality=95)
        assert Image.open(io.BytesIO(data)).mode == "CMYK"
        assert_close(read_image(data), np.full((8, 16, 3), colour), 6)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("peak", [65535, 20000])
def test_sixteen_bit_greyscale_is_scaled_and_not_clipped(kind, peak):
    deep = np.linspace(0, peak, 32 * 48).reshape(32, 48).astype(np.uint16)
    expected = np.round(deep / 257.0)[..., None].repeat(3, axis=2)
    assert len(np.unique(expected)) > 70  # a clipped picture would have few shades
    assert_close(read_image(encode(Image.fromarray(deep), kind)), expected, 0)


def test_a_big_endian_sixteen_bit_tiff_is_scaled_too():
    deep = np.linspace(0, 65535, 32 * 48).reshape(32, 48).astype(np.uint16)
    image = Image.frombytes("I;16B", (48, 32), deep.astype(">u2").tobytes())
    expected = np.round(deep / 257.0)[..., None].repeat(3, axis=2)
    assert_close(read_image(encode(image, "TIFF")), expected, 0)


@pytest.mark.parametrize("full_scale", [1, 255, 65535])
def test_a_float_tiff_is_scaled_by_its_range(full_scale):
    values = np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48)
    data = encode(Image.fromarray(values * full_scale), "TIFF")
    assert_close(read_image(data), np.round(values * 255.0)[..., None].repeat(3, axis=2), 1)


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_missing_pixels_of_a_float_tiff_are_black_and_leave_the_others(hole):
    values = np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48)
    values[5, 7] = hole
    pixels = np.asarray(read_image(encode(Image.fromarray(values), "TIFF")))
    assert pixels[5, 7].tolist() == [0, 0, 0]
    assert pixels[-1, -1].tolist() == [255, 255, 255]
    assert abs(int(pixels[16, 0, 0]) - 128) <= 1


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_a_float_tiff_without_values_is_damaged(hole):
    with pytest.raises(ImageError, match="damaged image"):
        read_image(encode(Image.fromarray(np.full((32, 48), hole, np.float32)), "TIFF"))


def test_a_palette_image_without_its_palette_is_damaged():
    data = encode(Image.new("P", (8, 8)), "PNG")
    start = data.index(b"PLTE") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    with pytest.raises(ImageError, match="damaged image"):
        read_image(data[:start] + data[end:])


def test_an_animation_shows_its_first_frame():
    frames = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert_close(read_image(data), np.full((8, 8, 3), RED), 2)


# How the camera was held: from the upright scene to what the camera stored, for each EXIF orientation.
STORED = {
    1: lambda scene: scene,
    2: lambda scene: scene[:, ::-1],
    3: lambda scene: scene[::-1, ::-1],
    4: lambda scene: scene[::-1],
    5: lambda scene: scene.swapaxes(0, 1),
    6: lambda scene: np.rot90(scene, 1),
    7: lambda scene: scene[::-1, ::-1].swapaxes(0, 1),
    8: lambda scene: np.rot90(scene, -1),
}


def taken_with(orientation: int, scene: np.ndarray, kind: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](scene)))
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    return encode(stored, kind, exif=exif, **options)


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_a_photo_comes_out_upright(orientation, kind):
    scene = four_corners()
    assert_close(read_image(taken_with(orientation, scene, kind)), scene, 12 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", STORED)
def test_a_large_photo_comes_out_upright_and_reduced(orientation):
    scene = four_corners(720, 960)
    image = read_image(taken_with(orientation, scene), side=84)
    assert image.size == (480, 360)  # the smallest scale of a JPEG decoder that has four times 84 on each side
    assert_close(image, four_corners(360, 480), 12)


def test_the_reduced_decode_looks_like_the_whole_one():
    waves = np.sin(np.arange(1200)[:, None] / 40) * np.cos(np.arange(1600)[None] / 70)
    values = np.stack([waves, -waves, waves**2], axis=2) * 120 + 128
    data = encode(Image.fromarray(values.astype(np.uint8)), "JPEG", quality=92)
    whole, reduced = read_image(data), read_image(data, side=84)
    assert whole.size == (1600, 1200)
    assert reduced.size == (800, 600)
    assert_close(squash(reduced, 84), np.asarray(squash(whole, 84)).astype(int), 4)


def test_a_small_jpeg_is_never_reduced():
    data = encode(noise(300, 300), "JPEG")
    assert read_image(data, side=84).tobytes() == read_image(data).tobytes()


def test_a_damaged_exif_block_does_not_lose_the_photo():
    data = encode(Image.fromarray(four_corners()), "JPEG", subsampling=0, exif=b"Exif\0\0no tags at all")
    assert_close(read_image(data), four_corners(), 12)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_a_block_of_exif_that_is_none_does_not_lose_the_photo(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(Image.fromarray(four_corners()), kind, exif=b"no tags at all", **options)
    assert_close(read_image(data), four_corners(), 12)


@pytest.mark.parametrize("tag", [0x0100, 0x011A])  # the width and the resolution, as text
def test_a_broken_exif_tag_does_not_keep_the_photo_from_being_turned(tag):
    tags = struct.pack("<HHHIHHHHI4sI", 2, 0x0112, 3, 1, 6, 0, tag, 2, 4, b"abc", 0)
    exif = b"Exif\0\0" + struct.pack("<2sHI", b"II", 42, 8) + tags
    stored = Image.fromarray(np.ascontiguousarray(STORED[6](four_corners())))
    data = encode(stored, "JPEG", quality=95, subsampling=0, exif=exif)
    assert_close(read_image(data), four_corners(), 12)


def test_the_callers_own_image_is_left_alone(tmp_path):
    path = tmp_path / "large.jpg"
    path.write_bytes(taken_with(6, four_corners(720, 960)))
    with Image.open(path) as mine:
        assert read_image(mine, side=84).size[0] > 0
        assert mine.size == (720, 960)
        assert mine.getexif()[0x0112] == 6


def test_path_string_bytes_and_pil_image_agree(tmp_path):
    photo = noise()
    path = tmp_path / "photo.png"
    photo.save(path)
    for source in (path, str(path), path.read_bytes(), photo):
        assert_close(read_image(source), np.asarray(photo), 0)


# Arrays.


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3), (1, 1)])
def test_arrays_of_grey_or_rgb_are_taken_as_they_are(shape):
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    expected = np.broadcast_to(values.reshape(*shape[:2], -1), (*shape[:2], 3))
    assert_close(read_image(values), expected, 0)


def test_an_array_with_alpha_is_laid_on_white():
    values = np.array([[[*RED, 255], [*RED, 0]]], np.uint8)
    assert_close(read_image(values), np.array([[RED, WHITE]]), 0)


def test_a_strided_array_is_read_right():
    values = np.asarray(noise())
    assert_close(read_image(values[::2, ::-3]), values[::2, ::-3], 0)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((5,), np.uint8),
        np.zeros((5, 7, 2), np.uint8),
        np.zeros((3, 5, 7), np.uint8),
        np.zeros((2, 5, 7, 3), np.uint8),
        np.zeros((0, 7, 3), np.uint8),
        np.zeros((5, 7, 3), np.float32),
        np.zeros((5, 7, 3), np.int64),
        np.zeros((5, 7), bool),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_other_arrays_are_refused_with_what_came_and_what_was_expected(array):
    with pytest.raises(ImageError, match="expected a uint8 array of shape") as caught:
        read_image(array)
    assert str(array.shape) in str(caught.value)
    assert str(array.dtype) in str(caught.value)


@pytest.mark.parametrize("name", [None, "photo 3"])
@pytest.mark.parametrize("source", [None, 5, ["a.jpg"], np.uint8(3)], ids=repr)
def test_what_is_no_photo_at_all_is_refused(source, name):
    with pytest.raises(ImageError, match=f"expected a path.*got {type(source).__name__}"):
        read_image(source, name=name)


# What cannot be read.


def declared_png(width: int, height: int) -> bytes:
    """A few bytes of PNG that declare as many pixels as one likes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")


def half(data: bytes) -> bytes:
    return data[: len(data) // 2]


UNREADABLE = {
    "zero.jpg": (b"", "empty .*replace or remove"),
    "text.jpg": (b"these are words, and no photo", "not an image .*replace or remove"),
    "cut.jpg": (half(encode(noise(), "JPEG")), "damaged .*replace or remove"),
    "cut.png": (half(encode(noise(), "PNG")), "damaged .*replace or remove"),
    "cut.gif": (half(encode(noise(), "GIF")), "damaged .*replace or remove"),
    "head.png": (declared_png(9, 9)[:20], "replace or remove"),
    "bomb.png": (
        declared_png(30000, 30000),
        "900 megapixels, .*at most 60 .*scale it down, or set TRIPTYCH_MAX",
    ),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_an_unreadable_file_is_named_with_a_mend(name, tmp_path):
    data, mend = UNREADABLE[name]
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ImageError, match=mend) as caught:
        read_image(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("side", [None, 8])
def test_a_truncated_jpeg_is_refused_at_any_scale(side):
    data = encode(noise(400, 400), "JPEG")
    with pytest.raises(ImageError, match=r"^shop window 4: damaged"):
        read_image(half(data), side=side, name="shop window 4")


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "absent.jpg"
    with pytest.raises(ImageError, match=r"No such file.*expected an image file") as caught:
        read_image(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_no_photo(tmp_path):
    with pytest.raises(ImageError, match="Is a directory; expected an image file") as caught:
        read_image(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_path_that_no_file_can_have_is_refused():
    with pytest.raises(ImageError, match="null byte; expected an image file"):
        read_image("photo\0.jpg")


def test_an_image_error_is_a_value_error():
    assert issubclass(ImageError, ValueError)


# Small things.


def test_squash_scales_to_a_square_and_leaves_a_fitting_image():
    photo = noise(40, 60)
    assert squash(photo, 20).tobytes() == photo.resize((20, 20), Image.Resampling.BILINEAR).tobytes()
    square = noise(20, 20)
    assert squash(square, 20) is square


def test_messages_name_every_kind_of_source(tmp_path):
    path = tmp_path / "a.png"
    noise().save(path)
    with Image.open(path) as opened:
        assert source_name(opened) == str(path)
    assert source_name(Path("b.jpg")) == "b.jpg"
    assert source_name(b"abc") == "3 bytes"
    assert source_name(noise()) == "PIL image 80x64"
    assert source_name(np.zeros((2, 3))) == "array of shape (2, 3)"


def test_postscript_is_refused_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "gs"  # what Pillow would run
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # is looked for anew
    Image.new("RGB", (40, 40)).save(tmp_path / "photo.jpg", "EPS")
    with pytest.raises(ImageError, match=r"photo.jpg: PostScript, which is a program"):
        read_image(tmp_path / "photo.jpg", side=84)
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"P6 1e1 2 255\n" + bytes(60), "its PPM data cannot be decoded"),
        (b"P1\n2 2\n0 2 0 1", "its PPM data cannot be decoded"),
        (b"\x89PNG\r\n\x1a\n and no more", "its PNG data cannot be decoded"),
    ],
)
def test_what_is_wrong_with_an_image_is_told_without_the_words_of_its_decoder(data, why):
    with pytest.raises(ImageError) as caught:
        read_image(data, name="x")
    assert str(caught.value) == f"x: damaged image ({why}); replace or remove the file"


def test_an_image_that_ends_too_early_is_told():
    encoded = io.BytesIO()
    Image.effect_noise((90, 90), 60).save(encoded, "JPEG")
    with pytest.raises(ImageError, match=r"x: damaged image \(it ends too early\); replace or remove the file"):
        read_image(encoded.getvalue()[:900], name="x")
