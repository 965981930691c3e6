"""One photo: from a file, bytes, a PIL image or an array to what a person sees, upright and in RGB."""

import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from io import BufferedIOBase
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image, features

from triptych.data.colours import to_rgb, turn_of
from triptych.data.errors import ImageError, NotAnImageError
from triptych.data.files import open_photo, refuse_format
from triptych.data.formats import FIRST_BYTES, MissingDecoderError, image_format, open_format
from triptych.data.limits import current_limits, decoding_memory
from triptych.data.sizes import decoding_bytes, refuse_endless_scans, refuse_too_large
from triptych.system.memory import return_freed_memory
from triptych.system.wording import printable

__all__ = [
    "ImageError",
    "ImageSource",
    "NamedBytes",
    "NotAnImageError",
    "RemotePhoto",
    "decoded",
    "read_image",
    "reading_conditions",
    "source_name",
    "squash",
]

# Decoding a JPEG at a reduced scale is several times faster; at four times the final side no detail is lost.
_OVERSAMPLING = 4
_LARGE = 1 << 26  # bytes, from which giving memory back takes no time to speak of


@dataclass(frozen=True)
class NamedBytes:
    """An encoded photo that is no file of its own, such as a cell of a table.

    Attributes:
        data: the encoded bytes.
        name: how messages name it.

    >>> from triptych.data import NamedBytes
    >>> NamedBytes(b"GIF89a", "photos.parquet:7").name
    'photos.parquet:7'
    """

    data: bytes
    name: str


@dataclass(frozen=True)
class RemotePhoto:
    """An encoded photo that lies elsewhere.

    Attributes:
        fetch: its bytes, fetched when the photo is read. An ImageError of it is of the photo; any other error ends
            the reading of all.
        name: how messages name it.
    """

    fetch: Callable[[], bytes]
    name: str

    @property
    def data(self) -> bytes:
        """Its bytes."""
        return self.fetch()


if TYPE_CHECKING:
    ImageSource: TypeAlias = str | PathLike[str] | bytes | NamedBytes | RemotePhoto | Image.Image | np.ndarray
else:
    ImageSource = object | None  # anything: what is no photo gets a message of ours, also from a checker of types


def read_image(source: ImageSource, side: int | None = None, name: str | None = None) -> Image.Image:
    """Return the photo as an upright RGB image, as a person sees it.

    EXIF rotation is applied; transparency is laid on white; greyscale, palette, CMYK and 16-bit photos are
    converted to 8-bit RGB. What a photo may be at most, ``Limits`` says.

    Args:
        source: a path, encoded bytes, a PIL image, or a uint8 array (h, w), (h, w, 1), (h, w, 3) or (h, w, 4).
        side: the side in pixels that the caller will scale the photo to; lets a large JPEG decode faster.
        name: how an error names the photo; by default its path or a description.

    Raises:
        NotAnImageError: by its first bytes.
        ImageError: the photo is missing, empty, truncated, or too large.

    >>> import numpy as np
    >>> from triptych.data import read_image
    >>> read_image(np.zeros((48, 64), np.uint8)).size
    (64, 48)
    >>> read_image("missing.jpg")
    Traceback (most recent call last):
    triptych.data.errors.ImageError: missing.jpg: No such file or directory; expected an image file
    """
    with ExitStack() as held:
        image = _decode(source, side, name, held)
        return image.copy() if image is source else image


@contextmanager
def decoded(source: ImageSource, side: int | None = None, name: str | None = None) -> Iterator[Image.Image]:
    """``read_image`` for a block, at whose end the memory is given back: scale the photo down inside it.

    Many threads may enter such blocks; they wait for each other where their photos take too much memory together. A
    thread must not enter a second one inside it.
    """
    with ExitStack() as held:
        image = _decode(source, side, name, held)
        try:
            yield image
        finally:
            if image is not source:
                image.close()  # now, while its memory counts as taken, whoever still holds the image


def squash(image: Image.Image, side: int) -> Image.Image:
    """Scale to (side, side) bilinearly, whatever the aspect ratio, as the papers' test images are.

    >>> from PIL import Image
    >>> from triptych.data import squash
    >>> squash(Image.new("RGB", (64, 48)), 84).size
    (84, 84)
    """
    return image if image.size == (side, side) else image.resize((side, side), Image.Resampling.BILINEAR)


def reading_conditions() -> dict[str, Any]:
    """On which it depends, besides the photos, which of them can be read: limits, and decoders that may be missing.

    >>> from triptych.data import reading_conditions
    >>> sorted(reading_conditions())
    ['avif', 'heic', 'megabytes', 'megapixels']
    """
    decoders = {"avif": features.check("avif"), "heic": find_spec("pillow_heif") is not None}
    return {**asdict(current_limits()), **decoders}


