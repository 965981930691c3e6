"""Recognizer: a scikit-learn classifier of photos that keeps what recognition needs and fits in one safe file."""

import io
import json
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from photos import class_folders, photo
from PIL import Image, ImageSequence
from safetensors.torch import load, save
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import cross_val_score
from toys import SIDE, small_method

from triptych import ImageError, Recognizer, load_method
from triptych.data import Preprocessing, read_photos
from triptych.fusion import LevelFusion
from triptych.methods import METHODS, WEIGHTS, build_method, method_to_bytes
from triptych.recognizer.file import _texts, checksum
from triptych.system.packed import pack, unpack
from triptych.weights import DEFAULT

SHOTS = {"a": 3, "b": 1, "c": 2}
TRUSTED = {
    "temperature": 1.0,
    "left_out_temperature": 1.0,
    "known": [1.0],
    "known_weights": [1.0] * 4,
    "accuracy": 1,
    "ece_before": 0,
    "ece": 0,
}
UNTRAINED = {"spread": [1.0] * 4, "observed": 1, "log_temperature": [0.0] * 4, "log_weight": [0.0] * 4}  # a fusion


def small(**settings: Any) -> Recognizer:
    return Recognizer(small_method(), **settings)


def support() -> tuple[list[Image.Image], list[str]]:
    images, labels = [], []
    for kind, (label, shot) in enumerate(SHOTS.items()):
        images += [photo(kind, number) for number in range(shot)]
        labels += [label] * shot
    return images, labels


@pytest.fixture(scope="module")
def fitted() -> Recognizer:
    return small().fit(*support())


def test_without_settings_it_has_the_default_weights_and_needs_no_download() -> None:
    recognizer = Recognizer().fit(*support())
    assert recognizer.method_.config == WEIGHTS[DEFAULT].config
    assert recognizer.score([photo(kind, 100) for kind in range(3)], ["a", "b", "c"]) == 1
    assert recognizer.levels([photo(0, 100)]).keys() == set(recognizer.method_.level_names)


def photo_id(image: Image.Image, side: int = SIDE) -> str:
    (read,) = read_photos([image], Preprocessing(side))
    return read.id


@pytest.fixture(scope="module")
def queries() -> list[Image.Image]:
    return [photo(kind, number) for kind in range(3) for number in range(100, 104)]


def test_recognises_new_photos_with_unequal_shots(fitted: Recognizer, queries: list[Image.Image]) -> None:
    truth = np.repeat(["a", "b", "c"], 4)
    assert fitted.score(queries, truth) > 0.9
    assert fitted.classes_.tolist() == ["a", "b", "c"]


def test_probabilities_are_a_distribution_over_classes(fitted: Recognizer, queries: list[Image.Image]) -> None:
    probabilities = fitted.predict_proba(queries)
    assert probabilities.shape == (12, 3)
    assert np.allclose(probabilities.sum(1), 1)
    assert_array_equal(fitted.classes_[probabilities.argmax(1)], fitted.predict(queries))


def test_an_answer_does_not_depend_on_the_photos_asked_with_it(fitted: Recognizer, queries: list[Image.Image]) -> None:
    together = fitted.predict_proba(queries)
    alone = np.concatenate([fitted.predict_proba([query]) for query in queries])
    assert np.allclose(together, alone, atol=1e-6)


def test_no_photos_give_no_answers(fitted: Recognizer) -> None:
    assert fitted.predict([]).shape == (0,)
    assert fitted.predict_proba([]).shape == (0, 3)


def test_paths_bytes_arrays_and_images_are_the_same_to_it(fitted: Recognizer, tmp_path: Path) -> None:
    image = photo(0, 100)
    image.save(tmp_path / "x.png")
    encoded = io.BytesIO()
    image.save(encoded, "PNG")
    forms = [image, tmp_path / "x.png", str(tmp_path / "x.png"), encoded.getvalue(), np.asarray(image)]
    probabilities = fitted.predict_proba(forms)
    assert (probabilities == probabilities[0]).all()


@pytest.mark.parametrize(
    "labels",
    [[3, 3, 3, 1, 7, 7], [True, True, True, False, True, False], [(1, "x")] * 3 + [(2, "y")] * 3, [b"y", 1, "x"] * 2],
)
def test_the_callers_labels_come_back(labels: list) -> None:
    images, _ = support()
    recognizer = small().fit(images, labels)
    answers = recognizer.predict(images).tolist()
    assert set(answers) <= set(labels)
    assert set(recognizer.classes_.tolist()) == set(labels)
    assert all(type(answer) in {type(label) for label in labels} for answer in answers)


def test_numpy_labels_keep_their_dtype() -> None:
    images, _ = support()
    answers = small().fit(images, np.array([3, 3, 3, 1, 7, 7], np.int16)).predict(images)
    assert answers.dtype == np.int16


@pytest.mark.parametrize(
    ("labels", "new", "dtype"),
    [
        (np.array([3, 7], np.uint8), 9, np.uint8),
        (np.array([3, 7], np.int8), 300, object),
        (np.array([b"ab", b"cd"]), b"quince", np.dtype("S6")),
        (np.array(["ab", "cd"]), 3, object),
    ],
)
def test_a_new_label_is_never_cut_or_refused(labels: np.ndarray, new: object, dtype: object) -> None:
    recognizer = small().fit([photo(0, 0), photo(1, 0)], labels).add([photo(2, 0)], new)
    assert set(recognizer.classes_.tolist()) == {*labels.tolist(), new}
    assert recognizer.classes_.dtype == dtype


