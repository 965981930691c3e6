"""One class in a picture of evidence: its levels, the photo, what matches in the photos learnt from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from triptych.evidence.choosing import PHOTOS, box_of, reach_of, shown_matches
from triptych.evidence.lettering import wrapped
from triptych.evidence.page import FAINT, GAP, LEVELS, MARGIN, NARROW, PAIR, PHOTO, ROW, TOP, Page
from triptych.evidence.pieces import INK, cropped, diverging, halo, kept_photo, outline, response, show, tinted
from triptych.evidence.records import ClassEvidence, PatchMatch
from triptych.evidence.wording import lead_in_words
from triptych.system.palette import colour_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["TITLE", "draw_headings", "draw_legend", "draw_row", "title_of"]

TITLE = 13.0  # points
_NAME, _NUMBER = 0.95, 0.5  # beside the bars, inches
_LINE = "#c9d1d9"
_PARTS = 4  # channels shown at most
_COLOURS = ("#ffb000", "#35c2ff", "#2bd66f", "#ff7ad9", "#f4f06a")
_WORDS = 44  # characters of a line below the levels


def draw_headings(page: Page) -> None:
    """What each column is."""
    heads = [(MARGIN, "Answer, and what each level adds")]
    if page.with_patches:
        heads.append((page.heat_left, "What speaks for and against it"))
        heads.append((page.pairs_left, "Side by side"))
    heads.append((page.photo_left, "The photo"))
    heads.append((page.matched_left, "Learnt from, and what matches" if page.with_patches else "Learnt from"))
    if page.with_parts:
        heads.append((page.part_left, "Strongest channels"))
    for left, words in heads:
        page.write(left, 0.16, words, colour=FAINT)


def draw_row(page: Page, rank: int) -> None:
    """The class at this rank."""
    top = TOP + rank * (ROW + GAP)
    explanation, evidence = page.explanation, page.explanation.classes[rank]
    _levels(page, evidence, rank, top)
    if page.with_patches:
        heat = page.axes(page.heat_left, top, PHOTO, PHOTO)
        show(heat, tinted(explanation.image, page.heatmaps[rank], page.strongest))
    query = page.axes(page.photo_left, top, PHOTO, PHOTO)
    show(query, explanation.image)
    matches = shown_matches(evidence.matches, explanation.grid)
    _matched(page, query, evidence, matches, top)
    for number, match in enumerate(matches):
        _pair(page, number, match, evidence, top)
    if page.with_parts:
        _parts(page, evidence, top)


def draw_legend(page: Page) -> None:
    """How to read it, below all rows."""
    top = page.legend_top
    page.write(MARGIN, top, "logits, less the mean of all classes", 7.5, FAINT)
    if page.with_patches:
        bar = page.axes(page.heat_left, top + 0.01, 0.7, 0.1)
        bar.imshow(np.linspace(-1, 1, 256)[None], cmap=diverging(), aspect="auto")
        page.write(page.heat_left + 0.78, top, "against \u2013 for", 7.5, FAINT)
        box = "a patch" if reach_of(page.explanation.grid) == 0 else "a patch and its neighbours"
        words = f"A box is {box}; its line leads to what it matches. The bars: how alike they are, 1.00 at most."
        page.write(page.photo_left, top, words, 7.5, FAINT)
    if page.with_parts:
        page.write(page.part_left, top, "where it responds; the photo it matches", 7.5, FAINT)


def title_of(label: str) -> list[str]:
    """A label in the lines that there is room for."""
    return wrapped(label, width=18, most=2)


def _levels(page: Page, evidence: ClassEvidence, rank: int, top: float) -> None:
    lines = title_of(str(evidence.label))
    for number, line in enumerate(lines):
        page.write(MARGIN, top - 0.04 + 0.23 * number, line, TITLE, weight="bold")
    page.write(MARGIN, top + 0.23 * len(lines), f"{evidence.probability:.1%}", 19.0, INK if rank == 0 else FAINT)
    count = len(evidence.contributions)
    height = min(0.25 * count, 1.5)
    bottom = top + PHOTO - 0.55
    axes = page.axes(MARGIN + _NAME, bottom - height, LEVELS - _NAME - _NUMBER, height)
    axes.set_xlim(page.least, page.most)
    axes.set_ylim(count - 0.5, -0.5)
    axes.axvline(0, color=_LINE, linewidth=1)
    for place, (level, value) in enumerate(evidence.contributions.items()):
        axes.barh(place, value, height=0.6, color=colour_of(place).light)
        middle = bottom - height + (place + 0.5) * height / count
        page.write(MARGIN, middle, level, va="center_baseline")
        page.write(MARGIN + LEVELS, middle, f"{value:+.2f}", va="center_baseline", ha="right")
    if rank == 0 and (lead := page.explanation.lead()):
        runner_up = wrapped(str(page.explanation.classes[1].label), 20)[0]
        words = lead_in_words(lead, page.explanation.patch_levels, runner_up)
        for number, line in enumerate(wrapped(words, _WORDS, most=3)):
            page.write(MARGIN, bottom + 0.12 + 0.15 * number, line, 7.5, FAINT)


def _matched(page: Page, query: "Axes", evidence: ClassEvidence, matches: Sequence[PatchMatch], top: float) -> None:
    """The class's photos, those first in which the shown patches were found, and lines to them."""
    used = list(dict.fromkeys(match.photo for match in matches))
    others = [photo for photo in range(len(evidence.thumbnails)) if photo not in used]
    for place, photo in enumerate([*used, *others][:PHOTOS]):
        left = page.matched_left + place * (PHOTO + NARROW)
        axes = page.axes(left, top, PHOTO, PHOTO)
        show(axes, kept_photo(evidence.thumbnails[photo]))
        here = [(number, match) for number, match in enumerate(matches) if match.photo == photo]
        for number, match in here:
            _link(page, number, match, query, axes)
        if here:
            page.write(left, top + PHOTO + 0.07, wrapped(here[0][1].name, 36)[0], 7.5, FAINT)


