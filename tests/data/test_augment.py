"""Augmentation: crops are windows of the image, jitter is what it says, and the same generator repeats it."""

import numpy as np
import pytest
import torch

from triptych.data import centre_crop, colour_jitter, normalise, random_crop_flip

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def coordinates(count: int, side: int) -> torch.Tensor:
    """Images whose pixels tell where they are: (row, column, image)."""
    rows = torch.arange(side)[None, :, None].expand(count, side, side)
    columns = torch.arange(side)[None, None, :].expand(count, side, side)
    images = (torch.arange(count) % 256)[:, None, None].expand(count, side, side)
    return torch.stack([rows, columns, images], dim=3).to(torch.uint8)


def photos(count: int = 6, side: int = 12) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8))


def crops_of_coordinates(count: int = 2000, side: int = 12, crop: int = 8) -> np.ndarray:
    return random_crop_flip(coordinates(count, side), crop, np.random.default_rng(0)).numpy().astype(int)


def test_each_crop_is_a_window_of_its_own_image_perhaps_mirrored():
    crops = crops_of_coordinates()
    assert crops.shape == (2000, 8, 8, 3)
    assert (crops[..., 2] == (np.arange(2000) % 256)[:, None, None]).all()
    assert (np.diff(crops[..., 0], axis=1) == 1).all()  # rows follow each other, never upside down
    assert (np.diff(crops[..., 0], axis=2) == 0).all()
    assert (np.diff(crops[..., 1], axis=1) == 0).all()
    steps = np.diff(crops[..., 1], axis=2).reshape(2000, -1)
    assert (steps == steps[:, :1]).all()
    assert set(steps[:, 0]) == {1, -1}


def test_half_of_the_crops_are_mirrored():
    crops = crops_of_coordinates()
    mirrored = crops[:, 0, 0, 1] > crops[:, 0, 1, 1]
    assert 0.45 < mirrored.mean() < 0.55  # 4.5 standard deviations of 2000 coins


def test_windows_reach_every_place_equally_often_in_both_directions():
    crops = crops_of_coordinates()
    for channel in (0, 1):
        offsets = crops[..., channel].min(axis=(1, 2))
        counts = np.bincount(offsets)
        assert len(counts) == 5  # 12 - 8 + 1 places
        assert counts.min() > 320  # of 400 expected


def test_mirroring_is_independent_of_the_place():
    crops = crops_of_coordinates()
    mirrored = crops[:, 0, 0, 1] > crops[:, 0, 1, 1]
    left = crops[..., 1].min(axis=(1, 2)) <= 1
    assert abs(mirrored[left].mean() - mirrored[~left].mean()) < 0.1


def test_a_crop_of_the_whole_side_is_the_image_or_its_mirror():
    images = photos(64)
    crops = random_crop_flip(images, 12, np.random.default_rng(1))
    same = (crops == images).flatten(1).all(1)
    mirrored = (crops == images.flip(2)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert same.any()
    assert mirrored.any()


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match=r"crop of 13 .* images of 12"):
        random_crop_flip(photos(side=12), 13, np.random.default_rng(0))


@pytest.mark.parametrize("crop", [0, -1, 11])
def test_a_crop_that_does_not_fit_is_refused_in_the_middle_too(crop):
    images = torch.zeros(2, 10, 10, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match=f"a crop of {crop} pixels does not fit images of 10; expected 1 to 10"):
        centre_crop(images, crop)
    with pytest.raises(ValueError, match=f"a crop of {crop} pixels does not fit images of 10; expected 1 to 10"):
        random_crop_flip(images, crop, np.random.default_rng(0))


def test_padding_reflects_the_image_about_its_outermost_pixels():
    images = photos(256)
    reflected = np.pad(images.numpy(), [(0, 0), (3, 3), (3, 3), (0, 0)], mode="reflect")
    crops = random_crop_flip(images, 12, np.random.default_rng(1), padding=3).numpy()
    places = set()
    for image, crop in zip(reflected, crops, strict=True):
        found = [
            (row, column)
            for row in range(7)
            for column in range(7)
            for window in [image[row : row + 12, column : column + 12]]
            if (crop == window).all() or (crop == window[:, ::-1]).all()
        ]
        assert len(found) == 1
        places.update(found)
    assert {row for row, _ in places} == {column for _, column in places} == set(range(7))


@pytest.mark.parametrize("padding", [-1, 12])
def test_padding_wider_than_the_image_is_refused(padding):
    with pytest.raises(ValueError, match=f"padding must be 0 to 11 .* got {padding}"):
        random_crop_flip(photos(side=12), 8, np.random.default_rng(0), padding)


