"""The first bytes say what a file is, and nothing else is tried."""

import io

import pytest
from PIL import Image

from triptych.data.formats import FIRST_BYTES, FORMATS, image_format


def encode(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (20, 10), "red").save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("GIF", "GIF"),
        ("WEBP", "WebP"),
        ("TIFF", "TIFF"),
        ("BMP", "BMP"),
        ("JPEG2000", "JPEG 2000"),
        ("PPM", "PPM"),
        ("QOI", "QOI"),
        ("TGA", "TGA"),
        ("AVIF", "AVIF"),
        ("EPS", "PostScript"),
    ],
)
def test_images_are_recognised(kind: str, expected: str) -> None:
    assert image_format(encode(kind)[:FIRST_BYTES]) == expected


FILM = b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41" + bytes(40)
MPEG = b"\0\0\1\xba\x44\0\4\0\4\1" + bytes(50)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff",
        b"path,label\n1.png,a\n",
        b"BMW is a text",
        b"Photos of 2024",
        b"PK\3\4" + bytes(60),
        b"%PDF-1.7\n" + bytes(60),
        b"\x89HDF\r\n\x1a\n" + bytes(60),
        b"RIFF\0\0\0\0AVI LIST" + bytes(50),
        FILM,
        MPEG,
        b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(40),
        bytes(64),
        b"\xff" * 64,
        b"\0\0\1\0\1\0\x10\x10" + bytes(56),
    ],
    ids=repr,
)
def test_what_is_no_image_is_not_taken_for_one(head: bytes) -> None:
    assert image_format(head) is None


@pytest.mark.parametrize(
    ("brands", "expected"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIC"),
        (b"heix\0\0\0\0mif1", "HEIC"),
        (b"mif1\0\0\0\0mif1heic", "HEIC"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"avis\0\0\0\0msf1", "AVIF"),
    ],
)
def test_the_brands_tell_photos_from_films(brands: bytes, expected: str) -> None:
    head = (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands
    assert image_format(head + bytes(30)) == expected
    assert expected in FORMATS
