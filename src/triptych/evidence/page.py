"""A figure whose panels are placed in inches from its top left, and where the columns of a picture of evidence are."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from triptych.evidence.choosing import PATCHES, PHOTOS
from triptych.evidence.lettering import lettering
from triptych.evidence.pieces import INK
from triptych.evidence.records import ClassEvidence

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FAINT", "GAP", "LEVELS", "LINKS", "MARGIN", "NARROW", "PAIR", "PHOTO", "ROW", "TOP", "Drawable", "Page"]

FAINT = "#66727f"
# In inches: around and between the rows, and the widths of what stands in a row.
MARGIN, TOP, GAP, NARROW = 0.25, 0.46, 0.32, 0.08
LEVELS, PHOTO, LINKS = 2.4, 2.5, 0.35
PAIR = PHOTO / PATCHES - 0.06  # side of a crop
ROW = PHOTO + 0.42  # with two lines of text below the photos
_BOTTOM = 0.42
_STRENGTH = 0.8  # beside a pair of crops
_CHANNELS = 1.15  # beside a channel and its photo


@runtime_checkable
class Drawable(Protocol):
    """What a picture needs of an ``Explanation``; see there."""

    @property
    def image(self) -> np.ndarray:
        """The photo (h, w, 3)."""
        ...

    @property
    def grid(self) -> tuple[int, int]:
        """(H, W) patches."""
        ...

    @property
    def classes(self) -> list[ClassEvidence]:
        """The classes that are explained, the most probable first."""
        ...

    @property
    def responses(self) -> np.ndarray:
        """(C, rows, columns), where each channel responds."""
        ...

    @property
    def patch_levels(self) -> tuple[str, ...]:
        """Levels that match patches."""
        ...

    def heatmap(self, rank: int = 0) -> np.ndarray:
        """How much each patch speaks for a class, (H, W)."""
        ...

    def lead(self) -> dict[str, float]:
        """How far each level puts the answer before the class that comes second."""
        ...


class Page:
    """The columns and scales that all rows share; ``axes`` and ``write`` place things.

    Args:
        figure: empty; its size is set.
        explanation: what is drawn.
    """

    def __init__(self, figure: "Figure", explanation: Drawable) -> None:
        self.figure, self.explanation = figure, explanation
        rows = len(explanation.classes)
        self.with_patches = any(evidence.matches for evidence in explanation.classes)
        self.with_parts = any(evidence.parts for evidence in explanation.classes)
        self.heat_left = MARGIN + LEVELS + GAP
        self.photo_left = self.heat_left + (PHOTO + NARROW if self.with_patches else 0)
        self.matched_left = self.photo_left + PHOTO + LINKS
        self.pairs_left = self.matched_left + PHOTOS * (PHOTO + NARROW) + GAP
        self.part_left = self.pairs_left + (2 * PAIR + _STRENGTH + GAP if self.with_patches else 0)
        self.width = self.part_left - GAP + MARGIN + (GAP + 2 * PAIR + _CHANNELS if self.with_parts else 0)
        self.height = TOP + rows * (ROW + GAP) - GAP + _BOTTOM
        self.legend_top = self.height - _BOTTOM + 0.16
        figure.set_size_inches(self.width, self.height)
        self.heatmaps = [explanation.heatmap(rank) for rank in range(rows)]
        # One scale for all classes, so that their rows can be compared; the few strongest patches do not set it.
        self.strongest = float(np.quantile(np.abs(self.heatmaps), 0.99)) or 1.0
        added = [value for evidence in explanation.classes for value in evidence.contributions.values()]
        self.least, self.most = min(0.0, *added), max(1e-6, *added)

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        """A panel without a frame."""
        place = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def write(self, left: float, top: float, words: str, size: float = 8.5, colour: str = INK, **style: Any) -> None:
        """One line of text."""
        settings = {"va": "top", **lettering(words, size, style.pop("weight", "normal")), **style}
        self.figure.text(left / self.width, 1 - top / self.height, color=colour, **settings)
