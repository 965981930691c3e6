"""Labelled photos: what lies in each layout of a data set, and what is said where nothing can be listed."""

import io
import json
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from photos import photo
from PIL import Image

from triptych import Recognizer
from triptych.data import (
    ImageError,
    Listing,
    Preprocessing,
    labelled,
    list_folder,
    list_images,
    read_image,
    read_photos,
)
from triptych.folders.places import photos_at
from triptych.system.packed import pack


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_folders(root: Path) -> Path:
    """ant: 0 and 1; bee: 2."""
    for shade, place in enumerate(["ant/a.png", "ant/b.png", "bee/a.png"]):
        write(root / place, png(shade))
    return root


def write_csv(root: Path, rows: list[tuple[str, str]], split: str = "test", head: str = "filename,label") -> Path:
    (root / "images").mkdir(parents=True, exist_ok=True)
    (root / f"{split}.csv").write_text("\n".join([head, *(",".join(row) for row in rows)]) + "\n")
    return root


def parquet(path: Path, labels: list, class_names: list[str] | None = None, **columns: list) -> Path:
    images = [{"bytes": png(shade), "path": f"{shade}.png"} for shade in range(len(labels))]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table(columns or {"image": pa.array(images, kind), "label": labels})
    if class_names:
        features = {"image": {"_type": "Image"}, "label": {"names": class_names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def contents(listing: Listing) -> list[tuple[int, str]]:
    """(shade of the image, its class) in the listing's order."""
    shades = [read_image(photo).getpixel((0, 0))[0] for photo in listing.photos()]
    assert len(listing.names) == len(listing.sources) == len(listing.labels)
    assert listing.labels.dtype == np.int64
    return list(zip(shades, [listing.classes[label] for label in listing.labels], strict=True))


def fingerprint(data: Path, split: str | None = None) -> str:
    listing = list_images(data, split)
    return listing.fingerprint()


# Folders of class folders.


def test_class_folders_are_listed_in_order(tmp_path):
    listing = list_images(write_folders(tmp_path))
    assert contents(listing) == [(0, "ant"), (1, "ant"), (2, "bee")]
    assert listing.classes == ("ant", "bee")
    assert listing.names == [str(tmp_path / place) for place in ("ant/a.png", "ant/b.png", "bee/a.png")]


def test_a_string_names_a_folder_too(tmp_path):
    assert contents(list_images(str(write_folders(tmp_path)), "test")) == contents(list_folder(tmp_path))


def test_folders_below_a_class_folder_belong_to_the_class(tmp_path):
    write_folders(tmp_path)
    write(tmp_path / "bee" / "summer" / "july" / "z.png", png(3))
    assert contents(list_images(tmp_path)) == [(0, "ant"), (1, "ant"), (2, "bee"), (3, "bee")]


@pytest.mark.parametrize(
    "hidden",
    [".hidden/a.png", "__MACOSX/a.png", "ant/.DS_Store", "ant/.thumbs/a.png", "ant/__MACOSX/a.png", "notes.txt"],
)
def test_hidden_files_and_files_beside_the_classes_are_ignored(tmp_path, hidden):
    write_folders(tmp_path)
    write(tmp_path / hidden, b"no photo")
    assert contents(list_images(tmp_path)) == [(0, "ant"), (1, "ant"), (2, "bee")]


def test_hidden_class_folders_are_named_and_counted(tmp_path):
    for name in ("ant/a.png", "bee/a.png", ".plum/a.png", ".fig/a.png"):
        write(tmp_path / name, png(7))
    write(tmp_path / ".git" / "config", b"no photo")
    told = r"2 hidden folders of photos \(\.fig, \.plum\)"
    with pytest.warns(UserWarning, match=f"left out {told}; rename what is a class"):
        assert list_folder(tmp_path).classes == ("ant", "bee")
    for name in ("ant", "bee"):
        (tmp_path / name / "a.png").unlink()
        (tmp_path / name).rmdir()
    with pytest.raises(ValueError, match=f"no class folders in it but {told}"):
        list_folder(tmp_path)


def test_accents_in_either_form_are_of_one_class(tmp_path):
    apart, composed = "A\u0308pfel", "\xc4pfel"
    for name in (f"{apart}/a.png", f"{composed}/b.png", "bee/a.png"):
        write(tmp_path / "photos" / name, png(7))
    assert list_folder(tmp_path / "photos").classes == ("bee", composed)
    table = tmp_path / "photos" / "all.csv"
    table.write_text(f"path,label\n{apart}/a.png,{apart}\n{composed}/b.png,{composed}\nbee/a.png,bee\n", "utf-8")
    assert list_images(table).class_names() == [composed, composed, "bee"]
    cells = [{"bytes": png(7), "path": None}] * 3
    pq.write_table(pa.table({"image": cells, "label": [apart, composed, "bee"]}), tmp_path / "all.parquet")
    listing = list_images(tmp_path / "all.parquet")
    assert sorted(listing.classes) == ["bee", composed]
    assert listing.class_names() == [composed, composed, "bee"]


@pytest.mark.parametrize(
    ("labels", "told"),
    [(["1", 1], "'1' and 1"), (["True", True], "'True' and True"), (["A\u0308", "\xc4"], r"'A\\u0308' and '\\xc4'")],
)
def test_classes_that_read_the_same_are_refused(labels, told):
    given = np.array([*labels, *labels], dtype=object)
    with pytest.raises(ValueError, match=f"the labels {told} read the same; expected classes that differ as text"):
        labelled([png(shade) for shade in range(4)], given)


@pytest.mark.parametrize("values", [{"a", "b"}, {"a": 1, "b": 2}, frozenset("ab")])
def test_what_has_no_order_is_no_sequence(values):
    for photos, labels in ((values, ["a", "b"]), ([png(1), png(2)], values)):
        with pytest.raises(ValueError, match=rf"expected a sequence of \w+, got a {type(values).__name__}, in which"):
            labelled(photos, labels)


def test_labels_that_are_missing_or_tensors():
    photos = [png(shade) for shade in range(4)]
    assert labelled(photos, torch.tensor([0, 0, 1, 1]))[1] == [0, 0, 1, 1]
    assert labelled(photos, list(torch.tensor([0, 0, 1, 1])))[1] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"images without a label \(NaN or None\): 2, the first is number 1"):
        labelled(photos, ["a", None, "b", None])


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    for heading, column in (("path,label,label", "label"), ("path,path,label", "path")):
        (tmp_path / "x.csv").write_text(f"{heading}\na,b,c\n")
        with pytest.raises(ValueError, match=f"has two columns {column}; expected one"):
            list_images(tmp_path / "x.csv")


@pytest.mark.parametrize("names", [{"0": "a"}, [5, None], "", [" "]])
def test_class_names_of_a_parquet_file_are_texts(tmp_path, names):
    table = pa.table({"image": [{"bytes": png(1), "path": None}], "label": [0]})
    told = json.dumps({"info": {"features": {"label": {"names": names}}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": told}), tmp_path / "x.parquet")
    with pytest.raises(ValueError, match=r"x.parquet: the names of its classes are no list of texts"):
        list_images(tmp_path / "x.parquet")


def test_a_hidden_folder_above_the_data_hides_nothing(tmp_path):
    root = write_folders(tmp_path / ".cache" / "__data")
    assert len(list_images(root).labels) == 3


def test_a_photo_whose_name_begins_with_underscores_is_listed(tmp_path):
    write_folders(tmp_path)
    write(tmp_path / "bee" / "__7.png", png(7))
    assert (7, "bee") in contents(list_images(tmp_path))


def test_an_empty_folder_says_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match="no class folders in it; expected a folder with one sub-folder") as caught:
        list_images(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_class_folders_without_files_are_all_named(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "dog").mkdir()
    write(tmp_path / "cat" / ".DS_Store", b"")
    told = f"{tmp_path}: class folders without files: cat, dog; put photos in them or remove them"
    with pytest.raises(ValueError, match=re.escape(told)):
        list_images(tmp_path)


def test_class_folders_without_files_are_left_out_while_two_others_remain(tmp_path):
    write_folders(tmp_path)
    (tmp_path / "awl").mkdir()
    (tmp_path / "cat").mkdir()
    with pytest.warns(UserWarning, match="left out class folders without files: awl, cat"):
        listing = list_folder(tmp_path, to_learn=True)
    assert contents(listing) == [(0, "ant"), (1, "ant"), (2, "bee")]
    assert listing.classes == ("ant", "bee")
    for file in (tmp_path / "ant").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="without files: ant, awl, cat; put photos in them"):
        list_folder(tmp_path, to_learn=True)


def test_photos_beside_the_class_folders_are_named(tmp_path):
    write_folders(tmp_path)
    for name in ("notes.txt", ".hidden.png", "5.JPG"):
        write(tmp_path / name, b"")
    with pytest.warns(UserWarning, match=r"left out 1 photo beside the class folders: 5\.JPG; put each into") as caught:
        assert len(list_images(tmp_path).labels) == 3
    assert str(tmp_path) in str(caught[0].message)
    for name in "1234":
        write(tmp_path / f"{name}.webp", b"")
    with pytest.warns(UserWarning, match=r"left out 5 photos .*: 1\.webp, 2\.webp, 3\.webp, \.\.\.; put"):
        list_folder(tmp_path)


def test_a_missing_path_says_what_was_expected(tmp_path):
    with pytest.raises(ValueError, match=r"no such file or folder; expected .*Parquet.*hf:NAME") as caught:
        list_images(tmp_path / "absent")
    assert str(tmp_path / "absent") in str(caught.value)


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(ValueError, match="unknown split 'dev'; expected one of train, val, test"):
        list_images(write_folders(tmp_path), "dev")


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_plain_folder_has_no_training_split(tmp_path, split):
    with pytest.raises(ValueError, match=f"has no split {split!r}, it is one whole; expected train/ and val/ in it"):
        list_images(write_folders(tmp_path), split)


# Folders of class folders below train/, val/ and test/.


@pytest.mark.parametrize("val", ["val", "validation", "valid", "dev"])
def test_split_folders_are_listed_one_at_a_time(tmp_path, val):
    for shade, place in enumerate(["train/ant/a.png", f"{val}/bee/a.png", "test/cat/a.png"]):
        write(tmp_path / place, png(shade))
    assert contents(list_images(tmp_path, "train")) == [(0, "ant")]
    assert contents(list_images(tmp_path, "val")) == [(1, "bee")]
    assert contents(list_images(tmp_path, "test")) == [(2, "cat")]
    assert contents(list_images(tmp_path)) == [(2, "cat")]


def test_a_missing_split_folder_is_named(tmp_path):
    write_folders(tmp_path / "train")
    with pytest.raises(ValueError, match=r"no split 'val'; it has train/"):
        list_images(tmp_path, "val")
    with pytest.raises(ValueError, match=r"no split 'test'; it has train/"):
        list_images(tmp_path)


# images/ and tables.


def test_tables_are_listed_in_their_order(tmp_path):
    root = write_csv(tmp_path, [("b.png", "bee"), ("a.png", "ant"), ("sub/c.png", "bee")])
    write_csv(root, [("b.png", "wasp")], split="train")
    for shade, name in enumerate(["a.png", "b.png", "sub/c.png"]):
        write(root / "images" / name, png(shade))
    assert contents(list_images(root)) == [(1, "bee"), (0, "ant"), (2, "bee")]
    assert contents(list_images(root, "train")) == [(1, "wasp")]


def test_a_table_saved_by_a_spreadsheet_is_read(tmp_path):
    root = write_csv(tmp_path, [])
    (root / "test.csv").write_bytes('\ufefflabel,filename,note\r\n"bee, wild",a.png,x\r\n'.encode())
    write(root / "images" / "a.png", png(5))
    assert contents(list_images(root)) == [(5, "bee, wild")]


def test_a_table_with_other_columns_is_refused(tmp_path):
    root = write_csv(tmp_path, [("a.png", "bee")], head="file,class")
    with pytest.raises(
        ValueError,
        match=r"test.csv: expected the columns path .or image, or filename. and label, .* got 'file', 'class'",
    ):
        list_images(root)


def test_an_empty_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"test.csv: no rows below the columns"):
        list_images(write_csv(tmp_path, []))
    (tmp_path / "test.csv").write_text("")
    with pytest.raises(
        ValueError, match=r"test.csv: expected the columns path .or image, or filename. and label, .* got none"
    ):
        list_images(tmp_path)


@pytest.mark.parametrize("row", [("b.png",), ("b.png", ""), ("", "bee")], ids=str)
def test_a_row_without_filename_or_label_is_named(tmp_path, row):
    with pytest.raises(ValueError, match=r"test.csv: row 2 has no path or no label"):
        list_images(write_csv(tmp_path, [("a.png", "ant"), row]))


def test_a_missing_table_is_named(tmp_path):
    root = write_csv(tmp_path, [("a.png", "bee")], split="train")
    with pytest.raises(ValueError, match=r"no split 'val'; it has train.csv"):
        list_images(root, "val")


def test_a_photo_that_the_table_names_and_the_folder_lacks_is_named_when_read(tmp_path):
    listing = list_images(write_csv(tmp_path, [("absent.png", "bee")]))
    assert len(listing.fingerprint()) == 32
    with pytest.raises(ImageError, match=r"absent.png: No such file"):
        read_image(listing.photos()[0])


# Parquet.


def test_parquet_takes_class_names_from_the_metadata(tmp_path):
    parquet(tmp_path / "test-00000-of-00001.parquet", [4, 1, 4], ["a", "bee", "c", "d", "eel"])
    listing = list_images(tmp_path)
    assert contents(listing) == [(0, "eel"), (1, "bee"), (2, "eel")]
    assert listing.classes == ("bee", "eel")  # classes of other splits are not among them
    assert listing.names[1] == "test-00000-of-00001.parquet:1 1.png"


@pytest.mark.parametrize("labels", [[7, 30, 7], ["7", "30", "7"]])
def test_parquet_without_metadata_names_classes_by_their_labels(tmp_path, labels):
    listing = list_images(parquet(tmp_path / "photos.parquet", labels))
    assert contents(listing) == [(0, "7"), (1, "30"), (2, "7")]


@pytest.mark.parametrize("split", [None, "train", "val", "test"])
def test_a_single_parquet_file_is_one_whole(tmp_path, split):
    path = parquet(tmp_path / "anything.parquet", [0, 1], ["ant", "bee"])
    assert contents(list_images(path, split)) == [(0, "ant"), (1, "bee")]


def test_shards_follow_each_other_and_splits_are_kept_apart(tmp_path):
    names = ["ant", "bee", "cat"]
    parquet(tmp_path / "train-00001-of-00002.parquet", [2], names)
    parquet(tmp_path / "train-00000-of-00002.parquet", [0, 2], names)
    parquet(tmp_path / "validation-00000-of-00001.parquet", [1], names)
    assert contents(list_images(tmp_path, "train")) == [(0, "ant"), (1, "cat"), (0, "cat")]
    assert contents(list_images(tmp_path, "val")) == [(0, "bee")]


def test_a_missing_parquet_split_says_what_was_found(tmp_path):
    parquet(tmp_path / "train.parquet", [0])
    with pytest.raises(ValueError, match=r"no split 'test'; it has train.parquet"):
        list_images(tmp_path)


@pytest.mark.parametrize(
    "columns",
    [
        {"picture": [1], "label": [1]},
        {"image": [{"bytes": b"x", "path": ""}], "class": [1]},
        {"image": [b"x"], "label": [1]},
        {"image": [{"path": "a.png"}], "label": [1]},
        {"image": [None], "label": [1]},
    ],
    ids=["no image", "no label", "bare bytes", "no bytes", "null"],
)
def test_a_parquet_file_with_other_columns_is_refused(tmp_path, columns):
    path = parquet(tmp_path / "a.parquet", [], **columns)
    with pytest.raises(ValueError, match=r"not a Parquet file with image .bytes, path. and label columns") as caught:
        list_images(path)
    assert str(path) in str(caught.value)


def test_a_parquet_file_that_only_points_at_photos_is_refused(tmp_path):
    cells = pa.array([{"bytes": None, "path": "a.png"}], pa.struct({"bytes": pa.binary(), "path": pa.string()}))
    path = parquet(tmp_path / "a.parquet", [], image=cells, label=[1])
    with pytest.raises(ValueError, match=r"a.parquet: not a Parquet file .*no bytes in the image 'a.png'"):
        list_images(path)


@pytest.mark.parametrize("label", [None, -1, 2])
def test_a_parquet_label_that_names_no_class_is_refused(tmp_path, label):
    path = parquet(tmp_path / "a.parquet", [0, label, 1], ["ant", "bee"])
    with pytest.raises(ValueError, match=rf"a.parquet:1 1.png: the label {label} names no class"):
        list_images(path)


def test_parquet_files_that_name_classes_otherwise_are_refused(tmp_path):
    parquet(tmp_path / "test-0.parquet", [0, 1], ["ant", "bee"])
    parquet(tmp_path / "test-1.parquet", [0, 1], ["bee", "ant"])
    with pytest.raises(
        ValueError, match=r"test-1.parquet: names its classes otherwise than .*test-0.parquet; expected"
    ):
        list_images(tmp_path)


def test_parquet_labels_of_several_kinds_are_refused(tmp_path):
    parquet(tmp_path / "test-0.parquet", [0, 1])
    parquet(tmp_path / "test-1.parquet", ["ant", "bee"])
    with pytest.raises(ValueError, match=r"test-0.parquet:0 0.png: labels of several kinds, texts and numbers"):
        list_images(tmp_path)


def test_an_empty_parquet_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="the table has no rows"):
        list_images(parquet(tmp_path / "a.parquet", pa.array([], pa.int64())))


@pytest.mark.parametrize("total", ["3", "00003"])
def test_a_missing_shard_is_missed(tmp_path: Path, total: str) -> None:
    for number in (0, 2):
        path = parquet(tmp_path / f"train-{number:0{len(total)}d}-of-{total}.parquet", ["ant", "bee"])
    for read in (labelled, list_images):
        with pytest.raises(ValueError, match=rf"Parquet files are missing: train-0*1-of-{total}; add them"):
            read(tmp_path)
    assert len(list_images(path).labels) == 2  # a file that is named is read alone


def test_shards_may_be_counted_from_one(tmp_path: Path) -> None:
    for number in (1, 2):
        parquet(tmp_path / f"train-{number}-of-2.parquet", ["ant", "bee"])
    assert len(labelled(tmp_path)[0]) == 4


def test_what_lies_beside_parquet_files_is_told(tmp_path: Path) -> None:
    write_folders(tmp_path)
    parquet(tmp_path / "train-0.parquet", ["cat", "dog"])
    (tmp_path / "train.csv").write_text("path,label\nant/a.png,ant\n")
    with pytest.warns(UserWarning, match=r"left out ant, bee, train.csv; only the Parquet files are read"):
        assert labelled(tmp_path)[1] == ["cat", "dog"]


def test_folders_of_parquet_files_are_no_classes(tmp_path: Path) -> None:
    for folder in ("data", "more"):
        (tmp_path / folder).mkdir()
        parquet(tmp_path / folder / "train-0.parquet", ["ant", "bee"])
    for read in (labelled, list_images):
        with pytest.raises(ValueError, match=r"Parquet files lie in .*data; name that folder"):
            read(tmp_path)
    assert labelled(tmp_path / "data")[1] == ["ant", "bee"]


def test_labels_of_parquet_files_are_those_of_csv_files(tmp_path: Path) -> None:
    assert labelled(parquet(tmp_path / "x.parquet", [" ant ", "ant", "bee"]))[1] == ["ant", "ant", "bee"]
    with pytest.raises(ValueError, match=r"x.parquet:1 1.png: the label '  ' names no class"):
        list_images(parquet(tmp_path / "x.parquet", ["ant", "  "]))
    with pytest.raises(ValueError, match=r"x.parquet: names a class twice; expected each class once"):
        list_images(parquet(tmp_path / "x.parquet", [0, 1, 2], ["ant", "ant", "bee"]))


def test_a_hidden_parquet_file_is_left_out(tmp_path: Path) -> None:
    parquet(tmp_path / ".train-0.parquet", ["cat"])
    parquet(tmp_path / "photos.parquet", ["ant", "bee"])
    assert labelled(tmp_path)[1] == ["ant", "bee"]
    assert len(photos_at(tmp_path).photos.names) == 2


def test_damaged_parquet_files_are_told_in_our_words(tmp_path: Path) -> None:
    path = parquet(tmp_path / "x.parquet", ["ant", "bee"])
    path.write_bytes(b"PAR1" + bytes(200) + path.read_bytes()[204:])
    with pytest.raises(ValueError, match=r"not a Parquet file with image .* \(its data cannot be read\)"):
        list_images(path)
    with pytest.raises(ValueError, match=r"x.parquet: not a Parquet file, or a damaged one; replace it"):
        list(photos_at(path).photos.sources())


def test_folders_with_spaces_around_their_names_are_of_the_class(tmp_path: Path) -> None:
    for shade, name in enumerate(["ant", "ant ", "bee"]):
        write(tmp_path / name / "1.png", png(shade))
    write(tmp_path / "@eaDir" / "1.png" / "small.jpg", png(0))
    write(tmp_path / "bee" / "@eaDir" / "1.png" / "small.jpg", png(0))
    assert labelled(tmp_path)[1] == ["ant", "ant", "bee"]


def test_a_single_image_is_no_data_set(tmp_path):
    path = write(tmp_path / "photo.jpg", png(0))
    with pytest.raises(ValueError, match=r"photo.jpg: a single image; expected a folder"):
        list_images(path)


def test_a_recogniser_is_no_data_set(tmp_path: Path) -> None:
    path = write(tmp_path / "x.triptych", pack({}, "triptych-recognizer", 6, {}))
    with pytest.raises(ValueError, match=r"x.triptych: a recogniser, in which photos are not; expected a folder"):
        list_images(path)


def test_a_truncated_parquet_file_is_refused(tmp_path):
    path = parquet(tmp_path / "a.parquet", [0, 1])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"a.parquet: not a Parquet file"):
        list_images(path)


