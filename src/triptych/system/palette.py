"""Colours and markers of what is drawn side by side: given by order, so that any names and any number of them work."""

from dataclasses import dataclass

__all__ = ["COLOURS", "MARKERS", "Colour", "colour_of", "marker_of"]


@dataclass(frozen=True)
class Colour:
    """One colour in two shades; each has a contrast of at least 4.5 : 1 to the ground that it is meant for.

    Attributes:
        light: on a white ground.
        dark: on a nearly black ground.
    """

    light: str
    dark: str


COLOURS = (
    Colour("#1a63a8", "#6cb2f5"),  # blue
    Colour("#a8430a", "#ff9d5c"),  # orange
    Colour("#0b6e64", "#4fd1c5"),  # teal
    Colour("#7b3fa0", "#c9a0f5"),  # purple
    Colour("#b3261e", "#ff8a80"),  # red
    Colour("#735600", "#e0bd4a"),  # ochre
    Colour("#9c2760", "#f48fc0"),  # pink
    Colour("#4a5a10", "#b5cc5c"),  # olive
)
# Shapes around the origin, as SVG path data. Their number and that of the colours have no common divisor: 40 pairs.
MARKERS = {
    "circle": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
    "square": "M-3.5-3.5H3.5V3.5H-3.5z",
    "triangle": "M0-4.5L4.5 3.5H-4.5z",
    "diamond": "M0-5L5 0L0 5L-5 0z",
    "cross": "M-1.5-4.5H1.5V-1.5H4.5V1.5H1.5V4.5H-1.5V1.5H-4.5V-1.5H-1.5z",
}


def colour_of(order: int) -> Colour:
    """The colour of what comes at this place; from the ninth on they come again.

    >>> colour_of(0) == colour_of(8), len({colour_of(order) for order in range(8)})
    (True, 8)
    """
    return COLOURS[order % len(COLOURS)]


def marker_of(order: int) -> str:
    """The marker, as SVG path data, of what comes at this place.

    >>> len({(colour_of(order), marker_of(order)) for order in range(40)})
    40
    """
    return list(MARKERS.values())[order % len(MARKERS)]
