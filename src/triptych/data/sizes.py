"""How much memory the decoding of an image takes, told from its header."""

import io
from io import BufferedIOBase

from PIL import Image

from triptych.data.errors import ImageError
from triptych.data.limits import BYTES_PER_PIXEL, Limits

__all__ = ["decoding_bytes", "refuse_endless_scans", "refuse_too_large"]

_SCAN, _CHUNK = b"\xff\xda", 1 << 20
_REDUCED = 10  # times as many pixels as others may a JPEG have that is decoded at a reduced scale

# Bytes a pixel at most, as measured; of the others the image itself and a copy in RGB or upright are the most.
_AT_MOST = {"WEBP": 18, "AVIF": 13, "HEIF": 12, "JPEG2000": 20, "TIFF": 12, "QOI": 12}
_READ_WHOLE = {"WEBP", "AVIF", "HEIF"}
_MOST_SCANS = 100  # of a JPEG; encoders write about ten


def decoding_bytes(image: Image.Image, full: tuple[int, int], length: int) -> int:
    """Bytes that decoding an image takes, until it is RGB and upright.

    Args:
        image: with its header read, and reduced as it will be decoded.
        full: its size before.
        length: of its encoded bytes.
    """
    kind = image.format or ""
    pixels = image.size[0] * image.size[1]
    each = BYTES_PER_PIXEL if (kind, image.mode) == ("HEIF", "RGB") else _AT_MOST.get(kind, BYTES_PER_PIXEL)
    needed = pixels * each + (length if kind in _READ_WHOLE else 0)
    if kind == "JPEG" and not _in_one_pass(image):
        needed += full[0] * full[1] * 2 * len(image.getbands())  # the coefficients of the whole image
    return needed


def refuse_too_large(image: Image.Image, full: tuple[int, int], needed: int, limits: Limits, name: str) -> None:
    """Raise ImageError where an image needs more memory than all threads together may take."""
    pixels = full[0] * full[1] / 1e6
    most = min(pixels * limits.memory / needed, limits.megapixels * _REDUCED)
    if pixels > most:
        raise ImageError(
            f"{name}: {full[0]} x {full[1]} pixels are {pixels:.3g} megapixels, expected at most {most:.3g} of this "
            f"kind ({image.format or 'image'}, {image.mode}); scale it down, or set TRIPTYCH_MAX_MEGAPIXELS, "
            f"which is {limits.megapixels:g}, higher"
        )


def refuse_endless_scans(image: Image.Image, name: str) -> None:
    """Raise ImageError for a JPEG of very many scans: each goes over all pixels, however little it holds."""
    file: BufferedIOBase | None = getattr(image, "fp", None)
    if image.format != "JPEG" or not image.info.get("progressive") or file is None:
        return
    place = file.tell()
    try:
        file.seek(0)
        scans, last = 0, b""
        while part := file.read(_CHUNK):
            scans += part.count(_SCAN) + (last + part[:1] == _SCAN)  # no other two bytes of a scan are these
            last = part[-1:]
    finally:
        file.seek(place)
    if scans > _MOST_SCANS:
        raise ImageError(f"{name}: damaged image ({scans} scans, expected at most {_MOST_SCANS}); save it anew")


def _in_one_pass(image: Image.Image) -> bool:
    """Whether a JPEG comes row by row; others are kept as coefficients until all of it is read."""
    if image.info.get("progressive"):
        return False
    file: BufferedIOBase | None = getattr(image, "fp", None)
    if file is None:
        return True  # decoded already
    place = file.tell()
    try:
        file.seek(2)
        return _components_of_first_scan(file) == len(image.getbands())
    finally:
        file.seek(place)


def _components_of_first_scan(file: BufferedIOBase) -> int:
    """How many colours the first scan of a JPEG holds; 0 where there is none."""
    while len(start := file.read(2)) == 2:
        if start[0] != 0xFF:
            return 0
        if start[1] == 0xFF:  # a byte of filling
            file.seek(-1, io.SEEK_CUR)
            continue
        head = file.read(2)
        if start[1] == 0xDA:
            return int.from_bytes(file.read(1))
        file.seek(max(0, int.from_bytes(head) - 2), io.SEEK_CUR)
    return 0
