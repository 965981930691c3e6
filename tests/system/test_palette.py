"""The palette: any number of things, none of two in the same dress until many."""

from triptych.system.palette import COLOURS, MARKERS, colour_of, marker_of


def test_colours_and_markers_come_again_only_after_all_pairs() -> None:
    pairs = [(colour_of(order), marker_of(order)) for order in range(1000)]
    assert len(set(pairs)) == len(COLOURS) * len(MARKERS)
    assert pairs[:40] == pairs[40:80]


def test_each_colour_is_its_own_in_light_and_dark() -> None:
    assert len({colour.light for colour in COLOURS}) == len({colour.dark for colour in COLOURS}) == len(COLOURS)