def test_add_and_remove_equal_fitting_from_scratch(fitted: Recognizer, queries: list[Image.Image]) -> None:
    images, labels = support()
    grown = small().fit(images[:1] + images[4:], labels[:1] + labels[4:])
    grown.add(images[3:4], "b").add(images[1:3], "a")
    assert_array_equal(grown.predict_proba(queries), fitted.predict_proba(queries))
    grown.add([photo(9, 0)], "a longer name").remove("a longer name")
    assert_array_equal(grown.predict_proba(queries), fitted.predict_proba(queries))


def test_a_longer_name_is_not_cut() -> None:
    images, labels = support()
    recognizer = small().fit(images, labels).add([photo(9, 0)], "a much longer name")
    assert "a much longer name" in recognizer.classes_.tolist()


def test_the_order_of_the_photos_changes_no_bit(fitted: Recognizer, queries: list[Image.Image], tmp_path: Path) -> None:
    images, labels = support()
    backwards = small().fit(images[::-1], labels[::-1])
    assert_array_equal(backwards.predict_proba(queries), fitted.predict_proba(queries))


def test_removing_a_photo_equals_fitting_without_it(queries: list[Image.Image]) -> None:
    images, labels = support()
    recognizer = small().fit(images, labels)
    before = recognizer.support_["c"]
    gone = photo_id(images[1])
    recognizer.remove_photo(gone[:12])
    assert recognizer.support_["c"] is before
    expected = small().fit(images[:1] + images[2:], labels[:1] + labels[2:])
    assert_array_equal(recognizer.predict_proba(queries), expected.predict_proba(queries))
    assert not recognizer.knows(images[1])


def test_remove_photo_names_what_is_wrong() -> None:
    recognizer = small().fit(*support())
    for wrong, found in (("zz", "0 photos"), ("", "0 photos")):
        with pytest.raises(ValueError, match=f"{found} have an id that begins with '{wrong}'"):
            recognizer.remove_photo(wrong)
    with pytest.raises(ValueError, match="the only one of class 'b'; remove the class instead"):
        recognizer.remove_photo(recognizer.support_["b"].ids[0])
    assert {label: len(kept) for label, kept in recognizer.support_.items()} == SHOTS


