"""Data sets of the hub, read offline from a local directory in the hub's layouts."""

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.data import Listing, Preprocessing, count_splits, labelled, list_images, open_store, read_image
from triptych.data.hub import check_hub_data

CLASSES = ["ant", "bee", "cat"]


def png(shade: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """The library, offline, with its cache in this test's folder."""
    # The variables count at the library's first import, the attributes ever after.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "hub-cache")
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return library


def save(datasets, path: Path, labels: list, kind: object = None, **columns: list) -> None:
    columns = columns or {"image": [{"bytes": png(shade), "path": None} for shade in range(len(labels))]}
    types = {"image": datasets.Image(), "label": kind or datasets.ClassLabel(names=CLASSES)}
    features = datasets.Features({name: types[name] for name in [*columns, "label"]})
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict({**columns, "label": labels}, features=features).to_parquet(path)


def contents(listing: Listing) -> list[tuple[int, str]]:
    shades = [read_image(photo).getpixel((0, 0))[0] for photo in listing.photos()]
    return list(zip(shades, listing.class_names(), strict=True))


def test_a_split_is_listed_with_the_classes_in_it(datasets, tmp_path):
    root = tmp_path / "insects"
    save(datasets, root / "train-00000-of-00001.parquet", [1, 1])
    save(datasets, root / "validation-00000-of-00001.parquet", [0])
    save(datasets, root / "test-00000-of-00001.parquet", [2, 0, 2])
    assert contents(list_images(f"hf:{root}", "train")) == [(0, "bee"), (1, "bee")]
    assert contents(list_images(f"hf:{root}", "val")) == [(0, "ant")]
    listing = list_images(f"hf:{root}")
    assert contents(listing) == [(0, "cat"), (1, "ant"), (2, "cat")]
    assert listing.classes == ("ant", "cat")
    assert listing.labels.dtype == np.int64
    assert listing.names[2] == f"hf:{root} test:2"


def test_nothing_is_shown_while_a_data_set_is_read(datasets, tmp_path, capfd):
    save(datasets, tmp_path / "insects" / "test-00000-of-00001.parquet", [2, 0, 2])
    datasets.enable_progress_bars()
    capfd.readouterr()
    list_images(f"hf:{tmp_path / 'insects'}")
    assert capfd.readouterr() == ("", "")
    assert not datasets.are_progress_bars_disabled()


def test_the_hub_and_the_parquet_layout_list_the_same(datasets, tmp_path):
    root = tmp_path / "insects"
    save(datasets, root / "test-00000-of-00001.parquet", [2, 0, 2])
    hub, files = list_images(f"hf:{root}"), list_images(root)
    assert hub.fingerprint() == files.fingerprint()


def test_photos_in_folders_are_read_from_their_files(datasets, tmp_path):
    root = tmp_path / "insects"
    for shade, name in enumerate(["ant", "bee"]):
        (root / "test" / name).mkdir(parents=True)
        (root / "test" / name / "0.png").write_bytes(png(shade))
    assert contents(list_images(f"hf:{root}", "test")) == [(0, "ant"), (1, "bee")]


def test_a_store_opens_a_data_set_of_the_hub(datasets, tmp_path):
    root = tmp_path / "insects"
    save(datasets, root / "test-00000-of-00001.parquet", [2, 0, 2])
    store = open_store(f"hf:{root}", "test", Preprocessing(4))
    assert store.images[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert store.labels.tolist() == [1, 0, 1]


def test_a_missing_split_says_which_there_are(datasets, tmp_path):
    save(datasets, tmp_path / "insects" / "train-00000-of-00001.parquet", [1])
    with pytest.raises(ValueError, match="no split 'val'; it has train"):
        list_images(f"hf:{tmp_path / 'insects'}", "val")


def test_a_split_of_a_data_set_that_is_one_whole_is_not_learnt_from(datasets, tmp_path):
    save(datasets, tmp_path / "whole" / "data" / "everything-00000-of-00001.parquet", [0, 1])
    (tmp_path / "whole" / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: everything\n    path: data/everything-*\n---\n"
    )
    assert len(list_images(f"hf:{tmp_path / 'whole'}", "test").labels) == 2
    with pytest.raises(ValueError, match="has no splits, and 'train' is asked for; leave the split out"):
        labelled(f"hf:{tmp_path / 'whole'}", split="train")
    assert list(count_splits(f"hf:{tmp_path / 'whole'}")) == ["all"]


@pytest.mark.parametrize("label", [-1, None])
def test_a_split_whose_labels_are_held_back_is_refused(datasets, tmp_path, label):
    save(datasets, tmp_path / "insects" / "test-00000-of-00001.parquet", [0, label])
    with pytest.raises(ValueError, match="the split 'test' has no labels"):
        list_images(f"hf:{tmp_path / 'insects'}")


def test_labels_that_are_no_class_labels_are_refused(datasets, tmp_path):
    save(datasets, tmp_path / "insects" / "test.parquet", ["ant"], datasets.Value("string"))
    with pytest.raises(ValueError, match="no ClassLabel column among image, label; expected an image and a label"):
        list_images(f"hf:{tmp_path / 'insects'}")


def test_a_data_set_that_does_not_exist_is_named(datasets, tmp_path):
    with pytest.raises(OSError, match=r"hf:nobody/nothing: no such folder, and the Hugging Face hub cannot be reached"):
        list_images("hf:nobody/nothing")
    for name in (f"{tmp_path}/absent", "", "a/b/c"):
        with pytest.raises(
            ValueError, match=rf"hf:{name}: no such folder and no name of a data set; expected hf:OWNER"
        ):
            list_images(f"hf:{name}")


def test_a_whole_disk_is_no_data_set(datasets, tmp_path, monkeypatch):
    root = tmp_path / "insects"
    save(datasets, root / "test.parquet", [2])
    for number in range(3):
        (root / f"{number}.txt").touch()
    monkeypatch.setattr("triptych.data.hub._MOST_FILES", 3)
    for ask in (check_hub_data, lambda name: list_images(f"hf:{name}")):
        with pytest.raises(ValueError, match="a folder of more than 3 files; expected a data set's own folder"):
            ask(str(root))
    monkeypatch.setattr("triptych.data.hub._MOST_FILES", 4)
    check_hub_data(str(root))
    assert contents(list_images(f"hf:{root}")) == [(0, "cat")]


def test_a_missing_library_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)  # what Python itself does for a module it must not find
    with pytest.raises(RuntimeError, match=r"needs the datasets library \(.*\): pip install '.\[hub\]' in a clone"):
        list_images("hf:anything")
