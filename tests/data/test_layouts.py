"""Data sets as their authors ship them, on look-alikes of a few small images."""

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commands import Command
from permissions import as_nobody, open_place
from photos import class_folders, photo
from shipped import (
    EACH,
    SPLITS,
    arrays,
    birds,
    birds_in_json,
    cars,
    cars_with_devkit,
    cifar_fs,
    dogs,
    fc100,
    mini_cache,
    save,
    table,
    tiered,
)

from triptych.data import (
    KNOWN_DATA,
    KnownData,
    Preprocessing,
    check_known,
    count_splits,
    labelled,
    list_images,
    open_store,
)

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "cub": birds,
    "dogs": dogs,
    "cars": cars,
    "cifar-fs": cifar_fs,
    "fc100": fc100,
    "tieredimagenet": tiered,
    "tieredimagenet, npz": lambda root: tiered(root, npz=True),
    "cars, devkit": cars_with_devkit,
    "miniimagenet, cache": mini_cache,
    "cub, json": birds_in_json,
}
SMALL = KnownData({"train": 3, "val": 2, "test": 2}, {"train": 9, "val": 6, "test": 6}, 21, "a look-alike")


@pytest.fixture(params=LAYOUTS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return LAYOUTS[request.param](tmp_path / "data")


def test_the_splits_are_read_and_are_what_they_should_be(place: Path) -> None:
    found = check_known(place, "small", {"small": SMALL})
    assert found == count_splits(place)
    assert all(one["smallest_class"] == one["largest_class"] == EACH for one in found.values())
    store = open_store(place, "val", Preprocessing(side=20))
    assert len(store) == 6
    assert np.bincount(store.labels).tolist() == [3, 3]
    pixels = {photo(kind, n, side=20).tobytes() for kind in SPLITS["val"] for n in range(EACH)}
    if store.names[0].endswith(".jpg"):  # which lose a little
        return
    assert {image.numpy().tobytes() for image in store.images} == pixels


def test_both_forms_of_tieredimagenet_are_the_same_pixels(tmp_path: Path) -> None:
    encoded, pixels = (open_store(tiered(tmp_path / f"{npz}", npz), "val", Preprocessing(side=20)) for npz in (0, 1))
    assert encoded.names[0].endswith(".pkl:0")
    assert pixels.names[0].endswith(".npz:0")
    assert encoded.images.numpy().tobytes() == pixels.images.numpy().tobytes()


def test_none_of_the_splits_is_taken_by_chance(place: Path) -> None:
    with pytest.raises(ValueError, match="choose one"):
        labelled(place)
    assert len(labelled(place, split="train")[0]) == 9
    assert list_images(place).classes == list_images(place, "test").classes


@pytest.mark.parametrize(("layout", "classes"), [(birds, "000.Bird"), (dogs, "n000-dog"), (cars, "001.Car 0")])
def test_without_a_few_shot_split_a_data_set_is_one_whole(
    layout: Callable[[Path], Path], classes: str, tmp_path: Path
) -> None:
    place = layout(tmp_path / "data")
    for split in SPLITS:
        (place / f"{split}.csv").unlink()
    listing = list_images(place)
    assert (len(listing.classes), len(listing.labels)) == (7, 21)
    assert listing.classes[0] == classes
    with pytest.raises(ValueError, match=r"no few-shot split; put train\.csv, val\.csv and test\.csv"):
        list_images(place, "train")


def test_other_counts_are_told_with_their_source(tmp_path: Path) -> None:
    place = birds(tmp_path / "data")
    with pytest.raises(ValueError, match=r"train has 3 classes, expected 130 \(Wah et al\., 2011; the split of DN4"):
        check_known(place, "cub")
    (place / "images" / "000.Bird" / "Bird_0000_0.jpg").unlink()
    rows = (place / "train.csv").read_text().splitlines()
    (place / "train.csv").write_text("\n".join(rows[:1] + rows[2:]))
    with pytest.raises(ValueError, match=r"train has 8 images, expected 9 \(a look-alike\)"):
        check_known(place, "small", {"small": SMALL})
    with pytest.raises(ValueError, match="20 images in all, expected 21"):
        check_known(place, "small", {"small": KnownData(SMALL.classes, {}, 21, "a look-alike")})


def test_what_is_wrong_with_a_split_is_not_taken_for_its_absence(tmp_path: Path) -> None:
    place = cifar_fs(tmp_path / "data")
    (place / "splits" / "bertinetto" / "val.txt").write_text("class3\nnone\n")
    with pytest.raises(ValueError, match=r"val\.txt: .*none"):
        count_splits(place)
    (place / "splits" / "bertinetto" / "val.txt").unlink()
    assert list(count_splits(place)) == ["train", "test"]


def test_a_class_in_two_splits_is_told(tmp_path: Path) -> None:
    place = cifar_fs(tmp_path / "data")
    (place / "splits" / "bertinetto" / "test.txt").write_text("class5\nclass0\n")
    with pytest.raises(ValueError, match=r"train and test share 1 class \(class0\) and 3 photos, such as"):
        check_known(place, "small", {"small": SMALL})


@pytest.mark.parametrize("splits", [["train"], ["val"], ["test"], ["train", "val"]])
@pytest.mark.parametrize("tables", [False, True])
def test_the_splits_that_there_are_are_counted(splits: list[str], tables: bool, tmp_path: Path) -> None:
    for number, split in enumerate(splits):
        kinds = range(2 * number, 2 * number + 2)
        for kind in kinds:
            save(tmp_path / ("images" if tables else split) / f"{kind}" / f"{split}.png", kind, 0)
        if tables:
            table(tmp_path / f"{split}.csv", [(f"{kind}/{split}.png", str(kind)) for kind in kinds])
    counts = {"classes": 2, "images": 2, "smallest_class": 1, "largest_class": 1}
    assert count_splits(tmp_path) == dict.fromkeys(splits, counts)


def test_a_single_table_is_one_whole(tmp_path: Path) -> None:
    save(tmp_path / "images" / "1.png", 0, 0)
    save(tmp_path / "1.png", 0, 0)
    table(tmp_path / "all.csv", [("1.png", "ant")])
    assert list(count_splits(tmp_path)) == list(count_splits(tmp_path / "all.csv")) == ["all"]


@pytest.mark.parametrize(
    ("layout", "old", "new", "told"),
    [
        (birds, "train.csv", "Training.csv", r"Training\.csv and train\.csv are both the split train"),
        (fc100, "FC100_val.pickle", "CIFAR_FS_val.pickle", "CIFAR_FS_val.pickle and FC100_val.pickle are both"),
    ],
)
def test_two_parts_of_one_split_are_refused(
    layout: Callable[[Path], Path], old: str, new: str, told: str, tmp_path: Path
) -> None:
    place = layout(tmp_path / "data")
    shutil.copy(place / old, place / new)
    with pytest.raises(ValueError, match=f"data: {told}.*; keep one"):
        list_images(place, "test")


def test_the_known_data_sets_add_up() -> None:
    for name, known in KNOWN_DATA.items():
        assert set(known.classes) == {"train", "val", "test"}
        assert not known.images or sum(known.images.values()) == known.total, name
    assert sum(KNOWN_DATA["cub"].classes.values()) == sum(KNOWN_DATA["cub-100"].classes.values()) == 200
    assert sum(KNOWN_DATA["dogs"].classes.values()) == 120
    assert sum(KNOWN_DATA["cars"].classes.values()) == 196


class Evil:
    def __reduce__(self) -> tuple:
        return (print, ("it ran",))


class Flagged:
    """A dtype of whole numbers that a file says to be of Python's objects, as only NumPy's own C code should."""

    def __reduce__(self) -> tuple:
        return np.dtype, ("i8", False, True), (3, "<", None, None, None, -1, -1, 0x3F)


class Raw:
    """An array of other bytes, shape or type than it says."""

    def __init__(self, dtype: object, shape: tuple[int, ...], data: bytes) -> None:
        self.state = (1, shape, dtype, False, data)

    def __reduce__(self) -> tuple:
        make, arguments, _ = np.zeros(0).__reduce__()
        return make, arguments, self.state


def test_what_a_file_says_of_a_type_is_not_believed(tmp_path: Path) -> None:
    for split in SPLITS:
        data, labels = arrays(split)
        flagged = Raw(Flagged(), (len(labels),), np.array(labels, "<i8").tobytes())
        (tmp_path / f"FC100_{split}.pickle").write_bytes(pickle.dumps({"data": data, "labels": flagged}))
    assert count_splits(tmp_path)["train"]["classes"] == 3


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["<i8", ">i4", "uint8", "float32", "int"])
def test_labels_of_any_protocol_and_type(protocol: int, kind: str, tmp_path: Path) -> None:
    for split in SPLITS:
        data, labels = arrays(split)
        held = [np.int64(one) for one in labels] if kind == "int" else np.array(labels, kind)
        content = {"data": np.asfortranarray(data), "labels": held}
        (tmp_path / f"FC100_{split}.pickle").write_bytes(pickle.dumps(content, protocol=protocol))
    store = open_store(tmp_path, "val", Preprocessing(side=20))
    assert store.classes == ("003", "004")
    assert store.images.numpy().tobytes() == arrays("val")[0].tobytes()


