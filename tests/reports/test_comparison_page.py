"""The page of a comparison: whole, valid, readable without pictures, and safe with any name."""

import copy
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from photos import class_folders, photo

from triptych.comparison import compare
from triptych.reports import comparison_page, verdicts
from triptych.reports.charts import learning_curve, matrix_picture

_VOID = {"meta", "img", "br", "rect", "path", "circle", "polygon"}
_NASTY = "<script>alert(\"x\")</script> & 'co'"


class _Elements(HTMLParser):
    """Every element with its attributes and text; an element that is not closed where it was opened is an error."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.found.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in _VOID:
            assert self.open.pop() == tag
        elif self.found[-1][0] != "title":
            assert tag == "rect"  # the only one with a title inside

    def handle_data(self, data: str) -> None:
        self.text += data

    def attributes(self, tag: str) -> Iterator[dict[str, str | None]]:
        return (attributes for name, attributes in self.found if name == tag)


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = class_folders(tmp_path_factory.mktemp("photos"), classes=3, each=4)
    (folder / "class0").rename(folder / "<b>class & 0")
    (folder / "class1" / "3.png").rename(folder / "class2" / "misplaced <i>.png")
    (folder / "class1" / "broken <u>.png").write_bytes(b"")
    return compare(folder, repeats=3)


def test_the_page_is_whole_and_names_everything(record: dict[str, Any]) -> None:
    elements = _Elements(comparison_page(record))
    assert next(elements.attributes("html")) == {"lang": "en"}
    assert {tag for tag, _ in elements.found} >= {"main", "h1", "h2", "table", "svg", "img"}
    for text in ("<b>class & 0", "misplaced <i>.png", "broken <u>.png", "MML, all levels", "linear SVM", "--repeats 3"):
        assert text in elements.text
    point = record["curve"][0]["contenders"]["linear SVM"]
    assert f"{100 * point['mean']:.1f} ± {100 * point['ci95']:.1f}" in elements.text


def test_pictures_have_words(record: dict[str, Any]) -> None:
    elements = _Elements(comparison_page(record))
    images = list(elements.attributes("img"))
    assert images
    assert all(image["alt"] and image["src"].startswith("data:image/jpeg;base64,") for image in images)
    for svg in elements.attributes("svg"):
        assert svg.get("aria-label") or svg.get("aria-hidden") == "true"


def test_the_page_asks_for_nothing_outside(record: dict[str, Any]) -> None:
    page = comparison_page(record)
    assert not re.search(
        r"https?:|//|url\(|@import|<link|<script|<iframe", re.sub(r'base64,[^"]*', "", page).replace("</", "<")
    )


def test_names_with_markup_stay_names(record: dict[str, Any]) -> None:
    nasty = json.loads(json.dumps(record).replace("class2", json.dumps(_NASTY)[1:-1]))
    page = comparison_page(nasty)
    assert "<script" not in page
    assert _NASTY in _Elements(page).text


def test_a_record_read_back_gives_the_same_page(record: dict[str, Any]) -> None:
    assert comparison_page(json.loads(json.dumps(record))) == comparison_page(record)


def test_verdicts_claim_a_difference_only_where_the_interval_shows_one(record: dict[str, Any]) -> None:
    told = copy.deepcopy(record)
    for gap, interval, expected in ((0.1, 0.05, "MML is better"), (-0.1, 0.05, "worse"), (0.1, 0.2, "no difference")):
        for figure in told["curve"][0]["contenders"].values():
            figure["difference"] = {"mean": gap, "ci95": interval}
        assert expected in verdicts(told | {"repeats": 5})[0]
        assert "too few splits to tell" in verdicts(told | {"repeats": 4})[0]
        marked = [
            found for found in ("better", "worse") if f'<b class="{found}"' in comparison_page(told | {"repeats": 5})
        ]
        assert marked == [found for found in ("better", "worse") if found in expected]
        assert '<b class="' not in comparison_page(told | {"repeats": 4})


def test_hundreds_of_classes_get_no_picture_but_a_list() -> None:
    images = [photo(kind, number) for kind in range(62) for number in range(2)]
    record = compare(images, [kind for kind in range(62) for _ in range(2)], repeats=2)
    page = comparison_page(record)
    assert "too many for a picture" in page
    _Elements(page)


def test_perfect_answers_leave_nothing_to_show() -> None:
    images = [photo(kind, number) for kind in range(2) for number in range(3)]
    record = compare(images, [0, 0, 0, 1, 1, 1], repeats=2)
    record["confusion"]["pairs"], record["suspects"]["photos"] = [], []
    page = comparison_page(record)
    assert "No photo was taken for another class." in page
    assert "None is suspected." in page
    assert "Left out" not in page


def test_the_curve_rises_with_accuracy_and_the_matrix_has_a_cell_per_answer() -> None:
    figure = {"mean": 0.5, "ci95": 0.1, "difference": {"mean": 0.0, "ci95": 0.0}}
    curve = [{"shot": shot, "contenders": {"pixel": {**figure, "mean": mean}}} for shot, mean in ((1, 0.2), (5, 0.8))]
    path = re.search(r'<path d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', learning_curve(curve))
    assert path is not None
    x1, y1, x2, y2 = map(float, path.groups())
    assert x1 < x2
    assert y1 > y2
    answers = [{"class": "a", "answer": "a", "count": 3}, {"class": "a", "answer": "b", "count": 1}]
    assert matrix_picture(["a", "b"], answers).count("<title>") == 2
    assert "a answered b: 1 of 4" in matrix_picture(["a", "b"], answers)


def test_the_command_writes_the_page_and_prints_the_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from triptych.cli.comparing import compare as command

    folder = class_folders(tmp_path / "photos", classes=2, each=3)
    page = tmp_path / "report.html"
    command(folder, page, repeats=2)
    printed = capsys.readouterr().out
    assert "1 photo per class: MML" in printed
    assert str(page) in printed
    assert page.read_text().startswith("<!doctype html>")
    command(folder, page, repeats=2, as_json=True)
    assert json.loads(capsys.readouterr().out)["repeats"] == 2
    with pytest.raises(ValueError, match="expected a file in a folder that exists"):
        command(folder, tmp_path / "nowhere" / "report.html")