def test_views_are_of_the_photo_and_make_it_blind_to_mirroring() -> None:
    images, labels = support()
    recognizer = small(views=3).fit(images, labels)
    assert (recognizer.support_["a"].views, len(recognizer.support_["a"].encoded)) == (3, 9)
    mirrored = images[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    scores, plain = (one.levels([mirrored])["pixel"][0, 0] for one in (recognizer, small().fit(images, labels)))
    assert scores == pytest.approx(8 * 8, rel=1e-3)  # every patch of the mirror image is there
    assert plain < scores - 0.1


@pytest.mark.parametrize(("setting", "bounds"), [("views", "from 1 to 64"), ("components", "of at least 2")])
@pytest.mark.parametrize("value", [0, 2.5, True])
def test_what_counts_nothing_is_refused(setting: str, bounds: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{setting} must be a whole number {bounds}, got {value}"):
        small(**{setting: value}).fit(*support())


@pytest.mark.parametrize("views", [65, 1000, 10**20])
def test_more_views_than_end_in_time_are_refused(views: int) -> None:
    with pytest.raises(ValueError, match=f"views must be a whole number from 1 to 64, got {views}"):
        small(views=views).fit(*support())


@pytest.mark.parametrize("name", ["calibrate", "thumbnails"])
@pytest.mark.parametrize("value", ["no", None, 1.0, torch.zeros(2), np.zeros(2)], ids=repr)
def test_flags_are_true_or_false(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be True or False, got"):
        small(**{name: value}).fit(*support())
    small(**{name: np.False_}).fit(*support())


def test_arguments_of_another_type_are_refused_in_words() -> None:
    images, labels = support()
    recognizer = small().fit(images, labels)
    with pytest.raises(ValueError, match=r"top must be a whole number of at least 1, got 1\.5"):
        recognizer.explain(images[0], top=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="expected the id of a photo, a text, got 5"):
        recognizer.remove_photo(5)  # type: ignore[arg-type]
    for false_alarm in (None, "0.1", float("nan"), 2):
        with pytest.raises(ValueError, match="false_alarm must be between 0 and 1, got"):
            recognizer.predict(images, unknown="none", false_alarm=false_alarm)  # type: ignore[arg-type]


def test_adding_does_not_touch_the_other_classes() -> None:
    recognizer = small().fit(*support())
    before = recognizer.support_["a"]
    recognizer.add([photo(9, 0)], "d")
    assert recognizer.support_["a"] is before


def test_the_width_of_the_names_that_came_first_leaves_no_trace() -> None:
    images = [photo(0, 0), photo(1, 0), photo(2, 0)]
    names = ["a", "b", "a longer name"]
    wanted = small().fit(images, names)
    assert small().fit(images[:2], names[:2]).add(images[2:], names[2]).fingerprint() == wanted.fingerprint()
    assert wanted.remove(names[2]).fingerprint() == small().fit(images[:2], np.array(names[:2])).fingerprint()


def test_the_order_of_the_classes_leaves_no_trace(tmp_path: Path) -> None:
    images, labels = support()
    grown = small().fit(images[3:], labels[3:]).add(images[:3], "a")  # the first class last
    assert grown.fingerprint() == small().fit(images, labels).fingerprint()
    assert grown.fingerprint() == small().fit(images[::-1], labels[::-1]).fingerprint()
    grown.save(tmp_path / "grown.triptych")
    small().fit(images, labels).save(tmp_path / "fitted.triptych")
    assert (tmp_path / "grown.triptych").read_bytes() == (tmp_path / "fitted.triptych").read_bytes()


def test_a_failed_add_changes_nothing(tmp_path: Path) -> None:
    recognizer = small().fit(*support())
    (tmp_path / "bad.jpg").write_text("no image")
    with pytest.raises(ImageError, match=r"bad.jpg"):
        recognizer.add([tmp_path / "bad.jpg"], "d")
    assert recognizer.classes_.tolist() == ["a", "b", "c"]


def test_remove_names_what_is_wrong() -> None:
    recognizer = small().fit(*support())
    with pytest.raises(ValueError, match="no class 'z'; expected one of 'a', 'b', 'c'"):
        recognizer.remove("z")
    recognizer.remove("c")
    with pytest.raises(ValueError, match="would leave one class"):
        recognizer.remove("b")


def test_scikit_learn_can_clone_and_cross_validate() -> None:
    recognizer = Recognizer(device="cpu")
    assert clone(recognizer).get_params() == recognizer.get_params()
    images = np.stack([np.asarray(photo(kind, number)) for kind in range(2) for number in range(6)])
    scores = cross_val_score(small(), images, np.repeat(["x", "y"], 6), cv=3)
    assert scores.mean() > 0.9


def test_not_fitted_says_so() -> None:
    with pytest.raises(NotFittedError, match=r"call fit"):
        Recognizer().predict([photo(0, 0)])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        ([photo(0, 0)], ["a", "b"], "one label per image, got 1 image and 2 labels"),
        ([photo(0, 0), photo(0, 1)], ["a", "a"], "at least two classes, got 1"),
        ([], [], "at least two classes, got 0"),
        ("photo.jpg", ["a"], "a single str; wrap it in a list"),
        ([photo(0, 0), photo(0, 0)], ["a", "b"], "the same photo is given as 'a' and as 'b'"),
        ([photo(0, 0), 5], ["a", "b"], "expected a path, bytes, a PIL image or a uint8 array, got int"),
        ([photo(0, 0), np.zeros((4, 4, 3))], ["a", "b"], "expected a uint8 array"),
    ],
)
def test_bad_input_is_named(images: list, labels: list, message: str) -> None:
    recognizer = small()
    with pytest.raises(ValueError, match=message):
        recognizer.fit(images, labels)
    assert not hasattr(recognizer, "classes_")


def test_unreadable_photos_are_skipped_while_others_of_their_class_remain(tmp_path: Path) -> None:
    folder = class_folders(tmp_path, classes=2, each=2)
    (folder / "class0" / "broken.jpg").write_bytes(b"")
    paths = sorted(folder.rglob("*.*"))
    with pytest.warns(UserWarning, match=r"skipped 1 unreadable photo:\n.*broken.jpg: the file is empty"):
        recognizer = small().fit(paths, [path.parent.name for path in paths])
    assert {label: len(kept) for label, kept in recognizer.support_.items()} == {"class0": 2, "class1": 2}


def test_the_same_photo_twice_in_a_class_counts_once() -> None:
    images, labels = support()
    with pytest.warns(UserWarning, match="the same photo as .* among the photos of 'a'"):
        recognizer = small().fit([*images, images[0]], [*labels, "a"])
    assert len(recognizer.support_["a"]) == 3


def test_a_class_or_a_photo_is_removed_by_one_name() -> None:
    images, labels = support()
    recognizer, other = small().fit(images, labels), small().fit(images, labels)
    photo_id = recognizer.support_["a"].ids[0]
    assert recognizer.remove(photo=photo_id).fingerprint() == other.remove_photo(photo_id).fingerprint()
    assert recognizer.remove("b").fingerprint() == other.remove(label="b").fingerprint()
    for arguments in ({}, {"label": "a", "photo": photo_id}):
        with pytest.raises(ValueError, match="expected a label or the id of a photo, one of the two"):
            recognizer.remove(**arguments)


def test_a_folder_in_place_of_photos_is_told_what_to_give(tmp_path: Path) -> None:
    recognizer = small().fit(*support())
    for ask in (recognizer.predict, recognizer.predict_proba, lambda photos: recognizer.add(photos, "d")):
        for folder in (tmp_path, str(tmp_path)):
            with pytest.raises(ValueError, match=r"got the folder .*; give the photos in it, such as sorted\(Path"):
                ask(folder)


def test_many_photos_that_are_there_already_are_one_warning() -> None:
    images, labels = support()
    recognizer = small().fit(images, labels)
    mine = [photo for photo, label in zip(images, labels, strict=True) if label == "a"]
    with pytest.warns(UserWarning, match="already") as warned:
        recognizer.add([*mine, *mine, photo(0, 77)], "a")
    (told,) = (str(one.message) for one in warned)
    assert told.startswith("6 photos are there already: ")
    assert told.count("among the photos of 'a'") == 3
    assert told.endswith(", ...; counted once")
    assert len(recognizer.support_["a"]) == len(mine) + 1


def test_all_photos_in_two_classes_are_named(tmp_path: Path) -> None:
    folder = class_folders(tmp_path, classes=3, each=2)
    for number in range(2):
        (folder / "class2" / f"copy{number}.png").write_bytes((folder / "class0" / f"{number}.png").read_bytes())
    with pytest.raises(ValueError, match="the same photo is given") as caught:
        small().fit(folder)
    head, *told = str(caught.value).split("\n  ")
    assert head == "2 photos are given in two classes:"
    assert told == [
        f"{folder}/class0/{number}.png and {folder}/class2/copy{number}.png: the same photo is given as 'class0' and "
        "as 'class2'; keep it in one class"
        for number in range(2)
    ]


def test_knows_the_photos_it_was_fitted_on(fitted: Recognizer) -> None:
    assert fitted.knows(photo(0, 0))
    assert not fitted.knows(photo(0, 100))


def test_a_saved_recognizer_answers_bit_for_bit_the_same(
    fitted: Recognizer, queries: list[Image.Image], tmp_path: Path
) -> None:
    fitted.save(tmp_path / "x.triptych")
    loaded = Recognizer.load(tmp_path / "x.triptych")
    assert_array_equal(loaded.predict_proba(queries), fitted.predict_proba(queries))
    assert_array_equal(loaded.predict(queries), fitted.predict(queries))
    assert loaded.knows(photo(0, 0))
    grown, expected = loaded.add([photo(9, 0)], "d"), small().fit(*support()).add([photo(9, 0)], "d")
    assert_array_equal(grown.predict_proba(queries), expected.predict_proba(queries))


def test_the_same_recognizer_is_the_same_file(fitted: Recognizer, tmp_path: Path) -> None:
    for name in ("one", "two"):
        fitted.save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_labels_keep_their_type_through_a_file(tmp_path: Path) -> None:
    images, _ = support()
    small().fit(images, np.array([3, 3, 3, 1, 7, 7], np.int16)).save(tmp_path / "x.triptych")
    assert Recognizer.load(tmp_path / "x.triptych").predict(images).dtype == np.int16


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, 2), (3, 4)), (np.datetime64("2026-01-01", "ns"), np.datetime64("2026-01-02", "ns"))],
    ids=["tuples", "dates"],
)
def test_labels_that_are_no_text_or_number_cannot_be_saved(tmp_path: Path, one: Any, other: Any) -> None:
    images, _ = support()
    recognizer = small().fit(images, [one] * 3 + [other] * 3)
    with pytest.raises(ValueError, match=r"label .* cannot be saved; expected a string"):
        recognizer.save(tmp_path / "x.triptych")
    assert not list(tmp_path.iterdir())


