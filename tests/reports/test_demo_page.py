"""The demonstration's page: each photo with its answer, mistakes marked, evidence for any levels."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pages import NASTY, SHOWN, check_page, jpeg, small_method

from triptych.evidence import ClassEvidence, Explanation, PatchMatch
from triptych.methods import save_method
from triptych.reports.demo_page import demo_page, demonstration
from triptych.reports.evidence import evidence_for, level_bars
from triptych.reports.scene import matched
from triptych.system.wording import compared_in_words


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("samples")
    for kind in range(2):
        (root / f"class {kind}").mkdir()
        for number in range(3):
            (root / f"class {kind}" / f"{number}.jpg").write_bytes(jpeg(kind, number))
    return root


@pytest.fixture(scope="module")
def shown(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a real method, small and untrained, makes of a few photos."""
    file = tmp_path_factory.mktemp("method") / "small.safetensors"
    save_method(small_method(), file)
    return demonstration(folder, shot=2, method=str(file))


def match(query: tuple[int, int], support: tuple[int, int], photo: int = 0, margin: float = 0.1) -> PatchMatch:
    return PatchMatch(query, photo, f"{photo}.jpg", 0, support, 0.9, margin)


def why(levels: dict[str, float], matches: list[PatchMatch] | None = None) -> Explanation:
    evidence = ClassEvidence("Lemon", 0.8, levels, levels, matches or [], [], (jpeg(0, 1), jpeg(0, 2), b""))
    other = replace(evidence, label="Pear", probability=0.2)
    return Explanation(np.zeros((16, 16, 3), np.uint8), (21, 21), [evidence, other], np.zeros((1, 21, 21)))


def page_of(why: Explanation, right: bool = True, label: str = "Lemon") -> str:
    photo = {"class": label if right else "Pear", "name": "9.jpg", "alt": f"9.jpg, a photo of {label}", "image": "abcd"}
    answer = {**photo, "label": label, "probability": 0.8, "right": right}
    classes = json.loads(json.dumps(evidence_for(why, jpeg(), ["Lemon", "Pear"], {"Lemon": {"0.jpg": jpeg(1, 1)}})))
    return demo_page(
        {
            "shot": 1,
            "method": "some-method",
            "learnt": [{"class": photo["class"], "photos": [photo]}],
            "answers": [answer],
            "evidence": [{"answer": answer, "lead": "Lead over Pear: a test.", "classes": classes}],
            "source": "",
        }
    )


def test_the_page_shows_every_photo_with_its_answer(shown: dict[str, Any]) -> None:
    page = demo_page(json.loads(json.dumps(shown)))
    elements = check_page(page)
    right = sum(answer["right"] for answer in shown["answers"])
    assert f"{right} of 2 photos recognised" in elements.text
    images = {image["alt"] for image in elements.attributes("img")}
    assert images >= {f"{n}.jpg, a photo of class {kind}" for n in range(3) for kind in range(2)}
    assert page.count('class="photo bad"') == 2 - right
    assert [one["answer"] for one in shown["evidence"]]
    for level in shown["evidence"][0]["classes"][0]["bars"]["levels"]:
        assert compared_in_words(level["name"]) in elements.text


@pytest.mark.parametrize("level", ["global", "pixel"])
def test_a_method_of_one_level(folder: Path, tmp_path: Path, level: str) -> None:
    save_method(small_method(level), tmp_path / "small.safetensors")
    shown = demonstration(folder, shot=1, method=str(tmp_path / "small.safetensors"))
    assert {len(panel["bars"]["levels"]) for one in shown["evidence"] for panel in one["classes"]} == {1}
    text = check_page(demo_page(shown)).text
    assert "together" not in text
    assert compared_in_words(level) in text
    assert ("Boxes" in text) == any(panel["scene"] for one in shown["evidence"] for panel in one["classes"])


