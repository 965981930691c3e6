"""The page of a comparison: whole, valid, readable without pictures, and safe with any name."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from commands import Command
from pages import NASTY, SHOWN, check_page, record, small_method
from photos import class_folders

from triptych.comparison import CompareSettings, compare
from triptych.methods import save_method
from triptych.reports import comparison_page, verdicts
from triptych.reports.charts import confusion_table, learning_curve, series_of


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the real comparison returns of a few small photos."""
    folder = class_folders(tmp_path_factory.mktemp("photos"), classes=3, each=2)
    (folder / "class0").rename(folder / "<b>class & 0")
    (folder / "class1" / "broken <u>.png").write_bytes(b"")
    return compare(folder, method=small_method(), settings=CompareSettings(repeats=2))


def copied(told: dict[str, Any]) -> dict[str, Any]:
    """In which no two figures are one object."""
    return json.loads(json.dumps(told))


def test_the_page_of_a_real_comparison_names_everything(measured: dict[str, Any]) -> None:
    elements = check_page(comparison_page(measured))
    for text in ("<b>class & 0", "broken <u>.png", "all levels together", "linear SVM", "--repeats 2"):
        assert text in elements.text
    point = measured["curve"][0]["contenders"]["linear SVM"]
    assert f"{100 * point['mean']:.1f}" in elements.text
    assert "±" not in elements.text  # two splits
    assert "95%" not in elements.text
    assert "Left out: 2, 5 and 10 photos per class; for each, fewer than half" in verdicts(measured)[-1]
    assert "too few splits to tell" in verdicts(measured)[0].lower()
    assert comparison_page(json.loads(json.dumps(measured))) == comparison_page(measured)


def test_names_with_markup_stay_names() -> None:
    nasty = json.loads(json.dumps(record()).replace("pear", json.dumps(NASTY)[1:-1]))
    page = comparison_page(nasty)
    assert check_page(page).text.count(SHOWN) > 5
    assert "<script" not in page


@pytest.mark.parametrize(
    ("levels", "title"),
    [
        ((), "Triptych"),
        (("a level <nobody> knows",), "a level <nobody> knows level alone"),
        (tuple(f"level {n}" for n in range(40)), "level 39 level alone"),
    ],
)
def test_any_level_names_and_any_number_of_them(levels: tuple[str, ...], title: str) -> None:
    elements = check_page(comparison_page(record(levels)))
    assert title in elements.text
    assert ("all levels together" in elements.text) == bool(levels)


def test_contenders_are_told_apart_without_colour() -> None:
    series = series_of(["all levels", *(f"level {n}" for n in range(20)), "linear SVM", "class mean"])
    drawn = {(one["style"], one["dashes"], one["marker"]) for one in series.values()}
    assert len(drawn) == len(series)
    assert series["linear SVM"]["dashes"] != series["level 3"]["dashes"]


def test_verdicts_claim_a_difference_only_where_the_interval_shows_one() -> None:
    told = copy.deepcopy(record(shots=(5,)))
    expectations = ((0.1, 0.05, "Better by 10.0"), (-0.1, 0.05, "Worse by 10.0"), (0.1, 0.2, "show no difference"))
    for gap, interval, expected in expectations:
        for figure in told["curve"][0]["contenders"].values():
            figure["difference"] = {"mean": gap, "ci95": interval}
        assert expected in verdicts(told | {"repeats": 5})[0]
        assert "Too few splits to tell" in verdicts(told | {"repeats": 4})[0]
        small = [one.get("class") for one in check_page(comparison_page(told | {"repeats": 5})).attributes("small")]
        assert set(small) == {"good" if "Better" in expected else "bad" if "Worse" in expected else None}
        assert '<small class="' not in comparison_page(told | {"repeats": 4})


def test_an_interval_stays_within_0_and_100() -> None:
    wide = copied(record(shots=(5,)))
    for figure in wide["curve"][0]["contenders"].values():
        figure |= {"mean": 0.9, "ci95": 0.3}
    assert "90.0 (60.0 to 100.0)" in check_page(comparison_page(wide)).text
    for figure in wide["curve"][0]["contenders"].values():
        figure |= {"mean": 0.1, "ci95": 0.05}
    assert "10.0 ± 5.0" in check_page(comparison_page(wide)).text