@pytest.fixture
def saved(fitted: Recognizer, tmp_path: Path) -> Path:
    fitted.save(tmp_path / "x.triptych")
    return tmp_path / "x.triptych"


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_an_export_is_no_recogniser(tmp_path: Path, ending: str) -> None:
    (tmp_path / f"shelf.{ending}").write_bytes(b"of another format")
    with pytest.raises(ValueError, match=rf"shelf\.{ending} is an export, not a recogniser; expected the \.triptych"):
        Recognizer.load(tmp_path / f"shelf.{ending}")


@pytest.mark.parametrize("kept", [0, 4, 100, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved: Path, kept: float) -> None:
    data = saved.read_bytes()
    saved.write_bytes(data[: kept if isinstance(kept, int) else int(kept * len(data))])
    with pytest.raises(ValueError, match=r"x.triptych: truncated, damaged or not a .triptych file"):
        Recognizer.load(saved)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.triptych")
    with pytest.raises(ValueError, match=r"x.triptych: no plain file; expected a .triptych file"):
        Recognizer.load(tmp_path / "x.triptych")


def test_every_altered_byte_is_noticed_or_means_the_same(saved: Path) -> None:
    """The last of 17 digits may be another and the number the same."""
    data, known = saved.read_bytes(), Recognizer.load(saved).fingerprint()
    rng = np.random.default_rng(0)
    places = [*rng.integers(0, len(data), 20), *rng.integers(8, 1200, 20), len(data) - 1]
    for place in map(int, places):
        saved.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        if chr(data[place]).isdigit() and _means_the_same(saved, known):
            continue
        with pytest.raises(ValueError, match=r"x\.triptych"):
            Recognizer.load(saved)


def _means_the_same(path: Path, known: str) -> bool:
    try:
        return Recognizer.load(path).fingerprint() == known
    except ValueError:
        return False


def rewritten(path: Path, **changes: object) -> Path:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]
    content = json.loads(header["triptych"]) | changes
    path.write_bytes(save(load(data), {"triptych": json.dumps(content)}))
    return path


def test_a_newer_version_asks_for_an_update(saved: Path) -> None:
    with pytest.raises(ValueError, match="newer triptych; update"):
        Recognizer.load(rewritten(saved, version=7))


def test_another_kind_of_file_is_refused(saved: Path) -> None:
    with pytest.raises(ValueError, match=r"not a \.triptych file"):
        Recognizer.load(rewritten(saved, format="something"))