def source_name(source: ImageSource) -> str:
    """How messages name a photo."""
    if isinstance(source, str | PathLike):
        return printable(source)
    if isinstance(source, NamedBytes | RemotePhoto):
        return printable(source.name)
    if isinstance(source, Image.Image):
        return printable(getattr(source, "filename", "") or f"PIL image {source.size[0]}x{source.size[1]}")
    if isinstance(source, np.ndarray):
        return f"array of shape {source.shape}"
    if isinstance(source, bytes):
        return f"{len(source)} bytes"
    given = f"{type(source).__name__}: {printable(repr(source)):.80}"
    raise ImageError(f"expected a path, bytes, a PIL image or a uint8 array, got {given}")


def _decode(source: ImageSource, side: int | None, name: str | None, held: ExitStack) -> Image.Image:
    """The photo in RGB; its file is open, and its memory counts as taken, until ``held`` ends."""
    described = source_name(source)  # refuses what is no photo, also where the caller gives a name
    name = described if name is None else printable(name)
    limits = current_limits()
    image, length = _opened(source, name, held)
    full = image.size
    if side is not None and image is not source and image.format == "JPEG":
        # Only what was opened here: draft() would shrink the caller's own image for good.
        image.draft(None, (side * _OVERSAMPLING, side * _OVERSAMPLING))
    needed = decoding_bytes(image, full, length)
    refuse_too_large(image, full, needed, limits, name)
    refuse_endless_scans(image, name)
    held.enter_context(decoding_memory.holding(needed, limits.memory))
    if needed > _LARGE:
        held.callback(return_freed_memory)
    try:
        image.load()  # a PNG's tags may come after its pixels
        turn, rgb = turn_of(image), to_rgb(image)
        if rgb is not image is not source:
            image.close()  # before the memory for another copy is taken
        return rgb if turn is None else rgb.transpose(turn)
    except MemoryError as error:
        raise ImageError(f"{name}: there is not enough memory to decode it; scale it down") from error
    except Exception as error:  # a decoder fed a damaged file may raise anything
        raise _damaged(name, image.format or "image", error) from error


def _damaged(name: str, kind: str, error: Exception) -> ImageError:
    """What is wrong, in our own words: those of decoders are of their insides."""
    why = "it ends too early" if "truncated" in str(error).lower() else f"its {kind} data cannot be decoded"
    return ImageError(f"{name}: damaged image ({why}); replace or remove the file")


def _opened(source: ImageSource, name: str, held: ExitStack) -> tuple[Image.Image, int]:
    """The image with its header read, and how many encoded bytes it has."""
    if isinstance(source, Image.Image):
        if not all(source.size):
            raise ImageError(f"{name}: {source.size[0]} x {source.size[1]} pixels; expected an image with pixels")
        return source, 0
    if isinstance(source, np.ndarray):
        return _from_array(source, name), 0
    if isinstance(source, bytes | NamedBytes | RemotePhoto):
        data = source if isinstance(source, bytes) else source.data
        if not data:
            raise ImageError(f"{name}: empty (0 bytes); replace or remove it")
        refuse_format(image_format(data[:FIRST_BYTES]), name)
        return _header(io.BytesIO(data), name), 0
    file = held.enter_context(open_photo(source, name))
    return _header(file, name), file.seek(0, io.SEEK_END)


def _header(file: BufferedIOBase, name: str) -> Image.Image:
    kind = image_format(file.read(FIRST_BYTES))
    file.seek(0)
    assert kind is not None
    try:
        return open_format(file, kind)
    except MissingDecoderError as error:
        raise ImageError(f"{name}: {error}") from error
    except Exception as error:  # a decoder fed a damaged file may raise anything
        raise _damaged(name, kind, error) from error


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim in {2, 3} and array.shape[0] * array.shape[1] > (most := current_limits().megapixels) * 1e6:
        raise ImageError(f"{name}: expected at most {most:g} megapixels; scale it down, or set TRIPTYCH_MAX_MEGAPIXELS")
    if array.dtype != np.uint8 or array.size == 0 or not (array.ndim == 2 or array.shape[2:] in {(3,), (4,)}):
        raise ImageError(f"{name}, dtype {array.dtype}: expected a uint8 array of shape (h, w), (h, w, 3) or (h, w, 4)")
    return Image.fromarray(np.ascontiguousarray(array))
