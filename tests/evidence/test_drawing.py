"""The picture of the evidence: always drawn, whatever the labels, the method, the grid and the user's settings are."""

import io
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from photos import photo
from PIL import Image

from triptych import Recognizer
from triptych.evidence import Explanation
from triptych.evidence.choosing import box_of, shown_matches
from triptych.evidence.drawing import draw_explanation
from triptych.evidence.lettering import lettering, wrapped
from triptych.evidence.pieces import cropped, tinted
from triptych.methods import MMLConfig, Preprocessing, build_method


def images_of(kinds: int, each: int) -> list[Image.Image]:
    return [photo(kind, number) for kind in range(kinds) for number in range(each)]


@pytest.fixture(scope="module")
def why() -> Explanation:
    return Recognizer().fit(images_of(3, 2), np.repeat(["a", "b", "c"], 2)).explain(photo(2, 100))


@pytest.fixture(scope="module")
def one(why: Explanation) -> Explanation:
    """The evidence for a single class, which is quickly drawn."""
    return replace(why, classes=why.classes[:1])


def size(drawn: bytes) -> tuple[int, int]:
    image = Image.open(io.BytesIO(drawn))
    image.load()
    assert image.format == "PNG"
    return image.size


def test_a_row_for_each_class(why: Explanation, one: Explanation, tmp_path: Path) -> None:
    why.save(tmp_path / "why.png")
    width, height = size((tmp_path / "why.png").read_bytes())
    assert (width, height) == size(draw_explanation(why))
    assert size(one._repr_png_())[0] == width
    assert size(one._repr_png_())[1] < height / 2


@pytest.mark.slow
def test_the_same_evidence_is_the_same_picture_in_any_thread(one: Explanation) -> None:
    expected = draw_explanation(one)
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(lambda _: draw_explanation(one), range(3))) == {expected}


@pytest.mark.slow
def test_the_users_settings_do_not_change_it(one: Explanation) -> None:
    expected = draw_explanation(one)
    settings = {
        "text.usetex": True,
        "savefig.bbox": "tight",
        "figure.autolayout": True,
        "figure.dpi": 30,
        "image.origin": "lower",
        "font.size": 30,
        "axes.grid": True,
    }
    with mpl.rc_context(settings):
        assert draw_explanation(one) == expected


@pytest.mark.filterwarnings("ignore:no installed font")
@pytest.mark.parametrize(
    "label",
    [
        "a very long label " * 20,
        "x" * 300,
        "柠檬和其他许多水果的名字" * 5,
        "ليمون",
        "лимон",
        "🍋",
        "$x_1$ and \\frac",
        "",
        "two\nlines\x00",
        "\ud800",
        3,
        (1, None),
    ],
)
def test_any_label_is_written(one: Explanation, label: object, caplog: pytest.LogCaptureFixture) -> None:
    named = replace(one.classes[0], label=label)
    assert size(draw_explanation(replace(one, classes=[named])))[0] > 1000
    assert not caplog.records


