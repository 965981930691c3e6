"""Accuracy against time, one point a method, each with its name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from methods_task import TRAINED

__all__ = ["named", "plot"]

_COLOURS = {"none beyond the start": "tab:gray", "weights as shipped": "tab:orange"}
_TRAINED = "tab:blue"
# In pixels: between a name and what else there is, from a point to a name beside it, and from where on a line leads.
_GAP, _BESIDE, _FAR = 1.0, 7, 16


def plot(rows: Sequence[tuple[dict[str, Any], float]], place: Path) -> None:
    """Accuracy with five photos a class against the time of a query, in ms, which each row comes with."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    shown, axes = plt.subplots(figsize=(9, 6), dpi=110, layout="constrained")
    points, spreads, names = [], [], []
    for row, time in rows:
        mean, spread = (100 * row["shots"]["5"]["accuracy"][of] for of in ("mean", "ci95"))
        colour = _COLOURS.get(row["training"], _TRAINED)
        mark = "D" if row["transductive"] else "o"
        axes.errorbar(time, mean, spread, fmt=mark, markersize=4, elinewidth=1, color=colour)
        points.append((time, mean))
        spreads.append(spread)
        names.append(row["method"].removesuffix(TRAINED))
    axes.set(xscale="log", xlabel="ms to compare a query, one 5-way 5-shot task", ylabel="5-shot accuracy, %")
    axes.margins(0.12, 0.08)
    axes.grid(alpha=0.3)
    told = {"trained on episodes": _TRAINED, "no episodes": "tab:gray", "weights as shipped": "tab:orange"}
    marks = [Line2D([], [], marker="o", linestyle="", color=colour, label=name) for name, colour in told.items()]
    marks.append(Line2D([], [], marker="D", linestyle="", color="black", markerfacecolor="none", label="transductive"))
    axes.legend(handles=marks, fontsize=7, loc="lower right")
    named(axes, points, spreads, names)
    shown.savefig(place)
    plt.close(shown)


def named(
    axes: Any, points: Sequence[tuple[float, float]], spreads: Sequence[float], names: Sequence[str]
) -> list[Any]:
    """The names beside their points: none covers a point, its interval, another name or the legend.

    Each name takes the nearest place that is free, and if there is none the nearest; a line leads to it from afar.
    """
    axes.figure.canvas.draw()
    axes.figure.set_layout_engine("none")  # what is placed below must not be moved
    pixels = axes.transData.transform(points)
    tops = axes.transData.transform([(x, y + spread) for (x, y), spread in zip(points, spreads, strict=True)])
    heights = np.maximum(tops[:, 1] - pixels[:, 1], 0)
    taken = [np.array([x - 4, y - 4, x + 4, y + 4]) for x, y in pixels]
    taken += [np.array([x - 1, y - h, x + 1, y + h]) for (x, y), h in zip(pixels, heights, strict=True)]
    taken.append(np.array(axes.get_legend().get_window_extent().extents))
    frame = axes.get_window_extent().extents
    texts = []
    for at in np.argsort(pixels[:, 0])[::-1]:
        text = axes.annotate(names[at], points[at], (0, 0), textcoords="offset pixels", fontsize=7)
        extent = text.get_window_extent().extents
        size = extent[2:] - extent[:2]
        places = _places(size)
        corner = next((one for one in places if _free(pixels[at] + one, size, taken, frame)), places[0])
        text.set_position(tuple(corner))
        taken.append(np.concatenate([pixels[at] + corner, pixels[at] + corner + size]))
        if np.linalg.norm(_nearest(corner, size)) > _FAR:
            ends = axes.transData.inverted().transform([pixels[at], pixels[at] + _nearest(corner, size)])
            axes.plot(*ends.T, color="gray", linewidth=0.5, zorder=0)
        texts.append(text)
    return texts


def _places(size: np.ndarray) -> list[np.ndarray]:
    """Where the lower left corner of a name may be, from the point: the nearest first, the right before the left."""
    beside = [np.array([x, y - size[1] / 2]) for x in (_BESIDE, -_BESIDE - size[0]) for y in range(-60, 61, 3)]
    above = [np.array([x - size[0] / 2, y]) for x in (-20, 0, 20) for y in (*range(6, 60, 4), *range(-60, -14, 4))]

    def distance(corner: np.ndarray) -> float:
        level = abs(corner[1] + size[1] / 2)
        return float(np.linalg.norm(_nearest(corner, size))) + 0.1 * level + (corner[0] <= 0)

    return sorted(beside + above, key=distance)


def _nearest(corner: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of a name to the point, from the point."""
    nearest: np.ndarray = np.clip(np.zeros(2), corner, corner + size)
    return nearest


def _free(corner: np.ndarray, size: np.ndarray, taken: Sequence[np.ndarray], frame: np.ndarray) -> bool:
    box = np.concatenate([corner - _GAP, corner + size + _GAP])
    inside = bool((box[:2] >= frame[:2]).all() and (box[2:] <= frame[2:]).all())
    return inside and not any((box[:2] < one[2:]).all() and (one[:2] < box[2:]).all() for one in taken)
