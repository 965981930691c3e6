"""Which image a file is by its first bytes, and what of Pillow decodes it.

A file is never tried with all that Pillow knows: the first bytes choose one decoder, and what no decoder is
listed for is no image. So nothing is read, or run, only to find out what it is.
"""

from importlib import import_module
from io import BufferedIOBase

from PIL import Image, features

from triptych.system.extras import how_to_install

__all__ = ["FIRST_BYTES", "FORMATS", "MissingDecoderError", "image_format", "open_format"]

FIRST_BYTES = 64  # that ``image_format`` looks at

_PLUGINS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "JPEG 2000": ("PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile"),
    "PPM": ("PIL.PpmImagePlugin", "PpmImageFile"),
    "QOI": ("PIL.QoiImagePlugin", "QoiImageFile"),
    "TGA": ("PIL.TgaImagePlugin", "TgaImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pillow_heif", "HeifImageFile"),
}
FORMATS = tuple(_PLUGINS)

_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\0\0\0\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"qoif": "QOI",
    b"%!PS": "PostScript",
    b"\xc5\xd0\xd3\xc6": "PostScript",
}
_BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}  # bytes of the kinds of header that follow the first 14
_PPM = {b"P1", b"P2", b"P3", b"P4", b"P5", b"P6", b"Pf", b"PF"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
_AVIF_BRANDS = {b"avif", b"avis"}


class MissingDecoderError(ImportError):
    """An image whose decoder is not installed; the message says how to install it."""


def image_format(head: bytes) -> str | None:
    """What the first bytes of a file are the beginning of: one of ``FORMATS``, "PostScript", or None for no image.

    >>> image_format(b"GIF89a"), image_format(b"# My photos"), image_format(b"%!PS-Adobe-3.0 EPSF-3.0")
    ('GIF', None, 'PostScript')
    """
    for beginning, name in _BEGINNINGS.items():
        if head.startswith(beginning):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[:2] in _PPM and head[2:3].isspace():
        return "PPM"
    if head[4:8] == b"ftyp":
        return _format_by_brand(head)
    return "TGA" if _is_tga(head) else None


def open_format(file: BufferedIOBase, name: str) -> Image.Image:
    """Read an image's header; its pixels are read by ``load``.

    Pillow's own limit of pixels does not apply: it would refuse a large JPEG that is decoded at a reduced scale.

    Args:
        file: at its beginning.
        name: one of ``FORMATS``.

    Raises:
        MissingDecoderError: it needs a library that is not installed.
        Exception: of any kind, where the header is damaged.
    """
    if name == "AVIF" and not features.check("avif"):
        raise MissingDecoderError("AVIF, which the installed Pillow cannot read; pip install --upgrade pillow")
    module, plugin = _PLUGINS[name]
    try:
        opener = getattr(import_module(module), plugin)
    except ImportError as error:
        raise MissingDecoderError(f"{name}, which needs a further library; {how_to_install('heic')}") from error
    return opener(file)


def _format_by_brand(head: bytes) -> str | None:
    """AVIF, HEIC, or None for a film: all begin alike, and their brands tell them apart."""
    size = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[start : start + 4] for start in range(16, size - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


def _is_tga(head: bytes) -> bool:
    """TGA has no sign at its beginning; but few other files have such a header."""
    if len(head) < 18:
        return False
    has_map, kind, depth = head[1], head[2], head[16]
    fits = kind in {1, 9} if has_map == 1 else has_map == 0 and kind in {2, 3, 10, 11} and not any(head[3:8])
    return fits and depth in {8, 16, 24, 32} and head[17] < 0x40 and any(head[12:14]) and any(head[14:16])