def test_a_file_that_may_not_be_read_is_told_so() -> None:
    with open_place() as place:
        file = fc100(place / "data") / "FC100_val.pickle"
        file.chmod(0)
        with as_nobody(), pytest.raises(PermissionError, match="Permission denied"):
            list_images(file.parent, "val")


@pytest.mark.parametrize(
    "content",
    [
        Evil(),
        {"data": Evil(), "labels": [0]},
        {"data": np.array([Evil()], dtype=object), "labels": [0]},
        {"data": Raw(np.dtype("u1"), (9, 20, 20, 3), bytes(4)), "labels": [0] * 9},
        {"data": np.zeros((1, 4, 4, 3), np.uint8), "labels": Raw(Flagged(), (1,), [Evil()])},
        {"data": np.zeros((1, 4, 4, 3), np.uint8), "labels": np.zeros(1, "i8,i8")},
    ],
)
def test_a_pickle_that_holds_anything_else_is_refused_and_not_run(
    content: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in SPLITS:
        (tmp_path / f"FC100_{split}.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=r"FC100_test\.pickle: damaged, or holds more than numbers and text"):
        list_images(tmp_path)
    assert capsys.readouterr().out == ""


WHOLE = np.zeros((1, 4, 4, 3), np.uint8)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            {"data": WHOLE / 1, "labels": [0]},
            r"holds .* \(data of shape \(1, 4, 4, 3\) and type float64; expected .* of bytes",
        ),
        ({"data": WHOLE, "labels": [0, 1]}, "holds 1 image, and it holds 2 labels; expected one label per image"),
        ({"data": WHOLE, "labels": ["x"]}, "holds something else than images and labels"),
        ({"data": WHOLE[:0], "labels": []}, "holds no images"),
        ({"data": WHOLE, "fine_labels": [0]}, "expected 'labels' in it, got 'data', 'fine_labels'"),
        ([1, 2], "expected 'data' in it, got no dictionary"),
    ],
)
def test_what_a_sound_pickle_lacks_is_told(content: object, told: str, tmp_path: Path) -> None:
    for split in SPLITS:
        (tmp_path / f"FC100_{split}.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(ValueError, match=rf"FC100_test\.pickle: {told}") as caught:
        list_images(tmp_path)
    assert "which is not run" not in str(caught.value)


def test_a_pickle_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    place = fc100(tmp_path / "data")
    (place / "FC100_test.pickle").write_bytes((place / "FC100_test.pickle").read_bytes()[:500])
    with pytest.raises(ValueError, match="damaged"):
        list_images(place)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "names no class; expected the name of a class a line"),
        ("../a\n", "is no name of a folder in"),
        ("..\n", "is no name of a folder in"),
        ("class5\nclass5", "each class once"),
        ("x", "without photos .*: x"),
    ],
)
def test_wrong_lists_of_classes_are_refused(tmp_path: Path, lines: str, message: str) -> None:
    place = cifar_fs(tmp_path / "data")
    (place / "splits" / "bertinetto" / "test.txt").write_text(lines)
    with pytest.raises(ValueError, match=message):
        list_images(place)
    (place / "splits" / "own").mkdir()
    (place / "splits" / "own" / "train.txt").write_text("")
    with pytest.raises(ValueError, match=r"several splits \(bertinetto, own\)"):
        list_images(place)


