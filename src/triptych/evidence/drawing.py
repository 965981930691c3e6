"""Evidence as a picture: a row per class with its levels, the photo's heatmap, the matched patches and the parts."""

import io
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from PIL import Image

from triptych.evidence.formats import FORMATS
from triptych.evidence.lettering import lettering, wrapped
from triptych.evidence.records import ClassEvidence, PatchMatch
from triptych.system.palette import colour_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_explanation"]

_DPI = 110
# In inches: around and between the rows, and the widths of what stands in a row.
_MARGIN, _TOP, _BOTTOM, _GAP, _NARROW = 0.25, 0.42, 0.42, 0.3, 0.08
_LEVELS, _PHOTO, _LINKS, _PART = 2.2, 1.8, 0.35, 0.54
_ROW = _PHOTO + 0.42  # with two lines of text below the photos
_NAME, _NUMBER = 0.95, 0.5  # beside the bars
_PHOTOS, _PATCHES, _PARTS = 3, 5, 3  # shown at most, per class
_COLOURS = ("#ffb000", "#35c2ff", "#2bd66f", "#ff7ad9", "#f4f06a")
_INK, _FAINT, _LINE, _EMPTY = "#1c2733", "#66727f", "#c9d1d9", "#e9edf1"
_AGAINST, _FOR = "#2166ac", "#d6301d"
_OPACITY = 0.8  # of the strongest margin
_BOX_CELLS = 3  # side of a box: the patch and its neighbours
_TITLE = 13.0  # points
_THUMBNAIL = 224  # pixels to a side that a picture has use for


@runtime_checkable
class Drawable(Protocol):
    """What a picture needs of an ``Explanation``; see there."""

    @property
    def image(self) -> np.ndarray: ...

    @property
    def grid(self) -> tuple[int, int]: ...

    @property
    def classes(self) -> list[ClassEvidence]: ...

    @property
    def responses(self) -> np.ndarray: ...

    def heatmap(self, rank: int = 0) -> np.ndarray: ...