def _link(page: Page, number: int, match: PatchMatch, query: "Axes", found: "Axes") -> None:
    from matplotlib.patches import ConnectionPatch

    grid, colour = page.explanation.grid, _COLOURS[number]
    ends = []
    for axes, place in ((query, match.query), (found, match.support)):
        left, top, width, height = box_of(place, grid)
        outline(axes, (left, top, width, height), colour, str(number + 1))
        ends.append((left + width if axes is query else left, top + height / 2))
    line = ConnectionPatch(ends[0], ends[1], "data", "data", axesA=query, axesB=found)
    line.set(color=colour, linewidth=1.4, alpha=0.9, zorder=5, path_effects=halo(2.6))
    page.figure.add_artist(line)


def _pair(page: Page, number: int, match: PatchMatch, evidence: ClassEvidence, top: float) -> None:
    """A patch of the photo beside what it matches, and how alike they are."""
    y = top + number * (PAIR + 0.075)
    grid = page.explanation.grid
    photos = (page.explanation.image, kept_photo(evidence.thumbnails[match.photo]))
    for place, (image, cell) in enumerate(zip(photos, (match.query, match.support), strict=True)):
        axes = page.axes(page.pairs_left + place * (PAIR + 0.04), y, PAIR, PAIR)
        show(axes, cropped(image, box_of(cell, grid)))
    left = page.pairs_left + 2 * PAIR + 0.14
    page.write(left, y + 0.03, f"{number + 1}", 9.0, INK, weight="bold")
    page.write(left + 0.16, y + 0.03, f"{match.similarity:.2f}", 9.0)
    bar = page.axes(left, y + 0.25, 0.6, 0.09)
    bar.set_xlim(0, 1)
    bar.set_ylim(0, 1)
    bar.barh(0.5, 1, height=1, color=_LINE)
    bar.barh(0.5, max(match.similarity, 0), height=1, color=_COLOURS[number])


def _parts(page: Page, evidence: ClassEvidence, top: float) -> None:
    responses = page.explanation.responses
    for place, part in enumerate(evidence.parts[:_PARTS]):
        y = top + place * (PAIR + 0.09)
        show(page.axes(page.part_left, y, PAIR, PAIR), response(responses[part.channel]))
        axes = page.axes(page.part_left + PAIR + 0.06, y, PAIR, PAIR)
        show(axes, kept_photo(evidence.thumbnails[part.photo]))
        left = page.part_left + 2 * PAIR + 0.18
        same = part.channel == part.support_channel
        page.write(left, y + 0.06, f"{part.channel}" if same else f"{part.channel} \u2192 {part.support_channel}", 10.0)
        page.write(left, y + 0.27, f"similarity {part.similarity:.2f}", 7.5, FAINT)