@pytest.mark.parametrize(
    "augment",
    [lambda x, rng: random_crop_flip(x, 8, rng), lambda x, rng: colour_jitter(x, 0.4, rng)],
    ids=["crop", "jitter"],
)
def test_the_generator_alone_decides(augment):
    images = photos()
    original = images.clone()
    torch.manual_seed(1)
    first = augment(images, np.random.default_rng(7))
    torch.manual_seed(2)
    np.random.seed(2)
    assert torch.equal(augment(images, np.random.default_rng(7)), first)
    assert not torch.equal(augment(images, np.random.default_rng(8)), first)
    assert torch.equal(images, original)
    assert first.dtype == torch.uint8


def test_no_jitter_is_the_identity_and_draws_nothing():
    rng = np.random.default_rng(0)
    images = photos()
    assert torch.equal(colour_jitter(images, 0, rng), images)
    assert rng.random() == np.random.default_rng(0).random()


def test_the_faintest_jitter_rounds_to_the_identity():
    images = photos()
    assert torch.equal(colour_jitter(images, 1e-6, np.random.default_rng(0)), images)


def test_brightness_factors_are_uniform_about_one():
    # On an image of one grey, contrast and saturation change nothing: only brightness is left.
    images = torch.full((4000, 2, 2, 3), 100, dtype=torch.uint8)
    values = colour_jitter(images, 0.4, np.random.default_rng(0)).double()
    assert (values == values[:, :1, :1, :1]).all()
    factors = values[:, 0, 0, 0] / 100
    assert 0.6 <= factors.min() < 0.62
    assert 1.38 < factors.max() <= 1.4
    assert abs(factors.mean() - 1) < 0.015  # 4 standard errors
    assert abs(factors.std() - 0.8 / 12**0.5) < 0.01


def test_contrast_factors_are_uniform_about_one():
    # In an image of two greys, brightness b and contrast c turn the distance of 20 into 20 b c; E[b c] = 1.
    images = torch.full((4000, 2, 2, 3), 90, dtype=torch.uint8)
    images[:, 0] = 110
    values = colour_jitter(images, 0.4, np.random.default_rng(0)).double()
    ratios = (values[:, 0, 0, 0] - values[:, 1, 0, 0]) / 20
    assert abs(ratios.mean() - 1) < 0.03
    assert abs(ratios.std() - ((1 + 0.16 / 3) ** 2 - 1) ** 0.5) < 0.02


def test_grey_images_stay_grey():
    grey = photos()[..., :1].expand(-1, -1, -1, 3).contiguous()
    values = colour_jitter(grey, 0.9, np.random.default_rng(0)).int()
    assert (values.amax(3) - values.amin(3)).max() <= 1


def jitter_by_hand(images: np.ndarray, strength: float, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation, one pixel at a time, from their definitions."""
    factors = rng.uniform(1 - strength, 1 + strength, size=(3, len(images)))
    result = np.empty(images.shape)
    for b in range(len(images)):
        brightness, contrast, saturation = factors[:, b]
        bright = [[[min(255.0, v * brightness) for v in pixel] for pixel in row] for row in images[b].tolist()]
        lumas = [0.299 * red + 0.587 * green + 0.114 * blue for row in bright for red, green, blue in row]
        grey = sum(lumas) / len(lumas)
        for i, row in enumerate(bright):
            for j, pixel in enumerate(row):
                pixel = [min(255.0, max(0.0, grey + contrast * (v - grey))) for v in pixel]
                luma = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2]
                result[b, i, j] = [min(255.0, max(0.0, luma + saturation * (v - luma))) for v in pixel]
    return result


@pytest.mark.parametrize("strength", [0.1, 0.4, 0.9])
def test_jitter_equals_its_definition_pixel_by_pixel(strength):
    images = photos()
    expected = jitter_by_hand(images.numpy(), strength, np.random.default_rng(3))
    values = colour_jitter(images, strength, np.random.default_rng(3)).numpy()
    assert np.abs(values - expected).max() <= 0.51  # half a shade of rounding


def test_normalise_equals_its_formula():
    images = photos()
    result = normalise(images, MEAN, STD)
    assert result.shape == (6, 3, 12, 12)
    assert result.dtype == torch.float32
    expected = (images.double() / 255 - torch.tensor(MEAN).double()) / torch.tensor(STD).double()
    torch.testing.assert_close(result.double(), expected.permute(0, 3, 1, 2), rtol=0, atol=2e-6)


def test_normalise_takes_images_that_are_no_squares():
    assert normalise(photos()[:, :5], MEAN, STD).shape == (6, 3, 5, 12)


def test_normalised_crops_lie_in_channels_last_memory():
    crops = random_crop_flip(photos(), 8, np.random.default_rng(0))
    assert normalise(crops, MEAN, STD).is_contiguous(memory_format=torch.channels_last)
