"""Bounds on what is decoded at once: for one photo, and for all threads together."""

import io
import struct
import subprocess
import sys
import textwrap
import threading
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.data import ImageError, Limits, read_image
from triptych.data.limits import Memory, current_limits
from triptych.data.sizes import decoding_bytes


def deep_png(width: int, height: int) -> bytes:
    """16-bit grey, of one shade: a small file of many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9)
    row = b"\0" + b"\x80\x00" * width
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width: int, height: int, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def test_a_photo_of_too_many_pixels_is_refused_and_the_limit_is_adjustable(monkeypatch: pytest.MonkeyPatch) -> None:
    data = deep_png(1200, 1000)
    monkeypatch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "1")
    told = (
        r"shop: 1200 x 1000 pixels are 1.2 megapixels, .* at most 1 of this kind \(PNG, I;16\).*TRIPTYCH_MAX_MEGAPIXELS"
    )
    with pytest.raises(ImageError, match=told):
        read_image(data, name="shop")
    monkeypatch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "1.5")
    assert read_image(data).size == (1200, 1000)


def test_a_jpeg_that_is_decoded_small_may_be_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    data = jpeg(2400, 2000)
    monkeypatch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "1")
    assert read_image(data, side=84).size == (600, 500)
    with pytest.raises(ImageError, match=r"4.8 megapixels, expected at most 1 "):
        read_image(data)
    monkeypatch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "0.4")
    with pytest.raises(ImageError, match=r"4.8 megapixels, expected at most 4 "):
        read_image(data, side=84)


def test_a_jpeg_of_several_passes_counts_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "1")
    with pytest.raises(ImageError, match=r"4.8 megapixels, expected at most 1.* of this kind"):
        read_image(jpeg(2400, 2000, progressive=True), side=84)
    assert read_image(jpeg(1000, 800, progressive=True), side=84).size == (500, 400)


def test_a_jpeg_whose_colours_come_one_after_the_other_counts_whole() -> None:
    data = bytearray(jpeg(800, 600))
    image = Image.open(io.BytesIO(data))
    plain = decoding_bytes(image, image.size, 0)
    place = data.index(b"\xff\xda") + 4
    assert data[place] == 3
    data[place] = 1  # as an encoder writes it that keeps its colours apart
    image = Image.open(io.BytesIO(data))
    assert decoding_bytes(image, image.size, 0) == plain + 800 * 600 * 6


def test_formats_that_need_more_memory_may_have_fewer_pixels() -> None:
    image = Image.new("RGB", (100, 100))
    plain = decoding_bytes(image, image.size, 0)
    image.format = "WEBP"
    assert decoding_bytes(image, image.size, 7) > 2 * plain


@pytest.mark.parametrize("text", ["none", "0", "-1", "nan", "inf", "1e999", "1e308"])
@pytest.mark.parametrize("variable", ["TRIPTYCH_MAX_MEGAPIXELS", "TRIPTYCH_MAX_MEGABYTES"])
def test_a_limit_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ValueError, match=f"{variable} is '{text}'; expected a number above 0"):
        current_limits()


def test_without_a_setting_the_limits_are_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_MAX_MEGABYTES", " ")
    assert current_limits() == Limits()
    assert Limits().memory == 480_000_000


def test_threads_wait_for_memory_that_others_hold() -> None:
    memory, most, held, highest = Memory(), 10, 0, 0
    lock = threading.Lock()

    def work(amount: int) -> None:
        nonlocal held, highest
        with memory.holding(amount, most):
            with lock:
                held += amount
                highest = max(highest, held)
            time.sleep(0.01)
            with lock:
                held -= amount

    threads = [threading.Thread(target=work, args=(amount,)) for amount in [4, 4, 4, 6, 10, 1, 3, 99]]
    for thread in threads[:-1]:
        thread.start()
    for thread in threads[:-1]:
        thread.join(timeout=10)
    assert highest <= most
    threads[-1].start()  # more than there is comes alone, and does not wait for ever
    threads[-1].join(timeout=10)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_threads_together_stay_within_the_memory(tmp_path: Path) -> None:
    """Four bombs of 12 megapixels in 16 bits, with a limit of 15: about 90 MB each, one at a time."""
    for number in range(4):
        (tmp_path / f"{number}.png").write_bytes(deep_png(4000, 3000))
    program = """
        import sys
        from triptych.data import Photo, Preprocessing, read_photos
        from triptych.data import photos

        def peak():
            return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) / 1e3

        photos.os.cpu_count = lambda: 4
        list(read_photos(sys.argv[1:2], Preprocessing(16)))
        one = peak()
        assert all(isinstance(photo, Photo) for photo in read_photos(sys.argv[1:], Preprocessing(16)))
        print(peak() - one)
    """
    files = sorted(map(str, tmp_path.iterdir()))
    environment = {"TRIPTYCH_MAX_MEGAPIXELS": "15", "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-c", textwrap.dedent(program), *files]
    printed = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert printed.returncode == 0, printed.stderr
    assert float(printed.stdout) < 130  # MB above the peak of a single one; four at once take 270 and more


def test_large_images_are_converted_in_strips_to_the_same_pixels() -> None:
    from triptych.data import colours

    values = np.random.default_rng(0).integers(0, 256, (60, 70, 4), dtype=np.uint8)
    deep = np.linspace(0, 65535, 60 * 70).reshape(60, 70).astype(np.uint16)
    floats = Image.fromarray(np.linspace(0, 200, 60 * 70, dtype=np.float32).reshape(60, 70))
    images = [Image.fromarray(values), Image.fromarray(deep), floats, Image.fromarray(values).convert("LA")]
    whole = [colours.to_rgb(image).tobytes() for image in images]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(colours, "_STRIP", 500)
        assert [colours.to_rgb(image).tobytes() for image in images] == whole


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    """Each scan goes over all pixels: a megabyte of almost empty ones would take hours."""
    data = jpeg(300, 200, progressive=True)
    last = data.rindex(b"\xff\xda")
    assert read_image(data).size == (300, 200)
    with pytest.raises(ImageError, match=r"shop: damaged image \(\d+ scans, expected at most 100\)"):
        read_image(data[:last] + data[last:-2] * 200 + b"\xff\xd9", name="shop")


def test_an_array_of_too_many_pixels_is_refused_before_it_is_copied() -> None:
    giant = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (100_000, 100_000, 3))
    with pytest.raises(ImageError, match=r"\(100000, 100000, 3\): expected at most 60 megapixels"):
        read_image(giant)
