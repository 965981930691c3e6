"""Pieces of a picture of evidence: photos, boxes on them, tints and crops."""

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from triptych.evidence.lettering import lettering

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["INK", "Box", "cropped", "diverging", "halo", "kept_photo", "outline", "response", "show", "tinted"]

Box = tuple[float, float, float, float]  # left, top, width, height, as parts of the photo

INK = "#1c2733"
_EMPTY = "#e9edf1"
_AGAINST, _FOR = "#2166ac", "#d6301d"
_OPACITY = 0.8  # of the strongest margin
_THUMBNAIL = 256  # pixels to a side that a picture has use for
_CONTEXT = 0.5  # of a box, shown around it in a crop


def tinted(image: np.ndarray, margins: np.ndarray, strongest: float) -> np.ndarray:
    """A photo (h, w, 3), grey and lighter, under the margins of its patches: the stronger, the more opaque."""
    side = (image.shape[1], image.shape[0])
    smooth = Image.fromarray((margins / strongest).astype(np.float32)).resize(side, Image.Resampling.BICUBIC)
    values = np.clip(np.asarray(smooth), -1, 1)[..., None]
    pale = 0.75 * image.mean(2, keepdims=True) + 0.25 * 255
    colour = np.where(values > 0, _rgb(_FOR), _rgb(_AGAINST))
    opacity = _OPACITY * np.abs(values)
    return ((1 - opacity) * pale + opacity * colour).round().astype(np.uint8)


def show(axes: "Axes", image: np.ndarray | None) -> None:
    """An image over the unit square, its top left at (0, 0); an empty square for a photo that is not kept."""
    if image is None:
        image = np.full((1, 1, 3), _rgb(_EMPTY), dtype=np.uint8)
    axes.imshow(image, extent=(0, 1, 1, 0), origin="upper", interpolation="bicubic", aspect="auto")
    axes.set_xlim(0, 1)
    axes.set_ylim(1, 0)


def outline(axes: "Axes", box: Box, colour: str, number: str) -> None:
    """A frame around a patch, with its number."""
    from matplotlib.patches import Rectangle

    left, top, width, height = box
    frame = Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=1.8, zorder=6)
    frame.set_path_effects(halo(3.2))
    axes.add_patch(frame)
    above = top if top > 0.12 else top + height + 0.1  # a number over the top edge would be cut off
    text = axes.text(left, above, color=colour, va="bottom", zorder=7, **lettering(number, 9.0, "bold"))
    text.set_path_effects(halo(2.2))


def halo(width: float) -> list[Any]:
    """A dark rim, so that a light line shows on any photo."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=INK)]


def kept_photo(encoded: bytes) -> np.ndarray | None:
    """A kept JPEG as pixels, never large. No other format is read, as Pillow runs a program for some."""
    if not encoded:
        return None
    try:
        image = Image.open(io.BytesIO(encoded), formats=["JPEG"])
        image.draft("RGB", (_THUMBNAIL, _THUMBNAIL))
        return np.asarray(image.convert("RGB"))
    except Exception:  # a decoder fed a damaged file may raise anything
        return None


def response(values: np.ndarray) -> np.ndarray:
    """Where a channel responds, (H, W) to (H, W, 3): dark where least, light where most."""
    from matplotlib import colormaps

    least, most = float(values.min()), float(values.max())
    scaled = (values - least) / (most - least) if most > least else np.zeros_like(values)
    return (255 * colormaps["magma"](scaled)[..., :3]).round().astype(np.uint8)


def diverging() -> Any:
    """Colours from against to for, over grey."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("margin", [_AGAINST, "#dcdcdc", _FOR])


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def cropped(image: np.ndarray | None, box: Box) -> np.ndarray | None:
    """A photo (h, w, 3) in and around a box; the crop lies inside the photo, and keeps its size at the edge."""
    if image is None:
        return None
    left, top, width, height = box
    wide, high = min(width * (1 + 2 * _CONTEXT), 1.0), min(height * (1 + 2 * _CONTEXT), 1.0)
    x = min(max(left + width / 2 - wide / 2, 0.0), 1 - wide)
    y = min(max(top + height / 2 - high / 2, 0.0), 1 - high)
    rows, columns = image.shape[:2]
    return image[
        int(y * rows) : max(round((y + high) * rows), int(y * rows) + 1),
        int(x * columns) : max(round((x + wide) * columns), int(x * columns) + 1),
    ]
