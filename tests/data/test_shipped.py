"""Other forms of well-known data sets, and what is missing or wrong in a data set as it is shipped."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import Command
from photos import class_folders
from shipped import (
    SPLITS,
    arrays,
    birds,
    birds_in_json,
    cars_with_devkit,
    cifar_fs,
    fc100,
    mini_cache,
    table,
    tiered,
)

from triptych.data import Preprocessing, count_splits, list_images, open_store


def test_the_tables_of_cars_choose_classes_where_there_are_two_folders(tmp_path: Path) -> None:
    place = cars_with_devkit(tmp_path / "data")
    listing = list_images(place, "val")
    assert listing.classes == ("004.Car 3", "005.Car 4")
    assert [(Path(name).parent.name, label) for name, label in zip(listing.names, listing.labels, strict=True)] == [
        *[("cars_train", 0)] * 2,
        *[("cars_train", 1)] * 2,
        ("cars_test", 0),
        ("cars_test", 1),
    ]
    table(place / "val.csv", [("any.jpg", "Car 3"), ("any.jpg", "004"), ("any.jpg", "005.Car 4")])
    assert list_images(place, "val").names == listing.names
    table(place / "val.csv", [("any.jpg", "8"), ("any.jpg", "Truck")])
    with pytest.raises(ValueError, match=r"val\.csv: names classes that devkit/cars_meta\.mat does not have: 8, Truck"):
        list_images(place, "val")


def test_cars_without_tables_are_one_whole(tmp_path: Path) -> None:
    place = cars_with_devkit(tmp_path / "data")
    for split in SPLITS:
        (place / f"{split}.csv").unlink()
    assert (len(list_images(place).classes), len(list_images(place).labels)) == (7, 21)
    with pytest.raises(ValueError, match=r"no few-shot split; put train\.csv"):
        list_images(place, "val")
    for part in ("cars_train", "cars_test"):  # as some archives unpack
        (place / part).rename(place / "inner")
        (place / part).mkdir()
        (place / "inner").rename(place / part / part)
    assert count_splits(place)["all"]["images"] == 21


def test_test_photos_of_cars_without_labels_are_left_out(tmp_path: Path) -> None:
    place = cars_with_devkit(tmp_path / "data", labelled=False)
    with pytest.warns(UserWarning, match=r"left out cars_test/, .* put cars_test_annos_withlabels\.mat into devkit/"):
        assert len(list_images(place, "train").labels) == 6
    shutil.rmtree(place / "cars_test")
    (place / "devkit" / "cars_test_annos.mat").unlink()
    with pytest.raises(ValueError, match=r"devkit/cars_test_annos\.mat of Stanford Cars is missing"):
        list_images(place, "train")


@pytest.mark.parametrize("name", ["cars_meta", "cars_train_annos", "cars_test_annos_withlabels"])
def test_a_damaged_file_of_the_devkit_is_told(tmp_path: Path, name: str) -> None:
    place = cars_with_devkit(tmp_path / "data")
    (place / "devkit" / f"{name}.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(ValueError, match=rf"{name}\.mat: damaged, or not the labels of Stanford Cars"):
        list_images(place, "train")


def test_the_classes_of_the_cache_of_miniimagenet_keep_their_names(tmp_path: Path) -> None:
    place = mini_cache(tmp_path / "data")
    listing = list_images(place, "test")
    assert listing.classes == ("n00000005", "n00000006")
    store = open_store(place, "test", Preprocessing(side=20))
    data, labels = arrays("test")
    of = {image.tobytes(): f"n{label:08d}" for image, label in zip(data, labels, strict=True)}
    pairs = zip(store.images.numpy(), store.labels, strict=True)
    assert all(of[image.tobytes()] == store.classes[label] for image, label in pairs)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"a": [0, 1], "b": [1, 2]}, "class b has image 1, which is in two classes"),
        ({"a": [0, 1], "b": [3]}, "class b has image 3, which is none of its 3 images"),
        ({"a": [0], "b": [-1]}, "class b has image -1, which is none of its 3 images"),
        ({"a": [0]}, "2 images of no class"),
        ({"a": "01"}, "1 image of no class"),
        ([[0, 1, 2]], "holds something else than images and labels"),
    ],
)
def test_a_cache_whose_classes_do_not_fit_its_images_is_refused(tmp_path: Path, rows: Any, told: str) -> None:
    content = {b"image_data": np.zeros((3, 4, 4, 3), np.uint8), b"class_dict": rows}
    (tmp_path / "mini-imagenet-cache-test.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"mini-imagenet-cache-test\.pkl: {told}"):
        list_images(tmp_path)


@pytest.mark.parametrize("before", ["", "images/", "C:\\data\\CUB_200_2011\\images\\", "/a/b/"])
@pytest.mark.parametrize("inside", [True, False])
def test_the_end_of_a_name_in_json_counts(tmp_path: Path, before: str, inside: bool) -> None:
    place = birds_in_json(tmp_path / "data", before)
    if not inside:  # class folders right beside the files
        for folder in (place / "images").iterdir():
            folder.rename(place / folder.name)
        (place / "images").rmdir()
    found = count_splits(place)
    assert {split: (one["classes"], one["images"]) for split, one in found.items()} == {
        "train": (3, 9),
        "val": (2, 6),
        "test": (2, 6),
    }
    assert list_images(place, "val").classes == ("003.Bird", "004.Bird")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_names": ["/x/none.jpg"], "image_labels": [0]}, "none of its images is here, such as x/none.jpg; put"),
        ({"image_names": ["../000.Bird/Bird_0000_0.jpg"], "image_labels": [0]}, "is no name of an image below"),
        ({"image_labels": [0]}, r"got something else \(6 images and 1 labels\)"),
        ({"image_labels": [9] * 6}, "the label 9, and 7 classes"),
        ({"image_labels": [True] * 6}, "a list of other things than int"),
        ({"image_names": "abc"}, "a list of other things than str"),
        ({"label_names": [" "] * 7}, "a class without a name"),
        ({"label_names": ["000.Bird"] * 7}, "'000.Bird' 7 times"),
        ({"image_names": ["/x/000.Bird/Bird_0000_0.jpg"] * 6}, "'/x/000.Bird/Bird_0000_0.jpg' 6 times"),
    ],
)
def test_a_split_in_json_with_something_wrong_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    file = birds_in_json(tmp_path / "data") / "novel.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))
    with pytest.raises(ValueError, match=rf"novel\.json: .*{told}"):
        list_images(file.parent)


def test_a_photo_at_another_depth_does_not_decide_where_all_lie(tmp_path: Path) -> None:
    place = birds_in_json(tmp_path / "data")
    listed = list_images(place).names
    first = place / json.loads((place / "novel.json").read_text())["image_names"][0].rpartition("/")[2]
    first.write_bytes(b"a copy that was forgotten here")
    assert list_images(place).names == listed


def test_a_table_of_something_else_beside_splits_in_json_is_left_out(tmp_path: Path) -> None:
    place = birds_in_json(tmp_path / "data")
    before = list_images(place).names
    table(place / "attributes.csv", [("Bird_0000_0.jpg", "000.Bird")])
    assert list_images(place).names == before


def test_two_forms_of_a_split_are_refused(tmp_path: Path) -> None:
    place = birds_in_json(tmp_path / "data")
    for file in mini_cache(tmp_path / "other").iterdir():
        file.rename(place / file.name)
    with pytest.raises(ValueError, match=r"mini-imagenet-cache-train\.pkl and base\.json are both the split train"):
        list_images(place, "train")


def test_a_json_file_of_that_name_that_is_no_split_makes_none(tmp_path: Path) -> None:
    place = class_folders(tmp_path / "own", 2, 2)
    (place / "base.json").write_text('{"extends": "other"}')
    assert len(list_images(place).names) == 4


@pytest.mark.parametrize(("text", "told"), [("{", "no JSON"), ("[]", "list"), ("{}", "no 'label_names'")])
def test_a_split_in_json_of_something_else_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = birds_in_json(tmp_path / "data") / "novel.json"
    file.write_text(text)
    with pytest.raises(ValueError, match=r"novel\.json: expected a split of Chen et al\. in JSON.*" + told):
        list_images(file.parent)


def test_of_tables_and_json_neither_is_taken_by_chance(tmp_path: Path) -> None:
    place = birds_in_json(tmp_path / "data")
    table(place / "train.csv", [("Bird_0000_0.jpg", "000.Bird")])
    with pytest.raises(ValueError, match=r"train\.csv and base\.json are both the split train; keep one"):
        list_images(place, "train")


def test_tables_without_their_images_are_told(tmp_path: Path, command: Command) -> None:
    place = birds(tmp_path / "data")
    (place / "images").rename(place / "imgs")
    ended = command("splits", place)
    assert (ended.code, ended.out) == (2, "")
    assert "test.csv, train.csv and val.csv are of a folder of images, which is missing; call it images/" in ended.err
    other = class_folders(tmp_path / "own", 2, 2)
    (other / "train.csv").write_text("a table of something else, such as notes")
    assert command("splits", other).code == 0


@pytest.mark.parametrize("lost", ["val_labels.pkl", "val_images_png.pkl"])
def test_half_of_a_split_is_an_error(tmp_path: Path, lost: str) -> None:
    place = tiered(tmp_path / "data")
    (place / lost).unlink()
    with pytest.raises(ValueError, match=rf"{lost} is missing; expected both, images and labels of the split val"):
        list_images(place, "test")


@pytest.mark.parametrize(
    ("layout", "lost"), [(birds, "val.csv"), (fc100, "FC100_val.pickle"), (cifar_fs, "splits/bertinetto/val.txt")]
)
def test_a_missing_split_is_told(layout: Callable[[Path], Path], lost: str, tmp_path: Path, command: Command) -> None:
    place = layout(tmp_path / "data")
    (place / lost).unlink()
    ended = command("splits", place)
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "val: missing")
    assert list(command("splits", place, "--json").json) == ["train", "test"]
    assert "missing" not in command("splits", class_folders(tmp_path / "plain", 2, 3)).out


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("it ran",))


def test_the_file_at_fault_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tiered(tmp_path / "data")
    (place / "test_labels.pkl").write_bytes(pickle.dumps({"label_specific": Evil()}))
    with pytest.raises(ValueError, match=r"/test_labels\.pkl: damaged, or holds more than numbers and text"):
        list_images(place)
    assert capsys.readouterr().out == ""
    shutil.copy(place / "train_labels.pkl", place / "test_labels.pkl")
    with pytest.raises(
        ValueError, match=r"/test_images_png\.pkl: holds 6 images, and .*/test_labels\.pkl holds 9 labels; expected one"
    ):
        list_images(place)


def test_the_names_in_a_pickle_may_be_bytes(tmp_path: Path) -> None:
    place = fc100(tmp_path / "data")
    before = list_images(place, "val").fingerprint()
    file = place / "FC100_val.pickle"
    content = pickle.loads(file.read_bytes())
    file.write_bytes(pickle.dumps({name.encode(): one for name, one in content.items()}))
    assert list_images(place, "val").fingerprint() == before


def test_a_table_s_columns_are_told_as_each_layout_has_them(tmp_path: Path) -> None:
    place = birds(tmp_path / "data")
    (place / "test.csv").write_text("file,class\n1.jpg,a\n")
    with pytest.raises(ValueError, match=r"expected the columns path \(or image, or filename\) and label"):
        list_images(place)
