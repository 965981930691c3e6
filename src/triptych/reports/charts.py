"""The pictures of a comparison as inline SVG: nothing to install, nothing to fetch, sharp at any size."""

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from triptych.comparison.contest import FUSED

__all__ = ["contender_title", "learning_curve", "matrix_picture", "swatch"]

_TITLES = {
    FUSED: "MML, all levels",
    "class mean": "nearest class mean",
    "nearest neighbours": "nearest neighbours",
}
_LEVELS = ("distribution", "pixel", "part", "global", "plda")
# Colour, dashes and marker, so that nobody needs the colour alone; each colour at least 4.5 : 1 on white.
_STYLES = {
    FUSED: ("#12355b", "none", "circle"),
    "distribution": ("#1f6fb2", "7 3", "square"),
    "pixel": ("#0b7a75", "7 3", "triangle"),
    "part": ("#5b4fb5", "7 3", "diamond"),
    "global": ("#4a6572", "7 3", "circle"),
    "plda": ("#8a3b7a", "7 3", "square"),
    "class mean": ("#a8430a", "2 3", "square"),
    "nearest neighbours": ("#96294e", "2 3", "triangle"),
    "logistic regression": ("#b3261e", "2 3", "diamond"),
    "linear SVM": ("#7a5c00", "2 3", "circle"),
}
_WIDTH, _HEIGHT = 640, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 14, 48


def contender_title(name: str) -> str:
    """How a page calls a contender of a record."""
    return f"MML, {name} level alone" if name in _LEVELS else _TITLES.get(name, name)


def learning_curve(curve: Sequence[Mapping[str, Any]]) -> str:
    """Accuracy of every contender against photos per class (on a logarithmic axis), with 95% intervals, as SVG."""
    shots = [point["shot"] for point in curve]
    # The intervals of neighbouring contenders are drawn beside each other, not over each other.
    names = list(curve[0]["contenders"])
    parts = [_axes(shots)]
    for position, name in reversed(list(enumerate(names))):
        figures = [point["contenders"][name] for point in curve]
        shift = 3.0 * (position - (len(names) - 1) / 2)
        places = [(_x(shot, shots) + shift, _y(figure["mean"])) for shot, figure in zip(shots, figures, strict=True)]
        parts.append(_line(name, places, [(_PLOT_HEIGHT * figure["ci95"]) for figure in figures]))
    label = html.escape(f"Accuracy at {', '.join(map(str, shots))} photos per class; the table below has the figures")
    return f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}" class="curve">{"".join(parts)}</svg>'


def swatch(name: str) -> str:
    """A contender's line and marker, for a legend."""
    colour, dashes, marker = _STYLES[name]
    line = f'<path d="M2 9H34" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dashes}"/>'
    drawn = line + _marker(marker, 18, 9, colour)
    return f'<svg viewBox="0 0 36 18" width="36" height="18" aria-hidden="true">{drawn}</svg>'


def matrix_picture(classes: Sequence[str], answers: Sequence[Mapping[str, Any]]) -> str:
    """The confusion matrix as SVG: a row per class, a column per answer, darker the larger its share of the row."""
    cell, label = 14, 190
    index = {name: n for n, name in enumerate(classes)}
    asked = dict.fromkeys(classes, 0)
    for entry in answers:
        asked[entry["class"]] += entry["count"]
    size = cell * len(classes)
    rows = [
        f'<text x="{label - 6}" y="{cell * n + 11}" text-anchor="end" font-size="10">{_short(name)}</text>'
        f'<text transform="translate({label + cell * n + 10} {size + 8}) rotate(60)" font-size="10">'
        f"{_short(name)}</text>"
        for n, name in enumerate(classes)
    ]
    cells = [
        _cell(label + cell * index[entry["answer"]], cell * index[entry["class"]], cell, entry, asked[entry["class"]])
        for entry in answers
    ]
    described = "Confusion matrix: rows are the classes, columns the answers; the pairs below name the most frequent"
    frame = f'<rect x="{label}" width="{size}" height="{size}" fill="none" stroke="#52606d"/>'
    return (
        f'<svg viewBox="0 0 {label + size + 110} {size + 190}" width="{label + size + 110}" role="img" '
        f'aria-label="{described}">{"".join(rows)}{"".join(cells)}{frame}</svg>'
    )


def _cell(x: int, y: int, side: int, entry: Mapping[str, Any], asked: int) -> str:
    share = entry["count"] / asked
    colour = "#1a7f4b" if entry["class"] == entry["answer"] else "#c2362b"
    title = html.escape(f"{entry['class']} answered {entry['answer']}: {entry['count']} of {asked}")
    place = f'x="{x}" y="{y}" width="{side}" height="{side}"'
    return f'<rect {place} fill="{colour}" fill-opacity="{0.15 + 0.85 * share:.2f}"><title>{title}</title></rect>'


def _short(name: str, longest: int = 30) -> str:
    return html.escape(name if len(name) <= longest else name[: longest - 1] + "…")


_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM


def _x(shot: int, shots: Sequence[int]) -> float:
    margin = 30.0
    first, last = math.log(shots[0]), math.log(shots[-1])
    share = (math.log(shot) - first) / (last - first) if last > first else 0.5
    return _LEFT + margin + share * (_PLOT_WIDTH - 2 * margin)


def _y(accuracy: float) -> float:
    return _TOP + (1 - accuracy) * _PLOT_HEIGHT


def _axes(shots: Sequence[int]) -> str:
    right = _WIDTH - _RIGHT
    lines = [
        f'<path d="M{_LEFT} {_y(tenth / 10):.1f}H{right}" stroke="#d5dbe1"/>'
        f'<text x="{_LEFT - 8}" y="{_y(tenth / 10) + 4:.1f}" text-anchor="end">{10 * tenth}%</text>'
        for tenth in range(0, 11, 2)
    ]
    ticks = [
        f'<text x="{_x(shot, shots):.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle">{shot}</text>'
        for shot in shots
    ]
    caption = (
        f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 8}" text-anchor="middle">photos per class to learn from</text>'
    )
    return "".join([*lines, *ticks, caption])


def _line(name: str, places: Sequence[tuple[float, float]], halves: Sequence[float]) -> str:
    colour, dashes, marker = _STYLES[name]
    width = 3.5 if name == FUSED else 1.8
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    line = f'<path d="{path}" fill="none" stroke-width="{width}" stroke-dasharray="{dashes}"/>'
    whiskers = "".join(
        f'<path d="M{x:.1f} {max(y - half, _y(1)):.1f}V{min(y + half, _y(0)):.1f}" stroke-width="1.4"/>'
        for (x, y), half in zip(places, halves, strict=True)
    )
    markers = "".join(_marker(marker, x, y, colour) for x, y in places)
    return f'<g stroke="{colour}"><title>{html.escape(contender_title(name))}</title>{line}{whiskers}{markers}</g>'


def _marker(kind: str, x: float, y: float, colour: str) -> str:
    if kind == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    corners: dict[str, list[tuple[float, float]]] = {
        "square": [(-4, -4), (4, -4), (4, 4), (-4, 4)],
        "triangle": [(0, -5), (5, 4), (-5, 4)],
        "diamond": [(0, -5.5), (5.5, 0), (0, 5.5), (-5.5, 0)],
    }
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[kind])
    return f'<polygon points="{points}" fill="{colour}"/>'
