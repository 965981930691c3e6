"""The kit behind all pages: safe with any text, readable in light and dark."""

import re

import pytest
from jinja2 import UndefinedError
from pages import NASTY, SHOWN, check_page

from triptych.reports.kit import readable, render, stylesheet
from triptych.reports.words import signed, sureness, trust, where
from triptych.system.palette import COLOURS

NOTHING = {"title": "fruit", "summary": "", "trust": "", "classes": []}


def contrast(one: str, other: str) -> float:
    """Of two colours #rrggbb, as WCAG 2 defines it."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def tokens(mode: str) -> dict[str, str]:
    """The colours that the stylesheet names, as they are in light or dark."""
    found = re.findall(r"--(\w+): (#\w{6})", stylesheet().partition("* {")[0])
    names = list(dict.fromkeys(name for name, _ in found))
    assert [name for name, _ in found] == names * 2  # each once for light and once for dark
    return dict(found[: len(names)] if mode == "light" else found[len(names) :])


def test_any_text_is_harmless() -> None:
    page = render("inventory.html", {**NOTHING, "title": NASTY})
    elements = check_page(page)
    assert SHOWN in elements.text
    assert "\x1b" not in page


def test_control_characters_are_replaced_everywhere() -> None:
    assert readable({"a\x07": ["b\x9b", ("c\u2066", 3, None)]}) == {"a\ufffd": ["b\ufffd", ["c\ufffd", 3, None]]}
    assert readable("two\nlines\tليمون 柠檬 👩‍🌾") == "two\nlines\tليمون 柠檬 👩‍🌾"


def test_a_template_that_names_what_is_not_there_fails() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render("inventory.html", {})


@pytest.mark.parametrize("mode", ["light", "dark"])
def test_text_and_lines_stand_out_from_their_ground(mode: str) -> None:
    named = tokens(mode)
    series = {f"series {n}": getattr(colour, mode) for n, colour in enumerate(COLOURS)}
    front = {name: named[name] for name in ("ink", "soft", "accent", "good", "bad")} | series
    weak = [
        (name, ground)
        for name, colour in front.items()
        for ground in ("paper", "card")
        if contrast(colour, named[ground]) < 4.5
    ]
    assert weak == []


@pytest.mark.parametrize("mode", ["light", "dark"])
@pytest.mark.parametrize("ground", ["right", "wrong"])
def test_counts_stand_out_from_the_strongest_shade(mode: str, ground: str) -> None:
    written = stylesheet().partition("* {")[0].split("@media")[mode == "dark"]
    shade = [int(part) for part in re.search(rf"--{ground}: ([\d, ]+)", written)[1].split(",")]  # type: ignore[index]
    strongest = float(re.search(r"--strongest: ([\d.]+)", written)[1])  # type: ignore[index]
    paper = tokens(mode)["paper"]
    mixed = [
        round(strongest * part + (1 - strongest) * int(paper[at : at + 2], 16))
        for part, at in zip(shade, (1, 3, 5), strict=True)
    ]
    assert contrast("#" + "".join(f"{part:02x}" for part in mixed), tokens(mode)["ink"]) >= 4.5


def test_figures_in_words() -> None:
    assert [sureness(share) for share in (0.0, 0.004, 0.5, 0.996, 1.0)] == ["0%", "<1%", "50%", ">99%", "100%"]
    assert signed(-0.04) == signed(0.04) == "0.0"
    assert "off by 1 point on average" in trust({"left_out": 4, "accuracy": 1.0, "ece": 0.0112})
    assert "less than a point" in trust({"left_out": 4, "accuracy": 1.0, "ece": 0.001})


def test_every_place_of_a_photo_has_a_name() -> None:
    grid = (3, 3)
    names = [where((row, column), grid) for row in range(3) for column in range(3)]
    assert names[0] == "top left"
    assert names[4] == "centre"
    assert len(set(names)) == 9
    assert where((0, 0), (1, 1)) == "centre"