def test_a_level_that_is_better_alone_is_named() -> None:
    told = copied(record(("pixel", "part"), shots=(5,)))
    contenders = told["curve"][0]["contenders"]
    for name in contenders:
        contenders[name] |= {"mean": 0.6, "difference": {"mean": 0.0, "ci95": 0.02}}
    assert "Alone" not in verdicts(told)[0]
    contenders["part"] |= {"mean": 0.7, "difference": {"mean": -0.1, "ci95": 0.02}}
    assert verdicts(told)[0].endswith(" Alone, matched patterns (part level): 70.0%. Better by 10.0 ± 2.0 points.")
    contenders["part"]["difference"]["ci95"] = 0.2
    assert verdicts(told)[0].endswith("(part level): 70.0%. These splits show no difference (+10.0 ± 20.0 points).")


def test_hundreds_of_classes_get_no_table_but_a_list() -> None:
    names = [f"class {n}" for n in range(300)]
    answers = [{"class": name, "answer": name, "count": 1} for name in names]
    many = record() | {"classes": [{"name": name, "photos": 2} for name in names]}
    many["confusion"] |= {"answers": answers}
    assert "too many for a table" in check_page(comparison_page(many)).text


def test_perfect_answers_leave_nothing_to_show() -> None:
    perfect = record() | {"unreadable": []}
    perfect["confusion"]["pairs"], perfect["suspects"]["photos"] = [], []
    text = check_page(comparison_page(perfect)).text
    assert "No photo was taken for another class." in text
    assert "None is suspected." in text
    assert "Left out" not in text


def test_long_lists_are_cut() -> None:
    text = check_page(comparison_page(record() | {"unreadable": [f"{n}.jpg: no" for n in range(70)]})).text
    assert "Photos that cannot be read (70)" in text
    assert "49.jpg" in text
    assert "50.jpg" not in text
    assert "and 20 more" in text


def test_the_curve_rises_with_accuracy_and_stays_in_its_frame() -> None:
    figure = {"mean": 0.5, "ci95": 0.9}
    curve = [{"shot": shot, "contenders": {"x": {**figure, "mean": mean}}} for shot, mean in ((1, 0.2), (5, 0.8))]
    chart = learning_curve(curve)
    first, last = chart["series"][0]["points"]
    assert first["x"] < last["x"]
    assert first["y"] > last["y"]
    for point in (first, last):
        assert chart["shares"][-1]["y"] <= point["high"] < point["y"] < point["low"] <= chart["shares"][0]["y"]


def test_the_table_of_confusions_counts_each_answer() -> None:
    answers = [{"class": "a", "answer": "a", "count": 3}, {"class": "a", "answer": "b", "count": 1}]
    rows = confusion_table(["a", "b"], answers)
    assert [[cell["count"] for cell in row["cells"]] for row in rows] == [[3, 1], [0, 0]]
    assert [cell["right"] for cell in rows[0]["cells"]] == [True, False]
    assert [cell["shade"] for cell in rows[0]["cells"]] == [4, 2]


def test_the_command_writes_the_page_and_prints_the_verdict(tmp_path: Path, command: Command) -> None:
    folder = class_folders(tmp_path / "photos", classes=2, each=2)
    page, method = tmp_path / "report.html", tmp_path / "small.safetensors"
    save_method(small_method(), method)
    asked = ("compare", folder, "-o", page, "--method", method, "--repeats", 2)
    printed = command(*asked).out
    assert "1 photo per class: all levels together" in printed
    assert str(page) in printed
    check_page(page.read_text())
    record = json.loads(command(*asked, "--shot", 1, "--overwrite", "--json").out)
    assert (record["repeats"], record["shots"]) == (2, [1])
    refused = command("compare", folder, "-o", tmp_path / "nowhere" / "report.html")
    assert refused.code == 2
    assert "expected a file in a folder that exists" in refused.err