# The fingerprint.


def test_the_fingerprint_does_not_depend_on_the_place(tmp_path):
    first, second = write_folders(tmp_path / "one"), write_folders(tmp_path / "two" / "deep")
    assert fingerprint(first) == fingerprint(second)
    for folder in ("ant", "bee"):
        for path in (second / folder).iterdir():
            path.rename(path.with_stem("x" + path.stem))
    assert fingerprint(first) == fingerprint(second)


def test_the_fingerprint_is_the_same_in_every_layout(tmp_path):
    folders = write_folders(tmp_path / "folders")
    table = write_csv(tmp_path / "table", [("0", "ant"), ("1", "ant"), ("2", "bee")])
    for shade in range(3):
        write(table / "images" / str(shade), png(shade))
    file = parquet(tmp_path / "a.parquet", ["ant", "ant", "bee"])
    assert fingerprint(folders) == fingerprint(table) == fingerprint(file)


def test_the_fingerprint_changes_with_a_photo(tmp_path):
    before = fingerprint(write_folders(tmp_path))
    write(tmp_path / "ant" / "a.png", png(77))
    assert fingerprint(tmp_path) != before


def test_the_fingerprint_changes_with_a_class_name(tmp_path):
    before = fingerprint(write_folders(tmp_path))
    (tmp_path / "bee").rename(tmp_path / "wasp")
    assert fingerprint(tmp_path) != before


