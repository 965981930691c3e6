"""One photo: from a file, bytes, a PIL image or an array to what a person sees, upright and in RGB."""

import io
from os import PathLike
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import ExifTags, Image

__all__ = ["ImageError", "ImageSource", "read_bytes", "read_image", "source_name", "squash"]

ImageSource: TypeAlias = "str | PathLike[str] | bytes | Image.Image | np.ndarray"

# Decoding a JPEG at a reduced scale is several times faster; at four times the final side no detail is lost.
_OVERSAMPLING = 4

_UPRIGHT = {  # what undoes each EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A photo that cannot be read. The message names it and says why.

    >>> from triptych import ImageError
    >>> issubclass(ImageError, ValueError)
    True
    """


def read_image(source: ImageSource, side: int | None = None, name: str | None = None) -> Image.Image:
    """Return the photo as an upright RGB image, as a person sees it.

    EXIF rotation is applied; transparency is laid on white; greyscale, palette, CMYK and 16-bit photos are
    converted to 8-bit RGB.

    Args:
        source: a path, encoded bytes, a PIL image, or a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).
        side: the side in pixels that the caller will scale the photo to; lets a large JPEG decode faster.
        name: how an error names the photo; by default its path or a description.

    Raises:
        ImageError: the photo is missing, empty, truncated, no image, or too large to be decoded safely.

    >>> import numpy as np
    >>> from triptych.data import read_image
    >>> read_image(np.zeros((48, 64), np.uint8)).size
    (64, 48)
    >>> read_image(b"GIF89a")
    Traceback (most recent call last):
    triptych.data.images.ImageError: 6 bytes: not an image that Pillow can read; replace or remove it
    """
    described = source_name(source)  # refuses what is no photo, also where the caller gives a name
    name = name or described
    if isinstance(source, Image.Image):
        image = source
    elif isinstance(source, np.ndarray):
        image = _from_array(source, name)
    else:
        image = _open(source if isinstance(source, bytes) else read_bytes(source), name)
    try:
        # Only what was opened here: draft() would shrink the caller's own image for good.
        if side is not None and image is not source and image.format == "JPEG":
            image.draft(None, (side * _OVERSAMPLING, side * _OVERSAMPLING))
        return _to_rgb(_upright(image))
    except Exception as error:  # a decoder fed a damaged file may raise anything
        raise ImageError(f"{name}: damaged image ({error}); replace or remove the file") from error


def squash(image: Image.Image, side: int) -> Image.Image:
    """Scale to (side, side) bilinearly, whatever the aspect ratio, as the papers' test images are.

    >>> from PIL import Image
    >>> from triptych.data import squash
    >>> squash(Image.new("RGB", (64, 48)), 84).size
    (84, 84)
    """
    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BILINEAR)


def read_bytes(path: str | PathLike[str]) -> bytes:
    """Read a photo's file; an ImageError names it and says why it cannot be read."""
    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise ImageError(f"{path}: {reason}; expected an image file") from error
    if not data:
        raise ImageError(f"{path}: the file is empty (0 bytes); replace or remove it")
    return data


def source_name(source: ImageSource) -> str:
    """How messages name a photo."""
    if isinstance(source, str | PathLike):
        return str(source)
    if isinstance(source, Image.Image):
        return getattr(source, "filename", "") or f"PIL image {source.size[0]}x{source.size[1]}"
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}"
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    raise ImageError(
        f"expected a path, bytes, a PIL image or a uint8 array, got {type(source).__name__}: {source!r:.80}"
    )


def _open(data: bytes, name: str) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
    except Image.UnidentifiedImageError as error:
        raise ImageError(f"{name}: not an image that Pillow can read; replace or remove it") from error
    except Image.DecompressionBombError as error:
        raise ImageError(f"{name}: too large to be decoded safely ({error}); scale it down or remove it") from error
    except Exception as error:  # a decoder fed a damaged file may raise anything
        raise ImageError(f"{name}: damaged image ({error}); replace or remove the file") from error
    if image.format == "EPS":  # whatever the file is called: Pillow would run a program to draw it
        raise ImageError(f"{name}: PostScript, which is a program and no photo; convert or remove it")
    return image


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.dtype != np.uint8 or array.size == 0 or not (array.ndim == 2 or array.shape[2:] in {(3,), (4,)}):
        raise ImageError(f"{name}, dtype {array.dtype}: expected a uint8 array of shape (h, w), (h, w, 3) or (h, w, 4)")
    return Image.fromarray(np.ascontiguousarray(array))


def _upright(image: Image.Image) -> Image.Image:
    """The photo as it was held. Only this tag is read: others may be broken where the photo is not."""
    image.load()  # a PNG's tags may come after its pixels
    try:
        turn = _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # what is no list of tags at all may raise anything
        return image
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        return _from_deep(image).convert("RGB")
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "La", "RGBa"}:
        image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image).convert("RGB")
    return image.convert("RGB")


def _from_deep(image: Image.Image) -> Image.Image:
    """16-bit, 32-bit and floating-point greyscale to 8 bits. PIL's own conversion clips instead of scaling."""
    values = np.asarray(image, dtype=np.float64)
    values = np.where(np.isfinite(values), values, 0)  # NaN and infinity mark missing pixels, and spoil the scale
    peak = values.max(initial=0)
    full_scale = 1.0 if peak <= 1 and image.mode == "F" else 255.0 if peak <= 255 and image.mode == "F" else 65535.0
    return Image.fromarray(np.clip(values * (255.0 / full_scale), 0, 255).round().astype(np.uint8))
