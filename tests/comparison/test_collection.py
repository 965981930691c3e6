"""A collection holds each photo once, and says what it has left out."""

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import class_folders, photo
from PIL import Image
from toys import small_method

from triptych import Recognizer
from triptych.comparison.collection import collect
from triptych.methods import MML


@pytest.fixture(scope="module")
def method() -> MML:
    return small_method()


def test_maps_are_those_of_a_recogniser(method: MML, tmp_path: Path) -> None:
    folder = class_folders(tmp_path, 2, 2)
    collection = collect(method, folder)
    recognizer = Recognizer(method).fit(folder)
    for label, name in enumerate(collection.classes):
        kept = recognizer.support_[name]
        found = dict(zip(collection.ids, collection.encoded.maps, strict=True))
        assert {collection.ids[i] for i in np.flatnonzero(collection.labels == label)} == set(kept.ids)
        for image_id, maps in zip(kept.ids, kept.encoded.maps, strict=True):
            assert torch.equal(found[image_id], maps)


def test_copies_count_once_and_contested_photos_not_at_all(method: MML, tmp_path: Path) -> None:
    folder = class_folders(tmp_path, 3, 3)
    shutil.copy(folder / "class0/0.png", folder / "class0/copy.png")
    Image.open(folder / "class0/1.png").save(folder / "class0/saved again.jpg", quality=90)
    Image.open(folder / "class0/2.png").resize((120, 120)).save(folder / "class0/larger.png")
    shutil.copy(folder / "class1/0.png", folder / "class2/elsewhere.png")
    collection = collect(method, folder)
    assert sorted(Path(left).name for _, left in collection.repeated) == ["copy.png", "larger.png", "saved again.jpg"]
    (contested,) = collection.contested
    assert [label for label, _ in contested] == ["class1", "class2"]
    assert np.bincount(collection.labels).tolist() == [3, 2, 3]


def test_unreadable_photos_and_lost_classes_are_reported(method: MML, tmp_path: Path) -> None:
    folder = class_folders(tmp_path, 3, 2)
    (folder / "class0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    for file in (folder / "class1").iterdir():
        file.write_bytes(b"")
    collection = collect(method, folder)
    assert len(collection.unreadable) == 3
    assert "broken.png" in collection.unreadable[0]
    assert collection.missing == ("class1",)
    assert collection.classes == ("class0", "class2")


def test_of_too_many_photos_each_class_has_its_share(method: MML) -> None:
    images = [photo(kind, number) for kind in range(2) for number in (0, 1, 2, 3, 4, 5, 6)[: 2 + 5 * kind]]
    labels = [0] * 2 + [1] * 7
    collection = collect(method, images, labels, most=6)
    assert np.bincount(collection.labels).tolist() == [2, 4]
    assert collection.unread == 3
    assert collect(method, images, labels, most=6).ids == collection.ids
    assert collect(method, images, labels, most=6, seed=1).ids != collection.ids


def test_the_fingerprint_is_of_pixels_and_classes(method: MML, tmp_path: Path) -> None:
    images = [photo(kind, number) for kind in range(2) for number in range(2)]
    encoded = []
    for image in images:
        data = io.BytesIO()
        image.save(data, "PNG")
        encoded.append(data.getvalue())
    one = collect(method, images, ["a", "a", "b", "b"]).fingerprint
    assert collect(method, encoded[::-1], ["b", "b", "a", "a"]).fingerprint == one
    assert collect(method, images, ["a", "a", "b", "c"]).fingerprint != one


def test_labels_of_mixed_types_are_classes_too(method: MML) -> None:
    collection = collect(method, [photo(0, 0), photo(1, 0), photo(2, 0)], [1, "2", (3, 4)])
    assert sorted(collection.classes) == ["(3, 4)", "1", "2"]


def test_what_holds_no_two_classes_is_refused(method: MML, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no class folders"):
        collect(method, tmp_path)
    image = photo(0, 0)
    with pytest.raises(ValueError, match=r"at least two classes, got 0; 2 photos cannot be used.*in several classes"):
        collect(method, [image, image], ["a", "b"])
    with pytest.raises(ValueError, match=r"at least two classes, got 1; 1 photo cannot be used, the first: .* bytes"):
        collect(method, [image, b"\x89PNG\r\n\x1a\nbad"], ["a", "b"])
    with pytest.raises(ValueError, match=r"at least two classes, got 0$"):
        collect(method, [], [])