def test_altered_names_are_noticed(saved: Path) -> None:
    with pytest.raises(ValueError, match="damaged or altered"):
        Recognizer.load(rewritten(saved, labels=["b", "a", "c"]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["a", "a", "a"]}, "two classes or more"),
        ({"labels": "abc"}, "expected strings, numbers and booleans"),
        ({"labels": ["a", "b", "a"]}, "expected different ones"),
        ({"labels": ["a", "b", None]}, "expected strings, numbers and booleans"),
        ({"labels": [[], 1, 2]}, "expected strings, numbers and booleans"),
        ({"labels": ["1", 1, "b"]}, "the labels '1' and 1 read the same"),
        ({"labels": ["x" * 1000] * 3}, "labels are .{80}; expected two classes or more"),
        ({"labels": [1.0, 70000.0, 2.0], "dtype": "f2"}, "its labels are not of the type 'f2'"),
        ({"labels": [1, 2, 300], "dtype": "u1"}, "its labels are not of the type 'u1'"),
        ({"labels": [1.5, 2.5, 3.5], "dtype": "i4"}, "its labels are not of the type 'i4'"),
        ({"dtype": "i4"}, "its labels are not of the type 'i4'"),
        ({"dtype": "c16"}, "its labels are not of the type 'c16'"),
        ({"dtype": "M8[ns]"}, r"its labels are not of the type 'M8\[ns\]'"),
        ({"dtype": "O"}, "its labels are not of the type 'O'"),
        ({"dtype": "x"}, "its labels are not of the type 'x'"),
        ({"dtype": []}, r"its labels are not of the type \[\]"),
        ({"settings": None}, "its settings are None; expected views, calibrate, thumbnails"),
        ({"settings": {"views": 1, "calibrate": True}}, "its settings are .*; expected views, calibrate, thumbnails"),
        ({"settings": {"views": True, "calibrate": True, "thumbnails": True}}, "its setting views must be a whole"),
        ({"settings": {"views": 1, "calibrate": 1, "thumbnails": True}}, "its setting calibrate must be True or False"),
        ({"names": "x" * 6}, "the name of a photo is no text"),
        ({"ids": 5}, "not 32 hexadecimal digits"),
        ({"ids": ["zz"] * 6}, "not 32 hexadecimal digits"),
        ({"ids": ["0" * 32] * 6}, "two photos have the same id"),
        ({"names": [1] * 6}, "the name of a photo is no text"),
        ({"fusion": [1]}, "its fusion has other parts"),
        ({"fusion": {**UNTRAINED, "more": [1.0]}}, "its fusion has other parts"),
        ({"fusion": {**UNTRAINED, "spread": ["x"] * 4}}, "its fusion holds no numbers"),
        ({"fusion": {**UNTRAINED, "observed": 1e30}}, "its fusion holds no numbers"),
        ({"fusion": {**UNTRAINED, "spread": [-1.0] * 4}}, "its fusion holds numbers that are not finite or out"),
        (
            {"fusion": {**UNTRAINED, "log_temperature": [1e38] * 4}},
            "its fusion holds numbers that are not finite or out",
        ),
        ({"fusion": {**UNTRAINED, "spread": [float("nan")] * 4}}, "its fusion holds numbers that are not"),
        ({"settings": {"views": 3, "calibrate": True, "thumbnails": True}}, "photos, names and maps disagree"),
        (
            {"settings": {"views": 0, "calibrate": True, "thumbnails": True}},
            "its setting views must be a whole number of at least 1",
        ),
        ({"calibration": {**TRUSTED, "known": []}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "temperature": "warm"}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "known": [[1.0]]}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "known": [2.0, 1.0]}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "known": [10**400]}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "more": 1}}, "its calibration has other parts"),
        ({"fusion": {**UNTRAINED, "spread": [1.0]}}, "its fusion is of other levels"),
        ({"calibration": {**TRUSTED, "temperature": float("nan")}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "ece": "no"}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "ece": 1e308}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "accuracy": -1.0}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "left_out_temperature": 0}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "known_weights": [float("nan")] * 4}}, "its calibration holds numbers"),
        ({"calibration": {**TRUSTED, "temperature": 5e-324}}, "its calibration holds numbers"),
        ({"labels": [float("nan"), 1.5, 2.5]}, "NaN names no class"),
        (
            {"calibration": {**TRUSTED, "known_weights": [1.0]}},
            "the weights of what is known are not those of its levels",
        ),
    ],
    ids=str,
)
def test_a_file_with_a_true_checksum_and_false_contents_is_refused(saved: Path, changes: dict, message: str) -> None:
    data = rewritten(saved, **changes).read_bytes()
    tensors, content = unpack(data, "triptych-recognizer", 6, "x")
    rewritten(saved, checksum=checksum(tensors, _texts(content)))
    with pytest.raises(ValueError, match=rf"x\.triptych: damaged: .*{message}"):
        Recognizer.load(saved)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("similarities", torch.zeros(1, 3, 4)),
        ("similarities", torch.full((5, 3, 4), float("nan"))),
        ("similarities", torch.full((5, 3, 4), -3e38)),
        ("thumbnails", torch.zeros(6, dtype=torch.uint8)),
        ("left_out", torch.tensor([0, 1, 2, 3, 99])),
        ("left_out", torch.tensor([0, 1, 2, 3, 3])),
        ("left_out", torch.tensor([0, 1, 2, 3, -1])),
        ("left_out", torch.tensor([[0, 1, 2, 3, 4]])),
        ("owners", torch.tensor([0, 0, 0, 1, 1, 1])),
        ("owners", torch.tensor([0, 0, 0, 1, 2, 3])),
        ("owners", torch.tensor(1)),
    ],
    ids=[
        *("too few", "no numbers", "too large", "no JPEG", "no such photo", "twice", "below", "a table"),
        *("a class without photos", "a photo without a class", "one number"),
    ],
)
def test_false_numbers_are_refused(saved: Path, name: str, value: torch.Tensor) -> None:
    tensors, content = unpack(saved.read_bytes(), "triptych-recognizer", 6, "x")
    tensors[name] = value
    if name == "thumbnails":
        tensors["thumbnail_sizes"] = torch.ones(6, dtype=torch.int64)
    content["checksum"] = checksum(tensors, _texts(content))
    saved.write_bytes(pack(tensors, "triptych-recognizer", 6, content))
    with pytest.raises(ValueError, match=r"x\.triptych: damaged: its parts do not fit together \((the|a) "):
        Recognizer.load(saved)


