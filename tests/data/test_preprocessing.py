"""Preprocessing: sizes, squares and scales, and settings that check themselves."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from triptych.data import Preprocessing, open_store
from triptych.methods import Preprocessing as OfMethods


def waves(width: int, height: int) -> Image.Image:
    x, y = np.arange(width)[None] / width, np.arange(height)[:, None] / height
    values = np.stack([x + 0 * y, y + 0 * x, np.sin(9 * x) * np.cos(7 * y) / 2 + 0.5], axis=2)
    return Image.fromarray((values * 255).astype(np.uint8))


def test_methods_have_it_from_here() -> None:
    assert OfMethods is Preprocessing


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos"])
def test_squash_is_a_resize_of_the_whole(interpolation: str) -> None:
    photo = waves(160, 90)
    expected = photo.resize((50, 50), Image.Resampling[interpolation.upper()])
    assert (Preprocessing(50, interpolation=interpolation).pixels(photo) == np.asarray(expected)).all()


@pytest.mark.parametrize("size", [(160, 90), (90, 160), (90, 90), (151, 100)])
def test_crop_is_the_middle_square_of_a_resize_by_the_short_side(size: tuple[int, int]) -> None:
    photo = waves(*size)
    scaled = photo.resize(tuple(45 * length // min(size) for length in size), Image.Resampling.BICUBIC)
    left, top = round((scaled.width - 45) / 2), round((scaled.height - 45) / 2)
    expected = scaled.crop((left, top, left + 45, top + 45))
    assert (Preprocessing(45, "crop", "bicubic").pixels(photo) == np.asarray(expected)).all()


def test_a_very_long_photo_is_cropped_before_it_is_scaled_up() -> None:
    pixels = Preprocessing(84, "crop").pixels(np.full((2, 60_000), 77, np.uint8))
    assert pixels.shape == (84, 84, 3)
    assert (pixels == 77).all()


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((640, 480), (224, 288)),  # 298.7, to a multiple of 32
        ((480, 640), (288, 224)),
        ((500, 500), (224, 224)),
        ((510, 500), (224, 224)),
        ((3000, 500), (224, 448)),  # squeezed into twice the side
        ((1, 9000), (448, 224)),
    ],
)
def test_keep_keeps_the_aspect_ratio_within_bounds(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert Preprocessing(224, "keep").pixels(Image.new("L", size)).shape == (*shape, 3)


def test_a_square_stays_a_square_at_any_side() -> None:
    assert Preprocessing(84, "keep").pixels(Image.new("L", (50, 50))).shape == (84, 84, 3)
    assert Preprocessing(84, "keep").pixels(Image.new("L", (500, 50))).shape == (84, 160, 3)
    assert Preprocessing(10, "keep").pixels(Image.new("L", (500, 50))).shape == (10, 10, 3)


def test_keep_shows_the_whole_photo() -> None:
    pixels = Preprocessing(64, "keep").pixels(waves(400, 200))
    assert pixels.shape == (64, 128, 3)
    assert pixels[0, :, 0].min() < 5
    assert pixels[0, :, 0].max() > 250


def test_a_batch_is_normalised_and_channels_last() -> None:
    preprocessing = Preprocessing(32, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
    batch = preprocessing([waves(50, 40), waves(40, 50)])
    assert batch.shape == (2, 3, 32, 32)
    assert batch.is_contiguous(memory_format=torch.channels_last)
    pixels = torch.from_numpy(preprocessing.pixels(waves(50, 40))).double() / 255
    expected = (pixels - torch.tensor([0.1, 0.2, 0.3])) / torch.tensor([0.5, 1.0, 2.0])
    torch.testing.assert_close(batch[0].permute(1, 2, 0).double(), expected, atol=1e-6, rtol=0)


def test_a_batch_of_several_shapes_is_refused_with_their_sizes() -> None:
    keep = Preprocessing(32, "keep")
    assert keep([waves(80, 40), waves(81, 40)]).shape == (2, 3, 32, 64)
    with pytest.raises(ValueError, match="do not fit one batch: 32 x 64, 64 x 32, 32 x 32; give those of one"):
        keep([waves(80, 40), waves(40, 80), waves(40, 40)])
    with pytest.raises(ValueError, match="no photos; expected at least one"):
        keep([])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"side": 0}, "side is 0; expected a whole number of pixels from 1 to 1024"),
        ({"side": -84}, "side is -84"),
        ({"side": 100_000}, "side is 100000"),
        ({"fit": "stretch"}, "fit is 'stretch'; expected one of squash, crop, keep"),
        ({"interpolation": "nearest"}, "interpolation is 'nearest'; expected one of bilinear, bicubic, lanczos"),
        ({"std": (0.5, 0.0, 0.5)}, "std is .*; expected three numbers above 0"),
        ({"std": (0.5, float("nan"), 0.5)}, "std is .*; expected a tuple of three numbers"),
        ({"mean": (0.5, float("inf"), 0.5)}, "mean is .*; expected a tuple of three numbers"),
    ],
    ids=repr,
)
def test_settings_check_themselves(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocessing(**settings)


def test_settings_of_a_wrong_type_are_refused_by_name() -> None:
    """In a process of its own, where no checker of types comes first."""
    program = """
from triptych.data import Preprocessing
for settings in [{"side": 84.5}, {"side": "84"}, {"side": True}, {"fit": []}, {"mean": 0.5}, {"std": ("1", 1, 1)},
                 {"interpolation": None}, {"mean": (1, 2)}, {"mean": [0.5, 0.5, 0.5]}]:
    try:
        Preprocessing(**settings)
    except ValueError as error:
        assert str(error).startswith(f"{next(iter(settings))} is "), error
    else:
        raise AssertionError(settings)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_a_store_holds_squares(tmp_path) -> None:
    with pytest.raises(ValueError, match='expected a preprocessing that fits by "squash" or "crop", got "keep"'):
        open_store(tmp_path, None, Preprocessing(fit="keep"))


def test_a_single_photo_is_no_batch() -> None:
    for single in ("1.jpg", None, 5):
        with pytest.raises(ValueError, match="expected a sequence of images, got a single"):
            Preprocessing(16)(single)
