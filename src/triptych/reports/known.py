"""What a recogniser knows: its classes and photos, as data and as a page to look at."""

import base64
from typing import Any

from triptych.recognizer import Calibration, Recognizer, plain_label
from triptych.reports.kit import render
from triptych.reports.words import trust
from triptych.support import Support
from triptych.system.wording import counted

__all__ = ["describe_calibration", "inventory", "inventory_data", "inventory_page"]

_ID_SHOWN = 12  # digits: enough to name one photo among millions


def inventory(recognizer: Recognizer) -> dict[str, Any]:
    """The classes of a fitted recogniser with their photos, and how far it can be trusted.

    Returns:
        A JSON-serialisable summary: the number of photos, the views of each, the calibration
        (``describe_calibration``), and for each class its label and the id and file name of each photo. Of a bank, for
        each class its label and how many photos it has.

    Raises:
        ValueError: a label is no string, number or boolean.

    Examples:
        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> from triptych.reports.known import inventory
        >>> grey = [np.full((90, 90, 3), 80 * i, np.uint8) for i in range(2)]
        >>> known = inventory(Recognizer().fit(grey, ["black", "grey"]))
        >>> [(one["label"], len(one["photos"])) for one in known["classes"]]
        [('black', 1), ('grey', 1)]
    """
    if recognizer.bank is not None:
        return _of_bank(recognizer)
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


def _of_bank(recognizer: Recognizer) -> dict[str, Any]:
    counts = recognizer.photo_counts()
    return {
        "photos": sum(counts.values()),
        "views": recognizer.views,
        "calibration": describe_calibration(recognizer.calibration_),
        "classes": [{"label": label, "photos": count} for label, count in counts.items()],
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
    return render("inventory.html", inventory_data(recognizer, title))


def inventory_data(recognizer: Recognizer, title: str) -> dict[str, Any]:
    """What the page shows, as JSON can hold it; labels of any type are written as text."""
    known = recognizer.knowledge_
    photos = sum(map(len, known.supports))
    return {
        "title": title,
        "summary": f"{len(known.order)} classes, {counted(photos, 'photo')}",
        "trust": trust(describe_calibration(known.learnt.calibration)),
        "classes": [
            {"name": str(label), "photos": _photos(str(label), kept)}
            for label, kept in zip(known.order, known.supports, strict=True)
        ],
    }


def _photos(label: str, kept: Support) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "id": photo[:_ID_SHOWN],
            "alt": f"{label}: {name}",
            "image": base64.b64encode(thumbnail).decode(),
        }
        for photo, name, thumbnail in zip(kept.ids, kept.names, kept.thumbnails, strict=True)
    ]
