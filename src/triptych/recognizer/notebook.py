"""What a notebook shows of a recogniser: its classes, how many photos each has, and some of them."""

import base64
from html import escape

from triptych.recognizer.knowledge import Knowledge
from triptych.support import Support
from triptych.system.wording import counted, printable

__all__ = ["notebook_html"]

_CLASSES, _PHOTOS = 50, 6  # that are shown
_IMAGE = '<img alt="" width="56" height="56" style="margin: 1px" src="data:image/jpeg;base64,{}">'
_ROW = '<tr><th scope="row" style="text-align: left">{}</th><td>{}</td><td style="text-align: left">{}</td></tr>'


def notebook_html(known: Knowledge) -> str:
    """A table of the classes; labels are escaped.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> grey = [np.full((90, 90, 3), 80 * i, np.uint8) for i in range(2)]
    >>> "&lt;b&gt;" in Recognizer().fit(grey, ["<b>", "grey"])._repr_html_()
    True
    """
    photos, calibration = sum(map(len, known.supports)), known.learnt.calibration
    told = f"Recognizer of {len(known.order)} classes, {counted(photos, 'photo')}"
    if calibration is not None:
        told += f"; {calibration.accuracy:.1%} right of {counted(len(calibration.known), 'photo')} left out"
    rows = [_row(label, kept) for label, kept in list(zip(known.order, known.supports, strict=True))[:_CLASSES]]
    if more := len(known.order) - len(rows):
        rows.append(_ROW.format(f"and {more} more", "", ""))
    head = '<tr><th scope="col">class</th><th scope="col">photos</th><th scope="col"></th></tr>'
    return f"<table><caption>{told}</caption><thead>{head}</thead><tbody>{''.join(rows)}</tbody></table>"


def _row(label: object, kept: Support) -> str:
    pictures = [_IMAGE.format(base64.b64encode(small).decode()) for small in kept.thumbnails[:_PHOTOS] if small]
    return _ROW.format(escape(printable(label)), len(kept), "".join(pictures))
