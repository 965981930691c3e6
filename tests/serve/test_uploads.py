"""Uploads of all kinds: each is added and there for good, or refused with a reason, and never harms the service."""

import io
import struct
import zlib
from collections.abc import Iterator

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from photos import photo
from PIL import Image, ImageOps
from served import running
from shelved import png

from triptych import load_method
from triptych.data import NamedBytes
from triptych.data.same import pixel_id
from triptych.serve.client import Client, ServiceError
from triptych.serve.settings import Settings

ONCE = hypothesis.settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory, method_file: str) -> Iterator[tuple[Client, str]]:
    data = tmp_path_factory.mktemp("uploads")
    with running(data, method_file, Settings(changes_per_second=1e5)) as service, Client(service.address) as client:
        id = client.create_shelf("fruit", keep_photos=True)["id"]
        client.create_class(id, "apple")
        yield client, id


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def added(client: Client, id: str, data: bytes, name: str = "x") -> bool:
    """Whether a photo is on the shelf now; else it was refused as a photo, not as a failure."""
    try:
        told = client.add_photos(id, "apple", [NamedBytes(data, name)])
    except ServiceError as error:
        if error.status not in {413, 415, 422}:
            raise
        return False
    [photo_id] = told["added"] + told["already"]
    assert photo_id in {one["id"] for one in client.shelf(id)["classes"][0]["photos"]}
    return True


@pytest.mark.slow
@ONCE
@hypothesis.given(st.integers(0, 2000))
def test_a_truncated_photo(shelf: tuple[Client, str], length: int) -> None:
    whole = png(0, 0).data
    added(*shelf, whole[: min(length, len(whole) - 20)])


@pytest.mark.slow
@ONCE
@hypothesis.given(st.integers(0, 1500), st.binary(min_size=1, max_size=8))
def test_a_photo_with_other_bytes_in_it(shelf: tuple[Client, str], at: int, other: bytes) -> None:
    whole = bytearray(encoded(photo(0, 0, 24), "JPEG"))
    whole[at % len(whole) : at % len(whole) + len(other)] = other
    added(*shelf, bytes(whole))


@pytest.mark.slow
@ONCE
@hypothesis.given(
    st.binary(max_size=300), st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM"])
)
def test_what_only_begins_as_a_photo(shelf: tuple[Client, str], data: bytes, beginning: bytes) -> None:
    added(*shelf, beginning + data)


@pytest.mark.slow
@ONCE
@hypothesis.given(st.text(max_size=300))
def test_any_file_name(shelf: tuple[Client, str], name: str) -> None:
    assert added(*shelf, png(0, 1).data, name)


def test_nothing_is_no_photo(shelf: tuple[Client, str]) -> None:
    assert not added(*shelf, b"")


def test_a_small_file_of_huge_dimensions(shelf: tuple[Client, str]) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(10_000))) + chunk(b"IEND", b"")
    )
    assert not added(*shelf, bomb)


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_turned_photo_is_learnt_upright(shelf: tuple[Client, str], turn: int, method_file: str) -> None:
    client, id = shelf
    image = Image.fromarray(np.arange(48 * 64 * 3, dtype=np.uint32).astype(np.uint8).reshape(48, 64, 3))
    image.getexif()[0x0112] = turn
    upright = np.asarray(ImageOps.exif_transpose(image))
    assert added(client, id, encoded(image, "PNG", exif=image.getexif()))
    expected = pixel_id(load_method(method_file).preprocess.pixels(upright))
    assert expected in {one["id"] for one in client.shelf(id)["classes"][0]["photos"]}


def test_of_an_animation_the_first_picture_counts(shelf: tuple[Client, str]) -> None:
    frames = [photo(kind, 50, 24) for kind in range(3)]
    assert added(*shelf, encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_every_kind_of_pixels(shelf: tuple[Client, str], mode: str) -> None:
    image = Image.fromarray(np.arange(576, dtype=np.uint16).reshape(24, 24)) if mode == "I;16" else photo(1, 60, 24)
    assert added(*shelf, encoded(image if mode == "I;16" else image.convert(mode), "PNG"))