def test_the_fingerprint_changes_with_order_and_with_labels(tmp_path):
    for shade in range(3):
        write(tmp_path / "images" / f"{shade}.png", png(shade))
    tables = [
        [("0.png", "ant"), ("1.png", "ant"), ("2.png", "bee")],
        [("1.png", "ant"), ("0.png", "ant"), ("2.png", "bee")],
        [("0.png", "ant"), ("1.png", "bee"), ("2.png", "bee")],
        [("0.png", "ant"), ("2.png", "bee"), ("1.png", "ant")],
        [("0.png", "ant"), ("2.png", "bee")],
    ]
    assert len({fingerprint(write_csv(tmp_path, rows)) for rows in tables}) == len(tables)


def test_the_fingerprint_changes_when_an_unreadable_photo_becomes_readable(tmp_path):
    before = fingerprint(write_csv(tmp_path, [("a.png", "ant")]))
    write(tmp_path / "images" / "a.png", png(0))
    assert fingerprint(tmp_path) != before


# The real thing.


def test_the_validation_split_of_miniimagenet_is_listed(shared):
    listing = list_images(shared / "data" / "miniimagenet", "val")
    assert np.bincount(listing.labels).tolist() == [600] * 16
    assert len(set(listing.classes)) == 16
    assert all(re.fullmatch(r"n\d{8}", name) for name in listing.classes)
    assert len(set(listing.names)) == 9600
    assert read_image(listing.photos()[9599]).size == (84, 84)


