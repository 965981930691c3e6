"""Labelled photos come in every form people have them in, and go in the same."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_array_equal
from photos import class_folders, photo
from sklearn.model_selection import GridSearchCV, cross_val_score

from triptych import Recognizer
from triptych.data import labelled
from triptych.data.inputs import as_photos


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos"), classes=2, each=4)


@pytest.fixture(scope="module")
def frame(folder: Path) -> pd.DataFrame:
    paths = sorted(folder.rglob("*.*"))
    return pd.DataFrame({"path": [str(path) for path in paths], "label": [path.parent.name for path in paths]})


def test_folder_table_frame_and_lists_are_the_same(folder: Path, frame: pd.DataFrame) -> None:
    relative = frame.assign(path=[Path(path).relative_to(folder) for path in frame["path"]])
    relative.to_csv(folder / "photos.csv", index=False)
    forms = [
        (folder, None),
        (str(folder / "photos.csv"), None),
        (frame, None),
        (frame["path"], frame["label"]),
        (frame[["path"]], frame["label"]),
        (frame["path"].to_numpy(), frame["label"].to_numpy()),
        (list(frame["path"]), list(frame["label"])),
        (np.stack([np.asarray(photo_of(path)) for path in frame["path"]]), frame["label"]),
    ]
    query = [photo(0, 50), photo(1, 50)]
    expected = Recognizer().fit(*forms[-2]).predict_proba(query)
    for images, labels in forms:
        assert_array_equal(Recognizer().fit(images, labels).predict_proba(query), expected)


def photo_of(path: str) -> object:
    from triptych.data import read_image

    return read_image(path)


def test_nested_folders_belong_to_their_class(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"class{number}" / "summer" / "june").mkdir(parents=True)
        photo(number, 0).save(tmp_path / f"class{number}" / "a.png")
        photo(number, 1).save(tmp_path / f"class{number}" / "summer" / "june" / "a.png")
    assert {label: len(kept) for label, kept in Recognizer().fit(tmp_path).support_.items()} == {
        "class0": 2,
        "class1": 2,
    }


@pytest.mark.parametrize("dtype", ["int16", "int64", "float32", "bool", "<U8"])
def test_the_dtype_of_a_series_comes_back(folder: Path, frame: pd.DataFrame, dtype: str) -> None:
    labels = pd.Series([0] * 4 + [1] * 4).to_numpy().astype(dtype)
    series = pd.Series(labels) if dtype != "<U8" else labels
    assert Recognizer().fit(frame["path"], series).predict(frame["path"]).dtype.kind == np.dtype(dtype).kind


def test_scikit_learn_searches_over_paths(frame: pd.DataFrame) -> None:
    for images in (frame["path"], frame[["path"]], frame["path"].to_numpy()):
        assert cross_val_score(Recognizer(), images, frame["label"], cv=2).shape == (2,)
    search = GridSearchCV(Recognizer(), {"views": [1, 2], "calibrate": [False]}, cv=2)
    search.fit(frame["path"].to_numpy(), frame["label"])
    assert search.best_params_["views"] in {1, 2}
    assert search.predict(frame["path"][:2].to_numpy()).shape == (2,)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ("no/such/folder", None, "no such file or folder; expected a folder with one sub-folder .* a CSV"),
        ([1, 2], None, "labels are missing"),
        (pd.DataFrame({"a": ["x"], "b": ["y"]}), ["l"], "columns .'a', 'b'.; expected one named path"),
        (pd.DataFrame({"path": ["x"]}), None, "columns .'path'.; expected one named label"),
        (np.zeros((9, 9, 3), np.uint8), ["a"], "a single array of shape"),
        (b"photo", ["a"], "a single bytes; wrap it in a list"),
        ([b"1", b"2"], "ab", "expected a sequence of labels, got a single str"),
    ],
)
def test_what_holds_no_labelled_photos_is_refused(images: object, labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labelled(images, labels)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,name\na.png,x\n", "expected the columns path .or image, or filename. and label, .* got 'path', 'name'"),
        ("path,label\na.png,\n", "row 1 has no path or no label"),
        ("path,label\na.png\n", "row 1 has no path or no label"),
        ("", "expected the columns path .or image, or filename. and label, .* got none"),
        ("path,label\n", "no rows below the columns; add one with path and label for each photo"),
        (
            "path;label\na.png;x\n",
            "expected the columns path .or image, or filename. and label, separated by commas, got 'path;label'",
        ),
        (b"\xff\xfe\x00path", "not a CSV file in UTF-8 .*; save it as such, with the columns path and label"),
        ("path,label\nä.png,x\n".encode("latin-1"), "not a CSV file in UTF-8 .*; save it as such"),
        ("path,label\na.png,x\n".encode("utf-16"), "not a CSV file in UTF-8 .*; save it as such"),
    ],
)
def test_a_bad_table_is_named(tmp_path: Path, text: str | bytes, message: str) -> None:
    table = tmp_path / "t.csv"
    table.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"t\.csv: {message}"):
        labelled(table, None)


def test_a_generator_of_photos_is_listed() -> None:
    assert as_photos(path for path in ("a", "b")) == ["a", "b"]


def test_unknowns_are_asked_for_in_the_same_forms(frame: pd.DataFrame) -> None:
    recognizer = Recognizer().fit(frame)
    assert_array_equal(recognizer.predict(frame, unknown="none"), recognizer.predict(list(frame["path"]), "none"))
    for ask in (recognizer.answers, lambda one: recognizer.predict(one, unknown="none")):
        with pytest.raises(ValueError, match="wrap it in a list"):
            ask(frame["path"][0])


@pytest.mark.parametrize("nothing", [np.nan, pd.NA, pd.NaT, None])
def test_a_label_that_is_missing_is_no_class(frame: pd.DataFrame, nothing: object) -> None:
    labels = frame["label"].astype(object)
    labels[2] = nothing
    with pytest.raises(ValueError, match=r"images without a label \(NaN or None\): 1, the first is number 2"):
        Recognizer().fit(frame["path"], labels)


@pytest.mark.parametrize("nothing", [np.nan, pd.NA, pd.NaT, None])
def test_photos_are_not_added_to_a_label_that_is_missing(frame: pd.DataFrame, nothing: object) -> None:
    recognizer = Recognizer().fit(frame)
    with pytest.raises(ValueError, match=r"a label is (nan|<NA>|NaT|None); expected the name of a class"):
        recognizer.add([photo(5, 0)], nothing)
    assert recognizer.classes_.tolist() == ["class0", "class1"]


@pytest.mark.parametrize("labels", [np.array([3, 7], np.int16), np.array([0.5, 2]), np.array([True, False])])
def test_a_list_of_an_arrays_labels_keeps_its_dtype(frame: pd.DataFrame, labels: np.ndarray) -> None:
    repeated = np.repeat(labels, 4)
    assert Recognizer().fit(frame["path"], list(repeated)).predict(frame["path"]).dtype == labels.dtype


def test_scikit_learn_scores_a_list_of_an_arrays_labels(frame: pd.DataFrame) -> None:
    codes = list(np.unique(frame["label"].to_numpy(str), return_inverse=True)[1])
    scores = cross_val_score(Recognizer(), list(frame["path"]), codes, cv=2)
    assert_array_equal(scores, cross_val_score(Recognizer(), list(frame["path"]), frame["label"], cv=2))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", ""], "a label is empty"),
        (np.array([["a"], ["b"]]), r"label array\(\['a'\].* expected a text or a number"),
        (np.eye(2), r"label array\(\[1., 0.\]\) is a ndarray; expected a text or a number"),
        (torch.tensor([[0], [1]]), r"label array\(\[0\]\) is a ndarray; expected a text or a number"),
        (torch.tensor([0, 1], device="meta"), "a label is a Tensor; expected a text or a number"),
        (np.ma.array([0, 1], mask=[True, False]), "label masked is a MaskedConstant"),
        ({"a", "b"}, "expected a sequence of labels, got a set, in which nothing has a place"),
        (frozenset({"a", "b"}), "expected a sequence of labels, got a frozenset"),
        ({"1.jpg": "a", "2.jpg": "b"}, "expected a sequence of labels, got a dict"),
        ([np.float32(0.1), 0.1], r"the labels np.float32\(0.1\) and 0.1 read the same"),
    ],
)
def test_what_names_no_class_is_refused(labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labelled(["1.jpg", "2.jpg"], labels)


@pytest.mark.parametrize("photos", [{"1.jpg", "2.jpg"}, {"1.jpg": 0, "2.jpg": 1}])
def test_photos_without_an_order_are_refused(photos: object) -> None:
    with pytest.raises(ValueError, match=r"expected a sequence of images, got a (set|dict), in which"):
        labelled(photos, ["a", "b"])


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor([3, 7]),
        torch.tensor([3, 7], dtype=torch.bfloat16),
        [torch.tensor(3), 7],
        [np.array(3), np.array(7)],
    ],
    ids=["a tensor", "of half precision", "a tensor among numbers", "arrays without axes"],
)
def test_labels_of_pytorch_and_numpy_become_plain_values(labels: Iterable[object]) -> None:
    assert labelled(["1.jpg", "2.jpg"], labels)[1] == [3, 7]


def test_a_tensor_names_the_class_that_its_value_names(frame: pd.DataFrame) -> None:
    recognizer = Recognizer().fit(frame["path"], torch.tensor([0] * 4 + [1] * 4))
    recognizer.add([photo(5, 0)], torch.tensor(2)).add([photo(5, 1)], 2)
    assert recognizer.photo_counts() == {0: 4, 1: 4, 2: 2}
    assert recognizer.classes_.dtype == np.int64
    assert recognizer.remove(torch.tensor(2)).classes_.tolist() == [0, 1]


def test_what_an_unknown_is_called_reads_like_no_class(frame: pd.DataFrame) -> None:
    recognizer = Recognizer().fit(frame["path"], [0] * 4 + [1] * 4)
    with pytest.raises(ValueError, match="the labels 1 and '1' read the same"):
        recognizer.predict(frame["path"], unknown="1")


def test_keys_and_values_of_a_dict_have_their_order() -> None:
    given = {"1.jpg": "a", "2.jpg": "b"}
    assert labelled(given.keys(), given.values())[:2] == (["1.jpg", "2.jpg"], ["a", "b"])