@pytest.mark.parametrize(("width", "encoding"), [(1100, "JPEG"), (10, "PNG")])
def test_thumbnails_are_small_jpegs(saved: Path, width: int, encoding: str) -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (width, 10)).save(encoded, encoding)
    tensors, content = unpack(saved.read_bytes(), "triptych-recognizer", 6, "x")
    tensors["thumbnails"] = torch.tensor(list(encoded.getvalue() * 6), dtype=torch.uint8)
    tensors["thumbnail_sizes"] = torch.full((6,), len(encoded.getvalue()))
    content["checksum"] = checksum(tensors, _texts(content))
    saved.write_bytes(pack(tensors, "triptych-recognizer", 6, content))
    with pytest.raises(ValueError, match=r"x\.triptych: damaged: .*a thumbnail is no small JPEG"):
        Recognizer.load(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("encoded.codes"), "the maps of its photos are not those"),
        (
            lambda tensors: tensors.update({"encoded.more": tensors["encoded.codes"].clone()}),
            "the maps of its photos are not those",
        ),
        (
            lambda tensors: tensors.update({"encoded.codes": tensors["encoded.codes"][:, :3].clone()}),
            "the maps of its photos are not those",
        ),
        (
            lambda tensors: tensors.update({"encoded.maps": tensors["encoded.maps"].float()}),
            "the maps of its photos are not those",
        ),
        (lambda tensors: tensors["encoded.maps"].fill_(float("inf")), "not finite"),
        (
            lambda tensors: tensors.update({"encoded.codes": tensors["encoded.codes"][:5].clone()}),
            "same number of images",
        ),
    ],
    ids=["a part less", "a part more", "too narrow", "of another precision", "infinite", "of fewer photos"],
)
def test_what_is_not_encoded_as_its_method_does_is_refused(
    saved: Path, change: Callable[[dict[str, torch.Tensor]], object], message: str
) -> None:
    tensors, content = unpack(saved.read_bytes(), "triptych-recognizer", 6, "x")
    change(tensors)
    content["checksum"] = checksum(tensors, _texts(content))
    saved.write_bytes(pack(tensors, "triptych-recognizer", 6, content))
    with pytest.raises(ValueError, match=rf"x\.triptych: damaged: its parts do not fit together .*{message}"):
        Recognizer.load(saved)


def test_a_file_that_tells_a_width_of_labels_cuts_no_longer_ones(saved: Path) -> None:
    """Files did when the format was new."""
    tensors, content = unpack(rewritten(saved, dtype="<U1").read_bytes(), "triptych-recognizer", 6, "x")
    rewritten(saved, checksum=checksum(tensors, _texts(content)))
    recognizer = Recognizer.load(saved).add([photo(9, 0)], "quince")
    assert recognizer.classes_.tolist() == ["a", "b", "c", "quince"]


def test_views_set_after_fitting_count_from_the_next_fit_on(tmp_path: Path) -> None:
    images, labels = support()
    recognizer = small().fit(images, labels).set_params(views=2).add([photo(0, 50)], "a")
    recognizer.save(tmp_path / "x.triptych")
    assert Recognizer.load(tmp_path / "x.triptych").views == 1
    assert recognizer.fit(images, labels).support_["a"].views == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none.triptych: no such file"):
        Recognizer.load(tmp_path / "none.triptych")


def test_a_file_holds_little_more_than_the_maps(saved: Path) -> None:
    per_photo = 64 * 8 * 8 * 2 + 10_000  # bytes of a float16 map and a thumbnail
    method = len(method_to_bytes(small_method()))
    assert saved.stat().st_size < 6 * per_photo + method + 50_000


def test_any_method_works_in_it() -> None:
    images, labels = support()
    recognizer = Recognizer(build_method(replace(METHODS["dn4-conv64f"], preprocessing=Preprocessing(side=SIDE)))).fit(
        images, labels
    )
    assert set(recognizer.levels(images[:1])) == {"pixel"}
    assert set(recognizer.predict(images)) <= set(labels)


def test_a_network_of_too_large_numbers_is_named() -> None:
    method = build_method(replace(METHODS["dn4-conv64f"], preprocessing=Preprocessing(side=SIDE)))
    for weights in method.backbone.parameters():
        weights.data.mul_(100)
    with pytest.raises(ValueError, match="above 65504"):
        Recognizer(method).fit(*support())


def test_ordinary_use_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small().fit(*support()).predict([photo(0, 100)])


