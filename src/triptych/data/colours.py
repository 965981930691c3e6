"""Any image that Pillow has decoded, in RGB and with little memory besides; and how to turn it upright."""

from collections.abc import Callable, Iterator

import numpy as np
from PIL import ExifTags, Image

__all__ = ["to_rgb", "turn_of"]

_STRIP = 1 << 20  # pixels that are converted at once, so that what lies between takes little memory

_UPRIGHT = {  # what undoes each EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def turn_of(image: Image.Image) -> Image.Transpose | None:
    """What makes a photo upright, by its tags. Only this tag is read: others may be broken where the photo is not."""
    try:
        return _UPRIGHT.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # what is no list of tags at all may raise anything
        return None


def to_rgb(image: Image.Image) -> Image.Image:
    """Transparency on white, deep and floating-point images to 8 bits; an RGB image itself, and not a copy."""
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    convert = _converter(image)
    if image.size[0] * image.size[1] <= _STRIP:
        return convert(image)
    rgb = Image.new("RGB", image.size)
    for box, strip in _strips(image):
        rgb.paste(convert(strip), box)
    return rgb


def _strips(image: Image.Image) -> Iterator[tuple[tuple[int, int, int, int], Image.Image]]:
    width, height = image.size
    rows = max(1, _STRIP // width)
    for top in range(0, height, rows):
        box = (0, top, width, min(top + rows, height))
        yield box, image.crop(box)


def _converter(image: Image.Image) -> Callable[[Image.Image], Image.Image]:
    if image.mode.startswith(("I", "F")):
        full_scale = _full_scale(image)
        return lambda strip: _from_deep(strip, full_scale)
    if image.mode in {"P", "PA"} and image.palette is None:
        raise ValueError("no palette, and pixels that are numbers of its colours")
    if "transparency" in image.info or image.mode in {"RGBA", "LA", "PA", "La", "RGBa"}:
        return _on_white
    return lambda strip: strip.convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    image = (image.convert("LA") if image.mode == "La" else image).convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image).convert("RGB")


def _full_scale(image: Image.Image) -> float:
    """What is white. Only floating-point images differ in it: by their brightest pixel."""
    if image.mode != "F":
        return 65535.0
    peak = max((values[np.isfinite(values)].max(initial=-np.inf) for values in _values(image)), default=-np.inf)
    if peak == -np.inf:
        raise ValueError("no pixel with a value")
    return 1.0 if peak <= 1 else 255.0 if peak <= 255 else 65535.0


def _values(image: Image.Image) -> Iterator[np.ndarray]:
    return (np.asarray(strip, dtype=np.float64) for _, strip in _strips(image))


def _from_deep(image: Image.Image, full_scale: float) -> Image.Image:
    """16-bit, 32-bit and floating-point greyscale to 8 bits. PIL's own conversion clips instead of scaling."""
    values = np.clip(_finite(image) * (255.0 / full_scale), 0, 255)
    return Image.fromarray(values.round().astype(np.uint8)).convert("RGB")


def _finite(image: Image.Image) -> np.ndarray:
    values = np.asarray(image, dtype=np.float64)
    return np.where(np.isfinite(values), values, 0)  # NaN and infinity mark missing pixels, and spoil the scale