@pytest.mark.parametrize("number", [0, -5, 8, 99, 1.5, float("nan")])
def test_a_number_of_no_class_of_cars_is_refused(tmp_path: Path, number: float) -> None:
    from scipy.io import loadmat, savemat

    place = cars(tmp_path / "data")
    content = loadmat(str(place / "cars_annos.mat"))
    content["annotations"][0, 3]["class"] = np.array([[number]])
    savemat(place / "cars_annos.mat", {name: content[name] for name in ("annotations", "class_names")})
    for split in SPLITS:
        (place / f"{split}.csv").unlink()
    with pytest.raises(ValueError, match=r"cars_annos.mat: damaged, or not the labels of Stanford Cars \(.*\)"):
        list_images(place)


def test_a_list_of_classes_may_begin_with_the_mark_of_its_encoding(tmp_path: Path) -> None:
    place = cifar_fs(tmp_path / "data")
    (place / "splits" / "bertinetto" / "test.txt").write_text("class5\n", encoding="utf-8-sig")
    assert list_images(place).classes == ("class5",)


def test_class_folders_of_such_names_are_still_classes(tmp_path: Path) -> None:
    class_folders(tmp_path, classes=2, each=2)
    (tmp_path / "class0").rename(tmp_path / "data")
    (tmp_path / "class1").rename(tmp_path / "images")
    assert list_images(tmp_path).classes == ("data", "images")