@pytest.mark.parametrize("version", [1, 5])
def test_a_file_of_an_earlier_version_is_refused_in_one_line(saved: Path, version: int) -> None:
    with pytest.raises(ValueError, match=r"x\.triptych: written by an earlier triptych.*; fit it anew$") as caught:
        Recognizer.load(rewritten(saved, version=version))
    assert "\n" not in str(caught.value)


def test_answers_stream_and_name_what_cannot_be_read(fitted: Recognizer, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_text("no image")
    asked = []

    def photos() -> Iterator[object]:
        for number in range(200):
            asked.append(number)
            yield tmp_path / "bad.jpg" if number == 3 else photo(number % 3, 0 if number == 4 else 100 + number)

    answers = fitted.answers(photos())
    first = [next(answers) for _ in range(5)]
    assert len(asked) < 150  # read ahead, but not all
    assert first[3].label is None
    assert "bad.jpg" in first[3].error
    assert first[4].in_support
    assert not first[0].in_support
    assert [answer.label for answer in first[:3]] == ["a", "b", "c"]
    assert first[0].probability == first[0].probabilities.max()


def test_answers_go_on_while_classes_are_added(queries: list[Image.Image]) -> None:
    recognizer = small().fit(*support())
    expected = recognizer.predict(queries).tolist()
    answers = recognizer.answers(queries)
    first = next(answers).label
    recognizer.add([photo(9, 0)], "A, before the others").remove("a")
    assert [first, *(answer.label for answer in answers)] == expected


def test_weights_too_large_to_compute_with_are_an_error(queries: list[Image.Image]) -> None:
    method = deepcopy(small_method())
    with torch.no_grad():
        method.fusion.log_weight.fill_(1e38)
    for calibrate in (False, True):
        with pytest.raises(ValueError, match="scores that are not finite"):
            Recognizer(method, calibrate=calibrate).fit(*support())


@pytest.mark.parametrize("calibrate", [False, True])
def test_weights_whose_scores_overflow_are_refused_before_anything_is_asked(calibrate: bool) -> None:
    method = build_method(replace(METHODS["frn-conv64f"], preprocessing=Preprocessing(side=32))).eval()
    with torch.no_grad():
        method.get_parameter("alpha").fill_(1e20)
    with pytest.raises(ValueError, match="scores that are not finite"):
        Recognizer(method, calibrate=calibrate).fit(*support())


def test_weights_too_large_explain_nothing(fitted: Recognizer, queries: list[Image.Image]) -> None:
    recognizer = deepcopy(fitted)
    fusion = recognizer.knowledge_.fusion
    assert isinstance(fusion, LevelFusion)
    fusion.log_temperature.data.fill_(1e38)
    for ask in (recognizer.predict, recognizer.predict_proba):
        with pytest.raises(ValueError, match="scores that are not finite"):
            ask(queries)
    with pytest.raises(ValueError, match="scores that are not finite"):
        recognizer.explain(queries[0])


def test_a_method_that_cannot_take_photos_is_told() -> None:
    method = build_method(replace(METHODS["dn4-conv64f"], preprocessing=Preprocessing(side=2)))
    with pytest.raises(ValueError, match="the method cannot compare photos of 2 pixels"):
        Recognizer(method).fit(*support())


def test_what_is_no_label_cannot_be_removed() -> None:
    with pytest.raises(ValueError, match=r"label \[\] is a list"):
        small().fit(*support()).remove([])


def test_a_share_above_all_numbers_is_refused(queries: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="false_alarm must be between 0 and 1"):
        small().fit(*support()).predict(queries, unknown="none", false_alarm=10**400)


def test_threads_that_add_at_once_lose_nothing() -> None:
    recognizer = small().fit(*support())
    added = {"w": 5, "x": 6, "y": 7, "z": 8}
    with ThreadPoolExecutor(len(added)) as pool:
        list(pool.map(lambda label: recognizer.add([photo(added[label], 0), photo(added[label], 1)], label), added))
    assert recognizer.classes_.tolist() == ["a", "b", "c", *added]


def test_photos_are_those_of_the_moment_they_were_given_at(
    fitted: Recognizer, queries: list[Image.Image], tmp_path: Path
) -> None:
    """One array, or one image of many frames, as cameras and films give their pictures."""
    expected = fitted.predict_proba(queries)
    one = np.empty_like(np.asarray(queries[0]))

    def pictures() -> Iterator[np.ndarray]:
        for query in queries:
            one[:] = np.asarray(query)
            yield one

    assert_array_equal(fitted.predict_proba(pictures()), expected)
    queries[0].save(tmp_path / "film.tiff", save_all=True, append_images=queries[1:])
    with Image.open(tmp_path / "film.tiff") as film:
        assert_array_equal(fitted.predict_proba(ImageSequence.Iterator(film)), expected)


def test_an_image_given_many_times_is_decoded_once_at_a_time(fitted: Recognizer, tmp_path: Path) -> None:
    photo(0, 0, side=900).save(tmp_path / "large.png")
    for _ in range(5):
        with Image.open(tmp_path / "large.png") as image:
            probabilities = fitted.predict_proba([image] * 8)
        assert (probabilities == probabilities[0]).all()


def test_unknowns_are_told_apart(queries: list[Image.Image]) -> None:
    images, labels = [photo(kind, i) for kind in range(3) for i in range(6)], np.repeat(["a", "b", "c"], 6)
    recognizer = small().fit(images, labels)
    strangers = [Image.fromarray(np.random.default_rng(i).integers(0, 256, (90, 90, 3), np.uint8)) for i in range(6)]
    assert set(recognizer.predict(strangers)) <= set("abc")
    assert set(recognizer.predict(strangers, unknown="none of these")) == {"none of these"}
    answers = recognizer.predict(queries, unknown="none of these")
    assert answers.dtype.kind == "U"
    assert (answers == "none of these").mean() < 0.3
    strict = recognizer.predict(queries, unknown="none of these", false_alarm=0.99)
    assert (strict == "none of these").sum() >= (answers == "none of these").sum()


def test_an_unknown_of_another_type_gives_objects() -> None:
    images = [photo(kind, i) for kind in range(2) for i in range(3)]
    recognizer = small().fit(images, [1, 1, 1, 2, 2, 2])
    assert recognizer.predict(images).dtype == int
    assert recognizer.predict(images, unknown=-1).dtype == int
    noise = np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)
    assert recognizer.predict([noise], unknown="none").tolist() == ["none"]


