"""Classes, photos and files in two splits: figures of one would be of what the other has learnt."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command
from photos import class_folders
from shipped import birds, birds_in_json, cars_with_devkit, cifar_fs, fc100, mini_cache, table, tiered

from triptych.data import KnownData, check_known, count_splits

Layout = Callable[[Path], Path]
SMALL = {"small": KnownData({"train": 3, "val": 2, "test": 2}, {}, 21, "a look-alike")}


def folders(root: Path) -> Path:
    """train/, val/ and test/ with a class in the first and the last of which all photos differ."""
    for number, split in enumerate(("train", "val", "test")):
        class_folders(root / split, classes=2, each=4, first=3 * number)
    class_folders(root / "more", classes=1, each=4, first=9)
    (root / "more" / "class9").rename(root / "test" / "class0")
    (root / "more").rmdir()
    return root


def told_by(command: Command, *arguments: object) -> list[str]:
    ended = command(*arguments)
    return [line for line in ended.err.splitlines() if line.startswith("warning: ")]


def test_a_class_in_two_splits_is_told_by_each_command_in_one_line(tmp_path: Path, command: Command) -> None:
    place = folders(tmp_path / "data")
    line = f"warning: {place}: train and test share 1 class (class0); expected each class in one split"
    assert told_by(command, "splits", place) == [line]
    assert told_by(command, "train", place, "--preset", "none") == [line]
    assert told_by(command, "pretrain", place, "--out", tmp_path, "--method", "none") == [line]
    asked = ("--way", 2, "--queries", 1, "--episodes", 2)
    ended = command("evaluate", place, *asked)
    assert (ended.code, ended.err.splitlines()[0]) == (0, line)
    assert not told_by(command, "evaluate", place / "train", *asked)  # one whole
    (place / "test" / "class0").rename(place / "val" / "class0")
    assert not told_by(command, "evaluate", place, *asked)  # of the test split alone
    assert len(told_by(command, "train", place, "--preset", "none")) == 1


def shared_table(place: Path) -> None:
    table(place / "test.csv", [("Bird_0005_0.jpg", "005.Bird"), ("Bird_0000_0.jpg", "000.Bird")])


def shared_list(place: Path) -> None:
    (place / "splits" / "bertinetto" / "test.txt").write_text("class5\nclass0\n")


def shared_json(place: Path) -> None:
    shutil.copy(place / "base.json", place / "novel.json")


def shared_cars(place: Path) -> None:
    table(place / "test.csv", [("000016.jpg", "6"), ("000001.jpg", "Car 0")])


@pytest.mark.parametrize(
    ("layout", "change", "told"),
    [
        (birds, shared_table, r"train and test share 1 class \(000\.Bird\) and 1 photo, such as .*Bird_0000_0\.jpg"),
        (cifar_fs, shared_list, r"train and test share 1 class \(class0\) and 3 photos"),
        (
            birds_in_json,
            shared_json,
            r"train and test share 3 classes \(000\.Bird, 001\.Bird, 002\.Bird\) and 9 photos",
        ),
        (cars_with_devkit, shared_cars, r"train and test share 1 class \(001\.Car 0\) and 3 photos"),
    ],
)
def test_classes_in_two_splits_are_told_in_every_layout(
    layout: Layout, change: Callable[[Path], None], told: str, tmp_path: Path, command: Command
) -> None:
    place = layout(tmp_path / "data")
    change(place)
    with pytest.warns(UserWarning, match=told):
        count_splits(place)
    assert len(told_by(command, "train", place, "--preset", "none")) == 1


@pytest.mark.parametrize("layout", [fc100, tiered, mini_cache])
def test_the_same_pickle_of_two_splits_is_told(layout: Layout, tmp_path: Path, command: Command) -> None:
    place = layout(tmp_path / "data")
    assert not told_by(command, "splits", place)
    val, test = (next(iter(sorted(place.glob(f"*{split}*")))) for split in ("val", "test"))
    shutil.copy(val, test)
    told = f"{val.name} of val and {test.name} of test are the same file; expected each class in one split"
    assert any(told in line for line in told_by(command, "splits", place))
    assert any(told in line for line in told_by(command, "train", place, "--preset", "none"))
    with pytest.raises(ValueError, match="expected each class in one split"):
        check_known(place, "small", SMALL)


def test_names_in_parquet_files_are_compared_and_numbers_are_not(tmp_path: Path, command: Command) -> None:
    place = tmp_path / "data"
    place.mkdir()
    files = sorted(class_folders(tmp_path / "photos", classes=2, each=2).rglob("*.png"))
    photos = [{"bytes": path.read_bytes(), "path": path.name} for path in files]
    rows = {"train": photos, "val": photos[::-1]}
    for split, images in rows.items():
        labels = np.array([0, 0, 1, 1])
        pq.write_table(pa.table({"image": images, "label": labels}), place / f"{split}.parquet")
    assert not told_by(command, "splits", place)
    for split, images in rows.items():
        named = pa.table({"image": images, "label": ["ant", "ant", "bee", "bee"]})
        pq.write_table(named, place / f"{split}.parquet")
    assert "train and val share 2 classes (ant, bee); expected" in told_by(command, "splits", place)[0]
    shutil.copy(place / "train.parquet", place / "val.parquet")
    told = told_by(command, "train", place, "--preset", "none")
    assert told == [
        f"warning: {place}: train.parquet of train and val.parquet of val are the same file; expected each class "
        "in one split"
    ]


def test_what_is_wrong_with_data_is_told_once_by_who_reads_it(tmp_path: Path, command: Command) -> None:
    place = birds(tmp_path / "data")
    (place / "val.csv").write_text("x")
    ended = command("evaluate", place, "--split", "val")
    assert ended.code == 2
    assert ended.err.count("val.csv: expected the columns") == 1