def test_the_command(command: Command, tmp_path: Path) -> None:
    place = cifar_fs(tmp_path / "data")
    told = command("splits", place)
    assert (told.code, told.out.splitlines()[0]) == (0, "train: 3 classes, 9 images, 3 to 3 in a class"), told.err
    refused = command("splits", place, "--expect", "cifar-fs", "--json")
    assert (refused.code, refused.out) == (2, "")
    assert "train has 3 classes, expected 64 (Bertinetto et al., ICLR 2019)" in refused.err
    assert command("splits", class_folders(tmp_path / "plain", 2, 3), "--json").json["all"]["classes"] == 2


def test_splits_that_share_photos_are_told(tmp_path: Path) -> None:
    for number in (1, 2):
        save(tmp_path / "images" / f"{number}.jpg", number, 0)
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("filename,label\n1.jpg,ant\n2.jpg,bee\n")
    told = (
        r"train and test share 2 classes \(ant, bee\) and 2 photos, such as .*1\.jpg; expected each class in one split"
    )
    with pytest.warns(UserWarning, match=told):
        assert list(count_splits(tmp_path)) == ["train", "test"]
    (tmp_path / "train.csv").rename(tmp_path / "all.csv")
    (tmp_path / "test.csv").unlink()
    assert list(count_splits(tmp_path)) == ["all"]


def test_what_is_no_photo_does_not_count(tmp_path: Path, command: Command) -> None:
    place = class_folders(tmp_path / "photos", 2, 2)
    (place / "class0" / "notes.txt").write_text("mine")
    (place / "all.csv").write_text("path,label\nclass0/0.png,a\nclass1/0.png,b\nclass1/gone.png,b\n")
    assert command("splits", place).out == "all: 2 classes, 4 images, 2 to 2 in a class\n"
    ended = command("splits", place / "all.csv")
    assert ended.out == "all: 2 classes, 2 images, 1 to 1 in a class\n"
    assert "gone.png: No such file or directory" in ended.err