def test_unknowns_are_not_called_as_a_class(fitted: Recognizer, queries: list[Image.Image]) -> None:
    with pytest.raises(ValueError, match="'a', which is a class"):
        fitted.predict(queries, unknown="a")
    with pytest.raises(ValueError, match="unknown is empty; expected what to call"):
        fitted.predict(queries, unknown="")
    with pytest.raises(ValueError, match="is a list; expected a text or a number"):
        fitted.predict(queries, unknown=[])


def test_unknowns_need_a_class_of_two_photos() -> None:
    recognizer = small().fit([photo(0, 0), photo(1, 0)], ["a", "b"])
    assert recognizer.calibration_ is None
    assert recognizer.predict([photo(0, 1)]).tolist() == ["a"]
    with pytest.raises(ValueError, match="add a second one to some class"):
        recognizer.predict([photo(0, 1)], unknown="none")
    with pytest.raises(ValueError, match=r"false_alarm must be between 0 and 1, got 1\.5"):
        small().fit(*support()).predict([photo(0, 1)], unknown="none", false_alarm=1.5)


@torch.no_grad()
@pytest.mark.parametrize("calibrate", [True, False])
def test_calibration_weighs_the_levels_and_divides_the_logits(queries: list[Image.Image], calibrate: bool) -> None:
    recognizer = small(calibrate=calibrate).fit(*support())
    levels = {name: torch.from_numpy(scores) for name, scores in recognizer.levels(queries).items()}
    fusion, temperature = recognizer.method_.fusion, 1.0
    if calibrate:
        assert recognizer.calibration_ is not None
        fusion, temperature = recognizer.fusion_, recognizer.calibration_.temperature
        assert not torch.equal(fusion.log_weight, recognizer.method_.fusion.log_weight)
        assert abs(np.log(temperature)) > 1e-3
    expected = (fusion(levels).double() / temperature).softmax(1)
    np.testing.assert_allclose(recognizer.predict_proba(queries), expected, rtol=1e-4)


def test_a_file_keeps_calibration_and_settings(queries: list[Image.Image], tmp_path: Path) -> None:
    recognizer = small(views=2, thumbnails=False).fit(*support())
    recognizer.save(tmp_path / "x.triptych")
    loaded = Recognizer.load(tmp_path / "x.triptych")
    for name, value in recognizer.fusion_.state_dict().items():
        assert torch.equal(loaded.fusion_.state_dict()[name], value)
    assert loaded.calibration_ == recognizer.calibration_
    assert (loaded.views, loaded.thumbnails, loaded.calibrate) == (2, False, True)
    assert loaded.support_["a"].thumbnails == (b"", b"", b"")
    assert_array_equal(loaded.predict_proba(queries), recognizer.predict_proba(queries))


@pytest.mark.parametrize("device", ["nowhere", "mps:7"])
def test_a_device_that_is_not_there_is_named(device: str) -> None:
    with pytest.raises(ValueError, match=f"^device {device}: expected auto, cpu or cuda"):
        small(device=device).fit(*support())


def test_a_class_needs_a_name() -> None:
    recognizer = small().fit(*support())
    with pytest.raises(ValueError, match="a label is empty"):
        recognizer.add([photo(9, 0)], "")
    assert recognizer.classes_.tolist() == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("a\0.triptych", "expected a path, got one with a null character"), ("a" * 300, "a{60}.*: File name too long")],
    ids=["null", "long"],
)
def test_what_is_no_name_of_a_file_is_told(fitted: Recognizer, name: str, message: str) -> None:
    for ask in (fitted.save, Recognizer.load, load_method):
        with pytest.raises(ValueError, match=message):
            ask(name)


def test_a_method_without_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="the method's weights are on the device meta"):
        Recognizer(deepcopy(small_method()).to("meta")).fit(*support())


def test_a_label_that_the_type_of_the_others_cannot_hold_comes_back_from_a_file(tmp_path: Path) -> None:
    images, labels = support()
    recognizer = small().fit(images, np.array(["abc".index(label) for label in labels], np.float32))
    recognizer.add([photo(7, 0)], 0.1).add([photo(8, 0)], 1e300).save(tmp_path / "x.triptych")
    assert Recognizer.load(tmp_path / "x.triptych").classes_.tolist() == [0, 0.1, 1, 2, 1e300]
