"""What a recogniser knows: its classes and photos, as data and as a page to look at."""

import base64
import html
from collections.abc import Hashable
from string import Template
from typing import Any

from triptych.recognizer import Recognizer, plain_label
from triptych.recognizer.calibration import Calibration
from triptych.support import Support

__all__ = ["describe_calibration", "inventory", "inventory_page"]

_ID_SHOWN = 12  # digits: enough to name one photo among millions

_PAGE = Template(
    """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$title</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 72rem; padding: 0 1rem;
  color: light-dark(#1c2733, #e4e8ec); background: light-dark(#fff, #14191f) }
h1 { margin: 0; overflow-wrap: anywhere } p { color: light-dark(#52606d, #a9b4bf); margin: .3rem 0 }
h2 { margin: 2.2rem 0 .6rem; font-size: 1.15rem; overflow-wrap: anywhere } h2 span { font-weight: normal }
ul { display: flex; flex-wrap: wrap; gap: .8rem; list-style: none; margin: 0; padding: 0 }
li { width: 7rem; font-size: .8rem; overflow-wrap: anywhere }
img { width: 7rem; height: 7rem; object-fit: cover; border-radius: 6px; display: block }
code { display: block; color: light-dark(#52606d, #a9b4bf) }
</style></head><body><main>
<h1>$title</h1>
<p>$summary</p>
$sections
</main></body></html>
"""
)


def inventory(recognizer: Recognizer) -> dict[str, Any]:
    """The classes of a fitted recogniser with their photos, and how far it can be trusted.

    Returns:
        A JSON-serialisable summary: the number of photos, the views of each, the calibration
        (``describe_calibration``), and for each class its label and the id and file name of each photo.

    Raises:
        ValueError: a label is no string, number or boolean.

    Examples:
        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> from triptych.reports.inventory import inventory
        >>> grey = [np.full((90, 90, 3), 80 * i, np.uint8) for i in range(2)]
        >>> known = inventory(Recognizer().fit(grey, ["black", "grey"]))
        >>> [(one["label"], len(one["photos"])) for one in known["classes"]]
        [('black', 1), ('grey', 1)]
    """
    known = recognizer.knowledge_
    classes = [
        {
            "label": plain_label(label),
            "photos": [{"id": photo, "name": name} for photo, name in zip(kept.ids, kept.names, strict=True)],
        }
        for label, kept in zip(known.order, known.supports, strict=True)
    ]
    return {
        "photos": sum(map(len, known.supports)),
        "views": known.views,
        "calibration": describe_calibration(known.learnt.calibration),
        "classes": classes,
    }


def describe_calibration(calibration: Calibration | None) -> dict[str, float] | None:
    """A calibration as JSON: photos left out, the share of them recognised, and the calibration errors."""
    if calibration is None:
        return None
    return {
        "left_out": len(calibration.known),
        "accuracy": calibration.accuracy,
        "ece_before": calibration.ece_before,
        "ece": calibration.ece,
        "temperature": calibration.temperature,
    }


def inventory_page(recognizer: Recognizer, title: str) -> str:
    """One HTML page with a thumbnail, the name and the id of each photo; it needs no other file and runs no code."""
    known = recognizer.knowledge_
    return _PAGE.substitute(
        title=html.escape(title),
        summary=f"{len(known.order)} classes, {sum(map(len, known.supports))} photos",
        sections="\n".join(_section(label, kept) for label, kept in zip(known.order, known.supports, strict=True)),
    )


def _section(label: Hashable, kept: Support) -> str:
    name = html.escape(str(label))
    items = "\n".join(_item(name, *photo) for photo in zip(kept.ids, kept.names, kept.thumbnails, strict=True))
    return f"<section><h2>{name} <span>({len(kept)})</span></h2>\n<ul>\n{items}\n</ul></section>"


def _item(label: str, photo: str, name: str, thumbnail: bytes) -> str:
    name = html.escape(name)
    caption = f"{name} <code>{photo[:_ID_SHOWN]}</code>"
    if not thumbnail:
        return f"<li>{caption}</li>"
    data = base64.b64encode(thumbnail).decode()
    return f'<li><img alt="{label}: {name}" loading="lazy" src="data:image/jpeg;base64,{data}">{caption}</li>'