# The same grammar to learn from.


def learnt(source: object, split: str | None = None) -> list[tuple[int, str]]:
    photos, labels, dtype = labelled(source, split=split)
    assert dtype is None or dtype.kind == "U"
    return [(read_image(photo).getpixel((0, 0))[0], label) for photo, label in zip(photos, labels, strict=True)]


def test_every_layout_can_be_learnt_from(tmp_path):
    expected = [(0, "ant"), (1, "ant"), (2, "bee")]
    folders = write_folders(tmp_path / "folders")
    table = write_csv(tmp_path / "table", [("0", "ant"), ("1", "ant"), ("2", "bee")], split="photos")
    for shade in range(3):
        write(table / "images" / str(shade), png(shade))
    file = parquet(tmp_path / "a.parquet", ["ant", "ant", "bee"])
    shards = parquet(tmp_path / "shards" / "photos.parquet", [0, 0, 1], ["ant", "bee"]).parent
    for source in (folders, str(folders), table, file, shards):
        assert learnt(source) == expected == contents(list_images(source))


def test_a_frame_and_lists_can_be_evaluated_on(tmp_path):
    pandas = pytest.importorskip("pandas")
    folders = write_folders(tmp_path)
    paths, labels, _ = labelled(folders)
    frame = pandas.DataFrame({" Path": paths, "LABEL": labels})
    of_frame, of_lists = list_images(frame), list_images(paths, labels=labels)
    assert contents(of_frame) == contents(of_lists) == contents(list_images(folders))
    assert of_frame.fingerprint() == of_lists.fingerprint() == list_images(folders).fingerprint()