@pytest.mark.slow
def test_labels_that_no_font_can_write_are_named(why: Explanation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.evidence.lettering._installed", lambda _: ())
    labels = ["柠檬", "b", "苹果"]
    named = [replace(one, label=label) for one, label in zip(why.classes, labels, strict=True)]
    with pytest.warns(UserWarning, match="characters of '柠檬', '苹果': drawn with boxes; install one") as caught:
        draw_explanation(replace(why, classes=named))
    assert len(caught) == 1


def test_what_no_font_has_becomes_a_box() -> None:
    assert lettering("a\U000e0301b", 9)["s"] == "a\u25afb"
    assert lettering("ab", 9)["family"] == ["DejaVu Sans"]


def test_long_text_is_cut() -> None:
    assert wrapped("word " * 50, 20, 2)[1].endswith("\u2026")
    assert len(wrapped("柠" * 50, 20, 2)[0]) <= 10
    assert wrapped("", 20, 2) == [""]


@pytest.mark.slow
@pytest.mark.parametrize("levels", [("pixel",), ("global",), ("part",), ("distribution", "global")])
def test_methods_without_some_levels(levels: tuple[str, ...]) -> None:
    method = build_method(MMLConfig(levels=levels))
    recognizer = Recognizer(method, thumbnails=levels != ("part",)).fit(images_of(2, 2), [0, 0, 1, 1])
    assert size(draw_explanation(recognizer.explain(photo(0, 9))))[1] > 300


def test_without_thumbnails(one: Explanation) -> None:
    bare = replace(one.classes[0], thumbnails=(b"",) * 2)
    assert size(draw_explanation(replace(one, classes=[bare]))) == size(draw_explanation(one))


@pytest.mark.slow
@pytest.mark.parametrize("written", ["EPS", "PNG", "damaged"])
def test_thumbnails_that_are_no_jpeg_are_not_opened(
    one: Explanation, written: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = io.BytesIO(b"damaged")
    if written != "damaged":
        photo(0, 0).save(encoded, written)
    program = tmp_path / "gs"  # what Pillow opens an EPS file with
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # is looked for anew
    classes = [replace(one.classes[0], thumbnails=(encoded.getvalue(),) * len(one.classes[0].thumbnails))]
    without = [replace(one.classes[0], thumbnails=(b"",) * len(one.classes[0].thumbnails))]
    assert draw_explanation(replace(one, classes=classes)) == draw_explanation(replace(one, classes=without))
    assert not (tmp_path / "was-run").exists()


@pytest.mark.slow
def test_a_thousand_classes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 24, 24, 3), dtype=np.uint8)
    method = build_method(MMLConfig(preprocessing=Preprocessing(side=16)))
    explanation = Recognizer(method).fit(list(noise), list(range(1000))).explain(noise[7])
    assert explanation.grid == (4, 4)
    assert explanation.label == 7
    assert size(draw_explanation(explanation))


def test_more_classes_than_a_picture_has_room_for(why: Explanation) -> None:
    many = replace(why, classes=why.classes[:1] * 151)
    with pytest.raises(ValueError, match="a picture has room for 150 classes, got 151; ask for fewer: top=150"):
        draw_explanation(many)


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (10, 10), (37, 37)])
def test_boxes_lie_in_the_photo(grid: tuple[int, int]) -> None:
    for row in range(grid[0]):
        for column in range(grid[1]):
            left, top, width, height = box_of((row, column), grid)
            assert 0 <= left < left + width <= 1 + 1e-9
            assert 0 <= top < top + height <= 1 + 1e-9
            assert left <= (column + 0.5) / grid[1] <= left + width
            assert top <= (row + 0.5) / grid[0] <= top + height


def test_boxes_do_not_cover_each_other(why: Explanation) -> None:
    for evidence in why.classes:
        chosen = shown_matches(evidence.matches, why.grid)
        assert all(match.margin > 0 for match in chosen)
        places = [match.query for match in chosen]
        assert all(max(abs(a - c), abs(b - d)) >= 3 for i, (a, b) in enumerate(places) for c, d in places[:i])


def test_a_crop_lies_in_the_photo_and_holds_the_box() -> None:
    image = np.arange(64 * 64 * 3, dtype=np.int64).reshape(64, 64, 3)
    for row in range(8):
        for column in range(8):
            crop = cropped(image, box_of((row, column), (8, 8)))
            assert crop is not None
            assert crop.shape == (16, 16, 3)
            assert image[row * 8 + 4, column * 8 + 4, 0] in crop
    assert cropped(None, (0, 0, 1, 1)) is None


def test_tint_is_red_for_and_blue_against() -> None:
    image = np.full((40, 40, 3), 128, np.uint8)
    margins = np.array([[1.0, -1.0], [0.0, 0.0]])
    red, _, blue = tinted(image, margins, 1.0)[0, 0].tolist()
    assert red > blue + 80
    red, _, blue = tinted(image, margins, 1.0)[0, -1].tolist()
    assert blue > red + 80
    red, _, blue = tinted(image, np.zeros((2, 2)), 1.0)[0, 0].tolist()
    assert red == blue


def test_without_matplotlib_it_says_what_to_install(
    why: Explanation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)  # what an absent package looks like
    with pytest.raises(RuntimeError, match=r"pip install 'triptych\[plot\]'"):
        why.save(tmp_path / "why.png")
    assert not list(tmp_path.iterdir())
