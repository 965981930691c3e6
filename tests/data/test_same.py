"""Identical photos and copies: the two notions of the same photo."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from triptych.data import Preprocessing
from triptych.data.same import appearance, copies, identical_pairs, pixel_id


def test_identical_photos_have_the_same_id_and_others_another() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert pixel_id(pixels) == pixel_id(pixels.copy())
    assert pixel_id(pixels) != pixel_id(pixels[::-1])


def test_the_id_of_a_square_is_the_hash_that_files_of_recognisers_hold() -> None:
    assert pixel_id(np.zeros((84, 84, 3), np.uint8)) == "001c72edd5dfd2c0122fb236bbde7b85"


def test_the_same_bytes_in_another_shape_are_another_photo() -> None:
    flat = np.zeros((2, 8, 3), np.uint8)
    assert len({pixel_id(flat), pixel_id(flat.reshape(8, 2, 3)), pixel_id(flat.reshape(4, 4, 3))}) == 3


def test_all_identical_photos_are_paired_with_the_first() -> None:
    assert identical_pairs(["x", "y", "x", "x"], ["1", "2", "3", "4"]) == (("1", "3"), ("1", "4"))


def test_a_photo_saved_again_or_rescaled_is_a_copy() -> None:
    scene = np.sin(np.arange(120)[:, None, None] / 9 + np.arange(3)) * np.cos(np.arange(160)[None, :, None] / 13)
    photo = Image.fromarray((scene * 100 + 128).astype(np.uint8))
    versions = [photo, photo.resize((640, 480)), photo.transpose(Image.Transpose.ROTATE_180)]
    groups = copies(np.stack([appearance(Preprocessing().pixels(version)) for version in versions]))
    assert groups[0] == groups[1] != groups[2]


def test_different_photos_are_not_taken_for_copies(shared: Path) -> None:
    folder = shared / "data" / "grocery"
    files = [file for name in ("Royal-Gala", "Lemon", "Oatly-Oat-Milk") for file in sorted((folder / name).iterdir())]
    seen = np.stack([appearance(Preprocessing().pixels(file)) for file in files])
    assert len(np.unique(copies(seen))) == len(files) > 100


def test_copies_are_grouped_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triptych.data.same._BLOCK", 2)
    small = np.array([[0.0], [100.0], [2.0], [50.0], [4.0]])  # 0, 2 and 4 are a chain of small steps
    groups = copies(small)
    assert groups[0] == groups[2] == groups[4]
    assert len(set(groups.tolist())) == 3