def test_arrays_have_a_fingerprint_of_their_pixels():
    photos = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    first = list_images(photos, labels=["a", "a", "b"]).fingerprint()
    assert list_images(list(photos), labels=["a", "a", "b"]).fingerprint() == first
    assert list_images(255 - photos, labels=["a", "a", "b"]).fingerprint() != first


@pytest.mark.parametrize("val", ["val", "validation", "test"])
def test_splits_are_not_learnt_as_classes(tmp_path, val):
    for shade, place in enumerate(["train/ant/a.png", "train/bee/a.png", f"{val}/bee/b.png"]):
        write(tmp_path / place, png(shade))
    told = rf"{val}.*are splits and no classes; choose one, such as --split .*, or name its folder: {tmp_path}/t"
    with pytest.raises(ValueError, match=told):
        labelled(tmp_path)
    assert learnt(tmp_path, "train") == learnt(tmp_path / "train") == [(0, "ant"), (1, "bee")]
    with pytest.raises(ValueError, match=r"are splits and no classes"):
        Recognizer().fit(tmp_path)


def test_tables_and_parquet_files_of_several_splits_are_not_chosen_by_chance(tmp_path):
    root = write_csv(write_csv(tmp_path / "csv", [("a.png", "ant")], "train"), [("b.png", "bee")], "val")
    shards = parquet(tmp_path / "shards" / "train-0.parquet", ["ant"]).parent
    parquet(shards / "test-0.parquet", ["bee"])
    for source, split in ((root, "train"), (shards, "test")):
        with pytest.raises(ValueError, match="are splits and no classes; choose one"):
            labelled(source)
        assert len(labelled(source, split=split)[0]) == 1


