"""A drawn figure as a file: PNG, SVG, PDF, or a page that needs no other file. Each names Triptych as its maker."""

import base64
import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["FORMATS"]

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="generator" content="triptych">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>Why this answer</title>
<style>body {{ margin: 1rem; background: #fff }} img {{ max-width: 100% }}</style>
</head>
<body><main><img alt="For each class: what each level adds, and which patches match" src="data:image/svg+xml;base64,{}">
</main></body>
</html>
"""


def _png(figure: "Figure") -> bytes:
    canvas: Any = figure.canvas
    canvas.draw()
    info, encoded = PngInfo(), io.BytesIO()
    info.add_text("Software", "triptych")
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]
    Image.fromarray(pixels).save(encoded, "PNG", optimize=True, pnginfo=info)
    return encoded.getvalue()


def _svg(figure: "Figure") -> bytes:
    return _vectors(figure, "svg", Date=None)


def _pdf(figure: "Figure") -> bytes:
    return _vectors(figure, "pdf", CreationDate=None)


def _html(figure: "Figure") -> bytes:
    return _PAGE.format(base64.b64encode(_svg(figure)).decode()).encode()


def _vectors(figure: "Figure", form: str, **left_out: None) -> bytes:
    """The same figure gives the same bytes: no date, and ids that are no random numbers."""
    from matplotlib import rc_context

    encoded = io.BytesIO()
    with rc_context({"svg.hashsalt": "triptych"}):
        figure.savefig(encoded, format=form, metadata={"Creator": "triptych", **left_out})
    return encoded.getvalue()


# ending of the name -> figure, on a canvas of Agg -> the file
FORMATS: dict[str, Callable[["Figure"], bytes]] = {".png": _png, ".svg": _svg, ".pdf": _pdf, ".html": _html}