def test_a_mistake_says_what_it_was_taken_for_and_what_it_is() -> None:
    text = " ".join(check_page(page_of(why({"pixel": 1.0}), right=False)).text.split())
    assert "taken for Lemon" in text
    assert "it is Pear" in text
    assert "Truth: Pear, 20%" in text
    assert "0 of 1 1 Lemon" in text  # class by class


def test_names_with_markup_stay_names() -> None:
    named = why({NASTY: 1.0, "b": 2.0}, [replace(match((3, 3), (9, 9)), name=NASTY)])
    page = page_of(named, label=NASTY)
    assert "<script" not in page
    assert check_page(page).text.count(SHOWN) > 3


@pytest.mark.parametrize("levels", [{}, {"only": 2.0}, {f"level {n}": n - 10.0 for n in range(30)}])
def test_any_levels_without_matches(levels: dict[str, float]) -> None:
    elements = check_page(page_of(why(levels)))
    assert all(level in elements.text for level in levels)
    assert ("together" in elements.text) == (len(levels) > 1)
    assert "looks like" not in elements.text


def test_matches_are_joined_and_told_in_words() -> None:
    elements = check_page(page_of(why({"pixel": 1.0}, [match((1, 1), (19, 19)), match((10, 10), (1, 10), photo=1)])))
    text = " ".join(elements.text.split())
    assert "The top left looks like the bottom right of 0.jpg (similarity 0.90)" in text
    assert "Lead over Pear: a test." in text
    assert "The centre looks like the top of 1.jpg" in text
    assert len(list(elements.attributes("image"))) == 2 * 3  # the photo and two learnt from, for each of two classes


def test_boxes_lie_in_their_photos() -> None:
    edges = [match((0, 0), (20, 20)), match((20, 0), (0, 20), photo=2)]
    scene = evidence_for(why({}, edges), jpeg(), ["Lemon"], {})[0]["scene"]
    first, *others = scene["photos"]
    assert [one["image"] != "" for one in scene["photos"]] == [True, True, False]  # the last was not kept
    for link, photo in zip(scene["links"], others, strict=True):
        both = [*zip(link["boxes"], (first, photo), strict=True), *zip(link["crops"], (first, photo), strict=True)]
        for box, around in both:
            for at, size in (("x", "width"), ("y", "height")):
                assert around[at] - 0.11 <= box[at]
                assert box[at] + box[size] <= around[at] + around[size] + 0.11
    assert all(one["x"] + one["width"] <= scene["width"] for one in scene["photos"])
    assert all(one["y"] + one["height"] <= scene["height"] + 0.11 for one in scene["photos"])


@pytest.mark.parametrize("grid", [(1, 1), (5, 5), (21, 21)])
def test_matches_that_speak_against_the_class_or_overlap_are_left_out(grid: tuple[int, int]) -> None:
    rows, columns = grid
    everywhere = [match((r, c), (c, r), photo=r % 4) for r in range(rows) for c in range(columns)]
    assert matched([replace(one, margin=-0.1) for one in everywhere], grid) == []
    chosen = matched(everywhere, grid)
    assert chosen[0] == everywhere[0]
    assert len(chosen) <= 4
    assert len({one.photo for one in chosen}) <= 2
    far = max(1, rows / 7)
    places = [one.query for one in chosen]
    assert all(max(abs(a - c), abs(b - d)) >= far for i, (a, b) in enumerate(places) for c, d in places[:i])


def test_bars_of_two_classes_share_one_scale() -> None:
    first, second = level_bars([{"a": 2.0, "b": -1.0}, {"a": 1.0, "b": 0.0}])
    assert [level["length"] for level in first["levels"] + second["levels"]] == [66.7, 33.3, 33.3, 0.0]
    assert first["zero"] == second["zero"] == 33.3
    assert level_bars([{"a": 0.0}])[0]["levels"][0]["length"] == 0.0


def test_a_shot_that_leaves_nothing_to_recognise(folder: Path) -> None:
    with pytest.raises(ValueError, match="shot must be between 1 and 2, so that photos remain"):
        demonstration(folder, shot=3, method="mml-conv64f")