def test_a_split_of_what_has_none_is_refused(tmp_path):
    folders = write_folders(tmp_path / "folders")
    file = parquet(tmp_path / "a.parquet", ["ant", "bee"])
    table = write_csv(tmp_path / "table", [("0", "ant")], split="photos")
    for whole in (folders, file, table):
        with pytest.raises(ValueError, match="has no splits, and 'test' is asked for"):
            labelled(whole, split="test")
    with pytest.raises(ValueError, match="split 'train' is of a data set that a path names"):
        labelled(["1.jpg", "2.jpg"], ["ant", "bee"], split="train")


def test_a_recogniser_fits_a_split(tmp_path):
    for place, kind in (("train/ant/a.png", 0), ("train/bee/b.png", 1), ("test/bee/c.png", 2), ("test/cat/d.png", 0)):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        photo(kind, 5).save(tmp_path / place)
    recognizer = Recognizer("mml-conv64f", calibrate=False).fit(tmp_path, split="train")
    assert recognizer.classes_.tolist() == ["ant", "bee"]


def test_an_only_split_needs_no_choice(tmp_path):
    write(tmp_path / "train" / "ant" / "a.png", png(3))
    assert learnt(tmp_path) == [(3, "ant")]


def test_several_tables_of_other_names_are_not_chosen_by_chance(tmp_path):
    root = write_csv(write_csv(tmp_path, [("a.png", "ant")], "one"), [("b.png", "bee")], "two")
    with pytest.raises(ValueError, match=r"several tables, expected one or train.csv"):
        list_images(root)


def test_an_earlier_answer_beside_class_folders_is_no_data_set(tmp_path):
    write_folders(tmp_path)
    parquet(tmp_path / "answers.parquet", [], answer=[1])
    assert learnt(tmp_path) == contents(list_images(tmp_path)) == [(0, "ant"), (1, "ant"), (2, "bee")]


def test_a_pipe_is_no_data_set(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for ask in (labelled, list_images):
        with pytest.raises(ValueError, match=r"pipe.csv: no plain file; expected a folder"):
            ask(tmp_path / "pipe.csv")


def test_photos_of_a_table_are_named_by_their_row(tmp_path):
    cells = [{"bytes": b"\x89PNG\r\n\x1a\n and no more", "path": "1.png"}]
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    path = parquet(tmp_path / "a.parquet", [], image=pa.array(cells, kind), label=["ant"])
    (read,) = read_photos(labelled(path)[0], Preprocessing())
    assert read.error.startswith("a.parquet:0 1.png: damaged image")
