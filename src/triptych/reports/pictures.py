"""Photos inside a page: JPEG bytes with their size, as JSON can hold them."""

import base64
import io
from typing import Any

from PIL import Image

__all__ = ["picture"]


def picture(encoded: bytes) -> dict[str, Any]:
    """A JPEG file in base64 with its width and height; a square without an image where it cannot be shown.

    Only the header is read, and no other format: Pillow runs a program for some.

    >>> picture(b"no photo")
    {'image': '', 'width': 1, 'height': 1}
    """
    try:
        with Image.open(io.BytesIO(encoded), formats=["JPEG"]) as opened:
            width, height = opened.size
    except Exception:  # a decoder fed a damaged file may raise anything
        return {"image": "", "width": 1, "height": 1}
    return {"image": base64.b64encode(encoded).decode(), "width": width, "height": height}
