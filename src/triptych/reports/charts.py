"""The charts of a comparison as plain coordinates and shares, which templates draw; any contenders, any number."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.comparison import BASELINES, FUSED
from triptych.system.palette import COLOURS, marker_of

__all__ = ["confusion_table", "contender_title", "learning_curve", "series_of"]

_PLAIN_TITLES = {"class mean": "nearest class mean"}
# Narrow, so that the letters stay readable on a phone.
_WIDTH, _HEIGHT = 400, 286
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 8, 10, 44
_MARGIN = 26  # between the frame and the first and last number of photos
_BESIDE = 2.4  # between the intervals of two contenders at the same number of photos
_SHADES = 5  # of a cell in the table of confusions


def contender_title(name: str, single: bool = False) -> str:
    """How a page calls a contender of a record.

    Args:
        name: as in the record.
        single: the method has one level only, so that there are not several to speak of.

    >>> [contender_title(name) for name in ("all levels", "texture", "linear SVM", "class mean")]
    ['all levels together', 'texture level alone', 'linear SVM', 'nearest class mean']
    """
    if name == FUSED:
        return "Triptych" if single else "all levels together"
    return _PLAIN_TITLES.get(name, name) if name in BASELINES else f"{name} level alone"


def series_of(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Title, colour, dashes and marker of each contender, so that nobody needs the colour alone.

    All levels together are a thick line in the colour of the text. The others get colours and markers in their order;
    levels are dashed, plain classifiers dotted.

    >>> series = series_of(["all levels", "pixel", "linear SVM"])
    >>> [(one["style"], one["dashes"]) for one in series.values()]
    [('series-all', ''), ('series-0', '6 3'), ('series-1', '1.5 2.5')]
    """
    single = not any(name != FUSED and name not in BASELINES for name in names)
    order = {name: n for n, name in enumerate(name for name in names if name != FUSED)}
    return {
        name: {
            "title": contender_title(name, single),
            "style": "series-all" if name == FUSED else f"series-{order[name] % len(COLOURS)}",
            "dashes": "" if name == FUSED else "1.5 2.5" if name in BASELINES else "6 3",
            "marker": marker_of(0 if name == FUSED else order[name] + 1),
        }
        for name in names
    }


def learning_curve(curve: Sequence[Mapping[str, Any]], intervals: bool = True) -> dict[str, Any]:
    """Accuracy of every contender against photos per class (on a logarithmic axis), with 95% intervals if wanted.

    Returns:
        Coordinates: the size, the ticks of both axes, and for each contender its ``series_of`` with its points. The
        first contender comes last, so that it is drawn over the others.
    """
    shots = [point["shot"] for point in curve]
    names = list(curve[0]["contenders"])
    series = [
        {**style, "points": _points(curve, name, _BESIDE * (place - (len(names) - 1) / 2), intervals)}
        for place, (name, style) in enumerate(series_of(names).items())
    ]
    return {
        "width": _WIDTH,
        "height": _HEIGHT,
        "left": _LEFT,
        "right": _WIDTH - _RIGHT,
        "bottom": _HEIGHT - _BOTTOM,
        "shares": [{"y": _y(fifth / 5), "text": f"{20 * fifth}%"} for fifth in range(6)],
        "shots": [{"x": round(_x(shot, shots), 1), "text": str(shot)} for shot in shots],
        "series": series[::-1],
        "label": f"Accuracy at {', '.join(map(str, shots))} photos per class; the table below has the figures",
    }


def confusion_table(classes: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per class with a cell per answer: the count, and a shade that grows with its share of the row.

    >>> answers = [{"class": "a", "answer": "a", "count": 3}, {"class": "a", "answer": "b", "count": 1}]
    >>> [(cell["count"], cell["shade"]) for cell in confusion_table(["a", "b"], answers)[0]["cells"]]
    [(3, 4), (1, 2)]
    """
    counts: dict[str, dict[str, int]] = {name: {} for name in classes}
    for entry in answers:
        counts[entry["class"]][entry["answer"]] = entry["count"]
    return [
        {
            "name": name,
            "asked": sum(counts[name].values()),
            "cells": [_cell(counts[name], answer, right=answer == name) for answer in classes],
        }
        for name in classes
    ]


def _cell(counts: Mapping[str, int], answer: str, right: bool) -> dict[str, Any]:
    count = counts.get(answer, 0)
    share = count / sum(counts.values()) if count else 0.0
    return {"count": count, "right": right, "shade": math.ceil(_SHADES * share)}


def _points(curve: Sequence[Mapping[str, Any]], name: str, shift: float, intervals: bool) -> list[dict[str, float]]:
    """Where a contender's accuracies and their intervals lie; beside those of its neighbours, not over them."""
    shots = [point["shot"] for point in curve]
    figures = [point["contenders"][name] for point in curve]
    return [
        {
            "x": round(_x(shot, shots) + shift, 1),
            "y": _y(figure["mean"]),
            "high": _y(min(figure["mean"] + intervals * figure["ci95"], 1.0)),
            "low": _y(max(figure["mean"] - intervals * figure["ci95"], 0.0)),
        }
        for shot, figure in zip(shots, figures, strict=True)
    ]


def _x(shot: int, shots: Sequence[int]) -> float:
    first, last = math.log(shots[0]), math.log(shots[-1])
    share = (math.log(shot) - first) / (last - first) if last > first else 0.5
    return _LEFT + _MARGIN + share * (_WIDTH - _LEFT - _RIGHT - 2 * _MARGIN)


def _y(accuracy: float) -> float:
    return round(_TOP + (1 - accuracy) * (_HEIGHT - _TOP - _BOTTOM), 1)