def draw_explanation(explanation: Drawable, ending: str = ".png") -> bytes:
    """Draw the evidence for each class as a row of panels.

    From the left: the class, its probability and what each level adds; the photo with the margin of each patch;
    the photos of the class with the strongest matches, linked; the channels that match best. A warning names labels
    that no installed font can write: they have boxes in the place of characters.

    Args:
        explanation: what ``Recognizer.explain`` returns.
        ending: of the file's name: .png, .svg, .pdf or .html.

    Returns:
        The file.

    Raises:
        ValueError: another ending.
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
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise RuntimeError("drawing needs matplotlib: pip install 'triptych[plot]'") from error
    _warn_of_boxes([str(evidence.label) for evidence in explanation.classes])
    figure = Figure(dpi=_DPI, facecolor="white")
    figure.set_layout_engine("none")
    FigureCanvasAgg(figure)
    page = _Page(figure, explanation)
    page.headings()
    for rank in range(len(explanation.classes)):
        page.row(rank)
    page.legend()
    return FORMATS[ending](figure)


class _Page:
    """A figure whose panels are placed in inches from its top left."""

    def __init__(self, figure: "Figure", explanation: Drawable) -> None:
        self.figure, self.explanation = figure, explanation
        rows = len(explanation.classes)
        self.with_patches = any(evidence.matches for evidence in explanation.classes)
        self.with_parts = any(evidence.parts for evidence in explanation.classes)
        self.heat_left = _MARGIN + _LEVELS + _GAP
        self.photo_left = self.heat_left + (_PHOTO + _NARROW if self.with_patches else 0)
        self.matched_left = self.photo_left + _PHOTO + _LINKS
        self.part_left = self.matched_left + _PHOTOS * (_PHOTO + _NARROW) + _GAP
        self.width = self.part_left - _GAP + _MARGIN + (_GAP + 2 * _PART + 1.05 if self.with_parts else 0)
        self.height = _TOP + rows * (_ROW + _GAP) - _GAP + _BOTTOM
        figure.set_size_inches(self.width, self.height)
        self.heatmaps = [explanation.heatmap(rank) for rank in range(rows)]
        # One scale for all classes, so that their rows can be compared; the few strongest patches do not set it.
        self.strongest = float(np.quantile(np.abs(self.heatmaps), 0.99)) or 1.0
        added = [value for evidence in explanation.classes for value in evidence.contributions.values()]
        self.least, self.most = min(0.0, *added), max(1e-6, *added)

    def axes(self, left: float, top: float, width: float, height: float) -> "Axes":
        place = (left / self.width, 1 - (top + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(place)
        axes.set_axis_off()
        return axes

    def write(self, left: float, top: float, words: str, size: float = 8.5, colour: str = _INK, **style: Any) -> None:
        settings = {"va": "top", **lettering(words, size, style.pop("weight", "normal")), **style}
        self.figure.text(left / self.width, 1 - top / self.height, color=colour, **settings)

    def headings(self) -> None:
        self.write(_MARGIN, 0.14, "Answer, and what each level adds", colour=_FAINT)
        if self.with_patches:
            self.write(self.heat_left, 0.14, "Patches for and against it", colour=_FAINT)
        self.write(self.photo_left, 0.14, "The photo", colour=_FAINT)
        self.write(
            self.matched_left, 0.14, "Its strongest matches" if self.with_patches else "Learnt from", colour=_FAINT
        )
        if self.with_parts:
            self.write(self.part_left, 0.14, "Strongest channels", colour=_FAINT)

    def row(self, rank: int) -> None:
        top = _TOP + rank * (_ROW + _GAP)
        evidence = self.explanation.classes[rank]
        self.levels(evidence, rank, top)
        if self.with_patches:
            heat = self.axes(self.heat_left, top, _PHOTO, _PHOTO)
            _show(heat, tinted(self.explanation.image, self.heatmaps[rank], self.strongest))
        query = self.axes(self.photo_left, top, _PHOTO, _PHOTO)
        _show(query, self.explanation.image)
        self.matched(query, evidence, _shown(evidence.matches, self.explanation.grid), top)
        if self.with_parts:
            self.parts(evidence, top)

    def levels(self, evidence: ClassEvidence, rank: int, top: float) -> None:
        lines = _title(str(evidence.label))
        for number, line in enumerate(lines):
            self.write(_MARGIN, top - 0.04 + 0.23 * number, line, _TITLE, weight="bold")
        below = top + 0.23 * len(lines)
        self.write(_MARGIN, below, f"{evidence.probability:.1%}", 19.0, _INK if rank == 0 else _FAINT)
        count = len(evidence.contributions)
        height = 0.25 * count
        axes = self.axes(_MARGIN + _NAME, top + _PHOTO - height, _LEVELS - _NAME - _NUMBER, height)
        axes.set_xlim(self.least, self.most)
        axes.set_ylim(count - 0.5, -0.5)
        axes.axvline(0, color=_LINE, linewidth=1)
        for place, (level, value) in enumerate(evidence.contributions.items()):
            axes.barh(place, value, height=0.6, color=colour_of(place).light)
            middle = top + _PHOTO - height + (place + 0.5) * height / count
            self.write(_MARGIN, middle, level, va="center_baseline")
            self.write(_MARGIN + _LEVELS, middle, f"{value:+.2f}", va="center_baseline", ha="right")

    def matched(self, query: "Axes", evidence: ClassEvidence, shown: Sequence[PatchMatch], top: float) -> None:
        """The class's photos, those first in which the shown patches were found, and lines to them."""
        used = list(dict.fromkeys(match.photo for match in shown))
        others = [photo for photo in range(len(evidence.thumbnails)) if photo not in used]
        for place, photo in enumerate([*used, *others][:_PHOTOS]):
            left = self.matched_left + place * (_PHOTO + _NARROW)
            axes = self.axes(left, top, _PHOTO, _PHOTO)
            _show(axes, _thumbnail(evidence.thumbnails[photo]))
            here = [(number, match) for number, match in enumerate(shown) if match.photo == photo]
            for number, match in here:
                self.link(number, match, query, axes)
            if here:
                self.write(left, top + _PHOTO + 0.07, wrapped(here[0][1].name, 28)[0], 7.5, _FAINT)
                cosines = "   ".join(f"{number + 1}: {match.similarity:.2f}" for number, match in here)
                self.write(left, top + _PHOTO + 0.23, cosines, 7.5, _FAINT)

    def link(self, number: int, match: PatchMatch, query: "Axes", found: "Axes") -> None:
        from matplotlib.patches import ConnectionPatch

        grid, colour = self.explanation.grid, _COLOURS[number]
        ends = []
        for axes, place in ((query, match.query), (found, match.support)):
            left, top, width, height = _box(place, grid)
            _outline(axes, (left, top, width, height), colour, str(number + 1))
            ends.append((left + width if axes is query else left, top + height / 2))
        line = ConnectionPatch(ends[0], ends[1], "data", "data", axesA=query, axesB=found)
        line.set(color=colour, linewidth=1.4, alpha=0.9, zorder=5, path_effects=_halo(2.6))
        self.figure.add_artist(line)

    def parts(self, evidence: ClassEvidence, top: float) -> None:
        responses = self.explanation.responses
        for place, part in enumerate(evidence.parts[:_PARTS]):
            y = top + place * (_PART + 0.09)
            axes = self.axes(self.part_left, y, _PART, _PART)
            _show(axes, _response(responses[part.channel]))
            axes = self.axes(self.part_left + _PART + 0.06, y, _PART, _PART)
            _show(axes, _thumbnail(evidence.thumbnails[part.photo]))
            left = self.part_left + 2 * _PART + 0.18
            same = part.channel == part.support_channel
            self.write(
                left, y + 0.06, f"{part.channel}" if same else f"{part.channel} \u2192 {part.support_channel}", 10.0
            )
            self.write(left, y + 0.27, f"similarity {part.similarity:.2f}", 7.5, _FAINT)

    def legend(self) -> None:
        y = self.height - _BOTTOM + 0.16
        self.write(_MARGIN, y, "logits, less the mean of all classes", 7.5, _FAINT)
        if self.with_patches:
            bar = self.axes(self.heat_left, y + 0.01, 0.7, 0.1)
            bar.imshow(np.linspace(-1, 1, 256)[None], cmap=_diverging(), aspect="auto")
            self.write(self.heat_left + 0.78, y, "against \u2013 for", 7.5, _FAINT)
            box = "a patch" if _reach(self.explanation.grid) == 0 else "a patch and its neighbours"
            self.write(
                self.photo_left,
                y,
                f"A box is {box}; its line leads to what it matches, its number to their cosine.",
                7.5,
                _FAINT,
            )
        if self.with_parts:
            self.write(self.part_left, y, "where it responds; the photo it matches", 7.5, _FAINT)


