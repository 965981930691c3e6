"""What the public functions refuse."""

import numpy as np
import pytest
import torch

from triptych.similarity import check_maps, pixel_similarity

MAPS = torch.zeros(2, 8, 3, 3)


@pytest.mark.parametrize(
    ("query", "support", "message"),
    [
        (None, MAPS, r"query: expected feature maps \(B, C, H, W\) in floating point, got NoneType"),
        (MAPS, np.zeros((2, 8, 3, 3)), "support: expected feature maps .*, got ndarray"),
        (MAPS[0], MAPS, r"query: .*, got \(8, 3, 3\) of torch.float32"),
        (MAPS, MAPS.int(), r"support: .*, got \(2, 8, 3, 3\) of torch.int32"),
        (MAPS, MAPS[:, :4], "as many channels, got 8 and 4"),
        (MAPS[:, :0], MAPS[:, :0], "as many channels, got 0 and 0"),
        (MAPS, MAPS.double(), "one precision, got torch.float32 and torch.float64"),
    ],
)
def test_maps_that_cannot_be_compared_are_refused(query: object, support: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_maps(query, support)
    check_maps(MAPS, MAPS.half())


def test_images_have_three_channels() -> None:
    with pytest.raises(ValueError, match="expected query and support of 3 channels, got 8 and 8"):
        check_maps(MAPS, MAPS, "images", channels=3)


def test_a_similarity_asks() -> None:
    with pytest.raises(ValueError, match="one precision"):
        pixel_similarity(MAPS.double(), MAPS, torch.tensor([0, 1]))
