"""Evidence as a picture: a row per class with its levels, the photo's map, the matched patches side by side."""

import warnings
from collections.abc import Sequence

from triptych.evidence.formats import FORMATS
from triptych.evidence.lettering import lettering
from triptych.evidence.page import Drawable, Page
from triptych.evidence.rows import TITLE, draw_headings, draw_legend, draw_row, title_of
from triptych.system.extras import extra

__all__ = ["draw_explanation"]

_DPI = 110
_ROWS = 150  # a higher picture is one that matplotlib cannot draw


def draw_explanation(explanation: Drawable, ending: str = ".png") -> bytes:
    """Draw the evidence for each class as a row of panels.

    From the left: the class, its probability and what each level adds; the photo, tinted by what each patch does for
    the class; the photo and the photos of the class with the matched patches, linked; the same patches side by side,
    with how alike they are; the channels that match best, where a method has them. A warning names labels that no
    installed font can write: they have boxes in the place of characters.

    Args:
        explanation: what ``Recognizer.explain`` returns.
        ending: of the file's name: .png, .svg, .pdf or .html.

    Returns:
        The file.

    Raises:
        ValueError: another ending, or more than 150 classes.
        RuntimeError: matplotlib is not installed.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
    >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
    >>> from triptych.evidence.drawing import draw_explanation
    >>> draw_explanation(recognizer.explain(photos[0], top=1))[1:4]
    b'PNG'
    """
    if ending not in FORMATS:
        raise ValueError(f"a picture ends in {', '.join(FORMATS)}, got {ending!r}")
    if (rows := len(explanation.classes)) > _ROWS:
        raise ValueError(f"a picture has room for {_ROWS} classes, got {rows}; ask for fewer: top={_ROWS}")
    with extra("plot", "drawing needs matplotlib"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    _warn_of_boxes([str(evidence.label) for evidence in explanation.classes])
    figure = Figure(dpi=_DPI, facecolor="white")
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    page = Page(figure, explanation)
    draw_headings(page)
    for rank in range(len(explanation.classes)):
        draw_row(page, rank)
    draw_legend(page)
    return FORMATS[ending](figure)


def _warn_of_boxes(labels: Sequence[str]) -> None:
    boxed = [
        repr(label) for label in labels if any(lettering(line, TITLE, "bold")["s"] != line for line in title_of(label))
    ]
    if boxed:
        warnings.warn(
            f"no installed font has all characters of {', '.join(boxed)}: drawn with boxes; install one that has them",
            stacklevel=4,
        )