def _title(label: str) -> list[str]:
    """A label in the lines that there is room for."""
    return wrapped(label, width=17, most=2)


def _warn_of_boxes(labels: Sequence[str]) -> None:
    boxed = [
        repr(label) for label in labels if any(lettering(line, _TITLE, "bold")["s"] != line for line in _title(label))
    ]
    if boxed:
        warnings.warn(
            f"no installed font has all characters of {', '.join(boxed)}: drawn with boxes; install one that has them",
            stacklevel=4,
        )


def tinted(image: np.ndarray, margins: np.ndarray, strongest: float) -> np.ndarray:
    """A photo (h, w, 3), grey and lighter, under the margins of its patches: the stronger, the more opaque."""
    side = (image.shape[1], image.shape[0])
    smooth = Image.fromarray((margins / strongest).astype(np.float32)).resize(side, Image.Resampling.BICUBIC)
    values = np.clip(np.asarray(smooth), -1, 1)[..., None]
    pale = 0.75 * image.mean(2, keepdims=True) + 0.25 * 255
    colour = np.where(values > 0, _rgb(_FOR), _rgb(_AGAINST))
    opacity = _OPACITY * np.abs(values)
    return ((1 - opacity) * pale + opacity * colour).round().astype(np.uint8)


def _shown(matches: Sequence[PatchMatch], grid: tuple[int, int]) -> list[PatchMatch]:
    """The first matches that speak for the class, in few photos, with boxes that do not overlap."""
    least = 2 * _reach(grid) + 1
    chosen: list[PatchMatch] = []
    for match in matches:
        if len(chosen) == _PATCHES:
            break
        if (
            match.margin > 0
            and len({match.photo, *(one.photo for one in chosen)}) <= _PHOTOS
            and all(
                _distance(match.query, one.query) >= least
                and (match.photo != one.photo or _distance(match.support, one.support) >= least)
                for one in chosen
            )
        ):
            chosen.append(match)
    return chosen


