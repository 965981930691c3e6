"""Why a photo got its answer, as plain data for a page: each level's say, and what matches where."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.evidence import ClassEvidence, Explanation, lead_in_words
from triptych.reports.kit import render
from triptych.reports.pictures import picture
from triptych.reports.scene import matched, scene
from triptych.reports.words import signed, where

__all__ = ["evidence_for", "evidence_fragment", "heat", "level_bars"]

_HEAT = 0.75  # how much the strongest patch hides of the photo
_FEW = 3  # photos learnt from that are shown where nothing in them is matched


def evidence_for(
    why: Explanation, photo: bytes, labels: Sequence[str], learnt: Mapping[str, Mapping[str, bytes]]
) -> list[dict[str, Any]]:
    """The evidence for some classes of a photo, side by side.

    Args:
        why: what ``Recognizer.explain`` returned.
        photo: the photo itself, a JPEG file.
        labels: which of the explained classes, in this order.
        learnt: class -> file name -> photo learnt from, where they are at hand; else the kept thumbnails are shown.

    Returns:
        For each class its label, probability, levels (``level_bars``) and total; ``scene`` draws the matches, and is
        None for a method that matches no patches, which has ``photos`` learnt from in its place.
    """
    explained = {str(evidence.label): evidence for evidence in why.classes}
    bars = level_bars([explained[label].contributions for label in labels])
    return [
        _panel(explained[label], why.grid, picture(photo), mine, learnt.get(label, {}))
        for label, mine in zip(labels, bars, strict=True)
    ]


def evidence_fragment(why: Explanation, photo: bytes) -> str:
    """The evidence for each explained class as a piece of a page that has the stylesheet already.

    Args:
        why: what ``Recognizer.explain`` returned.
        photo: the photo itself, a JPEG file.
    """
    labels = [str(evidence.label) for evidence in why.classes]
    key = hashlib.sha256(photo).hexdigest()[:12]  # a page may have several such pieces
    panels = evidence_for(why, photo, labels, {})
    lead = lead_in_words(why.lead(), why.patch_levels, labels[1]) if len(labels) > 1 else ""
    return render("evidence.html", {"lead": lead, "panels": panels, "heat": heat(why, photo), "key": key})


def heat(why: Explanation, photo: bytes) -> dict[str, Any] | None:
    """How much each patch of a photo speaks for its answer; None for a method that matches no patches."""
    values = why.heatmap()
    largest = float(abs(values).max())
    if not largest:
        return None
    shown = picture(photo)
    rows, columns = why.grid
    height, width = shown["height"] / rows, shown["width"] / columns
    best = divmod(int(values.argmax()), columns)
    cells = [
        {
            "x": round(column * width, 2),
            "y": round(row * height, 2),
            "side": "for" if values[row, column] > 0 else "against",
            "share": round(_HEAT * abs(float(values[row, column])) / largest, 2),
        }
        for row in range(rows)
        for column in range(columns)
    ]
    sizes = {"cell_width": round(width, 2), "cell_height": round(height, 2)}
    return {**shown, **sizes, "cells": cells, "most": where(best, why.grid)}


def level_bars(contributions: Sequence[Mapping[str, float]]) -> list[dict[str, Any]]:
    """What each level adds, as bars that can be compared between classes: one scale for all.

    >>> bars = level_bars([{"pixel": 3.0, "part": -1.0}])[0]
    >>> [(bar["name"], bar["start"], bar["length"], bar["text"]) for bar in bars["levels"]]
    [('pixel', 25.0, 75.0, '+3.0'), ('part', 0.0, 25.0, '−1.0')]
    >>> bars["zero"], bars["total"]
    (25.0, '+2.0')
    """
    values = [value for one in contributions for value in one.values()]
    least = min([0.0, *values])
    extent = max([0.0, *values]) - least or 1.0
    return [
        {
            "zero": round(-100 * least / extent, 1),
            "total": signed(sum(one.values())),
            "levels": [
                {
                    "name": name,
                    "order": order,
                    "start": round(100 * (min(value, 0.0) - least) / extent, 1),
                    "length": round(100 * abs(value) / extent, 1),
                    "text": signed(value),
                }
                for order, (name, value) in enumerate(one.items())
            ],
        }
        for one in contributions
    ]


def _panel(
    evidence: ClassEvidence,
    grid: tuple[int, int],
    photo: dict[str, Any],
    bars: dict[str, Any],
    learnt: Mapping[str, bytes],
) -> dict[str, Any]:
    matches = matched(evidence.matches, grid)

    def shown(number: int, name: str) -> dict[str, Any]:
        return picture(learnt.get(name, evidence.thumbnails[number]))

    drawn = scene(photo, matches, grid, lambda match: shown(match.photo, match.name)) if matches else None
    label = str(evidence.label)
    spare = list(evidence.thumbnails)[:_FEW] if drawn is None else []
    return {
        "label": label,
        "probability": evidence.probability,
        "bars": bars,
        "scene": drawn,
        "photos": [{**picture(one), "alt": f"a photo of {label} that was learnt from"} for one in spare],
    }
