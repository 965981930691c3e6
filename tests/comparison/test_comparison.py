"""The comparison on a user's folder: one record with everything, honest about what it could not use."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from photos import class_folders, photo
from toys import small_method

from triptych.comparison import CompareSettings, compare
from triptych.comparison.baselines import BASELINES
from triptych.comparison.contest import FUSED
from triptych.methods import MML, MMLConfig, Preprocessing


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four classes; one photo in a wrong one, one unreadable, one twice, one in two classes."""
    folder = class_folders(tmp_path_factory.mktemp("photos"), classes=4, each=6)
    (folder / "class0" / "broken.png").write_bytes(b"")
    shutil.copy(folder / "class0" / "1.png", folder / "class0" / "copy.png")
    shutil.copy(folder / "class1" / "1.png", folder / "class2" / "elsewhere.png")
    shutil.move(folder / "class3" / "0.png", folder / "class1" / "misplaced.png")
    return folder


@pytest.fixture(scope="module")
def record(folder: Path) -> dict[str, Any]:
    return compare(folder, method=small_method(), settings=CompareSettings(repeats=4))


def test_every_contender_is_measured_at_every_shot(record: dict[str, Any]) -> None:
    assert [point["shot"] for point in record["curve"]] == [1, 2, 5]
    for point in record["curve"]:
        assert point["contenders"].keys() == {FUSED, "distribution", "pixel", "part", "plda", *BASELINES}
        for figure in point["contenders"].values():
            assert 0.5 < figure["mean"] <= 1
            fused = point["contenders"][FUSED]["mean"]
            assert figure["difference"]["mean"] == pytest.approx(fused - figure["mean"])
    assert record["curve"][-1]["contenders"][FUSED]["mean"] > 0.9


def test_the_misplaced_photo_is_suspected_first(record: dict[str, Any]) -> None:
    suspects = record["suspects"]
    assert suspects["checked"] == record["photos"] == 23
    first = suspects["photos"][0]
    assert Path(first["photo"]["name"]).name == "misplaced.png"
    assert (first["class"], first["answer"]) == ("class1", "class3")
    assert suspects["disagreed"] == len(suspects["photos"]) < 4


def test_what_was_left_out_is_said(record: dict[str, Any]) -> None:
    assert len(record["unreadable"]) == 1
    assert "broken.png" in record["unreadable"][0]
    assert [Path(entry["left_out"]).name for entry in record["repeated"]] == ["copy.png"]
    assert [copy["class"] for copy in record["contested"][0]] == ["class1", "class2"]


def test_confusions_count_every_photo_asked(record: dict[str, Any]) -> None:
    confusion = record["confusion"]
    assert sum(entry["count"] for entry in confusion["answers"]) == record["asked"] * record["repeats"]
    right = sum(entry["count"] for entry in confusion["answers"] if entry["class"] == entry["answer"])
    mean = record["curve"][-1]["contenders"][FUSED]["mean"]
    assert right / (record["asked"] * record["repeats"]) == pytest.approx(mean)


@pytest.mark.slow
def test_the_record_is_json_and_the_seed_gives_it_again(folder: Path, record: dict[str, Any]) -> None:
    assert json.loads(json.dumps(record))["curve"] == record["curve"]
    again = compare(folder, method=small_method(), settings=CompareSettings(repeats=4))
    for key in ("curve", "confusion", "suspects", "data_fingerprint", "weights_sha256"):
        assert again[key] == record[key]
    assert (
        compare(folder, method=small_method(), settings=CompareSettings(repeats=4, seed=1))["curve"] != record["curve"]
    )


def test_photos_in_memory_and_a_table_are_taken_too(tmp_path: Path) -> None:
    images = [photo(kind, number) for kind in range(2) for number in range(3)]
    given = compare(images, [5, 5, 5, 7, 7, 7], small_method(), CompareSettings(repeats=2))
    assert [entry["name"] for entry in given["classes"]] == ["5", "7"]
    assert given["data"] is None
    class_folders(tmp_path, 2, 3)
    rows = [f"class{kind}/{number}.png,{5 + 2 * kind}" for kind in range(2) for number in range(3)]
    (tmp_path / "photos.csv").write_text("path,label\n" + "\n".join(rows))
    assert (
        compare(tmp_path / "photos.csv", method=small_method(), settings=CompareSettings(repeats=2))["curve"]
        == given["curve"]
    )


def test_a_class_of_one_photo_is_learnt_and_never_asked() -> None:
    images = [photo(0, 0), *(photo(1, number) for number in range(3)), *(photo(2, number) for number in range(3))]
    record = compare(images, ["one", *["two"] * 3, *["three"] * 3], small_method(), settings=CompareSettings(repeats=3))
    assert {entry["class"] for entry in record["confusion"]["answers"]} == {"two", "three"}
    assert record["classes"][0] == {"name": "one", "photos": 1}


def test_many_classes_of_two_photos_are_asked_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.comparison.record._WORK", (1.0, 2e7))
    images = [photo(kind, number) for kind in range(40) for number in range(2)]
    record = compare(
        images, [kind for kind in range(40) for _ in range(2)], small_method(), settings=CompareSettings(repeats=2)
    )
    assert record["asked"] == 30
    assert 0 < record["suspects"]["checked"] < 80
    assert [point["shot"] for point in record["curve"]] == [1]


def test_a_method_of_one_level_has_no_level_to_leave_out() -> None:
    images = [photo(kind, number) for kind in range(2) for number in range(3)]
    method = MML(MMLConfig(levels=("pixel",), preprocessing=Preprocessing(side=32)))
    record = compare(images, [0, 0, 0, 1, 1, 1], method, CompareSettings(repeats=2))
    assert record["curve"][0]["contenders"].keys() == {FUSED, *BASELINES}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"repeats": 1}, "^repeats must be a whole number from 2 to 1000, got 1$"),
        ({"precision": "16"}, "^precision must be one of auto, 32, bf16-search, bf16, got '16'$"),
        ({"queries": 0}, "^queries must be a whole number from 1 to 1000000, got 0$"),
        ({"shots": (0,)}, "^shots must be a tuple of 1 or more, each a whole number from 1 to 1000000"),
        ({"seed": 2**64}, "^seed must be a whole number from 0 to 18446744073709551615"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CompareSettings(**settings)


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="no such file or registered weights"):
        compare([photo(0, 0), photo(0, 1), photo(1, 0)], [0, 0, 1], "nothing")


def test_single_photos_alone_cannot_be_compared(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="a single photo"):
        compare([photo(0, 0), photo(1, 0)], [0, 1])
    with pytest.raises(ValueError, match="no class folders"):
        compare(tmp_path)