def _distance(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def _reach(grid: tuple[int, int]) -> int:
    """How many cells a box takes in around its patch: none where the cells are large."""
    return _BOX_CELLS // 2 if min(grid) > 3 * _BOX_CELLS else 0


def _box(place: tuple[int, int], grid: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, top, width, height), as parts of the photo, of the box of a patch."""
    reach = _reach(grid)
    (top, bottom), (left, right) = (
        (max(at - reach, 0) / count, min(at + reach + 1, count) / count) for at, count in zip(place, grid, strict=True)
    )
    return left, top, right - left, bottom - top


def _show(axes: "Axes", image: np.ndarray | None) -> None:
    """An image over the unit square, its top left at (0, 0); an empty square for a photo that is not kept."""
    if image is None:
        image = np.full((1, 1, 3), _rgb(_EMPTY), dtype=np.uint8)
    axes.imshow(image, extent=(0, 1, 1, 0), origin="upper", interpolation="bicubic", aspect="auto")
    axes.set_xlim(0, 1)
    axes.set_ylim(1, 0)


def _outline(axes: "Axes", box: tuple[float, float, float, float], colour: str, number: str) -> None:
    from matplotlib.patches import Rectangle

    left, top, width, height = box
    frame = Rectangle((left, top), width, height, fill=False, edgecolor=colour, linewidth=1.8, zorder=6)
    frame.set_path_effects(_halo(3.2))
    axes.add_patch(frame)
    above = top if top > 0.12 else top + height + 0.1  # a number over the top edge would be cut off
    text = axes.text(left, above, color=colour, va="bottom", zorder=7, **lettering(number, 9.0, "bold"))
    text.set_path_effects(_halo(2.2))


def _halo(width: float) -> list[Any]:
    """A dark rim, so that a light line shows on any photo."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=_INK)]


def _thumbnail(encoded: bytes) -> np.ndarray | None:
    """A kept JPEG as pixels, never large. No other format is read, as Pillow runs a program for some."""
    if not encoded:
        return None
    try:
        image = Image.open(io.BytesIO(encoded), formats=["JPEG"])
        image.draft("RGB", (_THUMBNAIL, _THUMBNAIL))
        return np.asarray(image.convert("RGB"))
    except Exception:  # a decoder fed a damaged file may raise anything
        return None


def _response(values: np.ndarray) -> np.ndarray:
    """Where a channel responds, (H, W) to (H, W, 3): dark where least, light where most."""
    from matplotlib import colormaps

    least, most = float(values.min()), float(values.max())
    scaled = (values - least) / (most - least) if most > least else np.zeros_like(values)
    return (255 * colormaps["magma"](scaled)[..., :3]).round().astype(np.uint8)


def _diverging() -> Any:
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("margin", [_AGAINST, "#dcdcdc", _FOR])


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
