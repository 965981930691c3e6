"""What a method learns in closed form from the classes of training, once its network is trained."""

from collections.abc import Iterator
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from triptych.data import ImageStore, centre_crop
from triptych.methods import Method
from triptych.similarity import in_precision

__all__ = ["learn_closed_form"]

M = TypeVar("M", bound=Method)


@torch.no_grad()
def learn_closed_form(method: M, store: ImageStore, images: int, precision: str = "auto") -> M:
    """``Method.learn_closed_form`` from so many images of each class of a store, and their mirror images.

    For MML it is the level "plda".

    Args:
        method: a trained method, left in evaluation mode.
        store: the classes, best those that the method was trained on.
        images: how many of each class, two or more.
        precision: as in ``check_precision``.

    Returns:
        A new method, which shares the backbone.

    Raises:
        ValueError: a method that learns nothing in closed form, or fewer than two images of a class.
    """
    if not method.learns_closed_form(len(store.classes)):
        raise ValueError(
            f"levels {method.level_names} over {method.config.backbone} learn nothing in closed form from "
            f"{len(store.classes)} classes"
        )
    method.eval()
    with in_precision(precision, store.images.device.type):
        return cast(M, method.learn_closed_form(_classes(method, store, images)).eval())


def _classes(method: Method, store: ImageStore, images: int) -> Iterator[Tensor]:
    """Per class of a store, (2n, 3, h, w) so many of its images and their mirror images."""
    for number in range(len(store.classes)):
        pixels = centre_crop(store[np.flatnonzero(store.labels == number)[:images]], method.preprocess.side)
        if len(pixels) < 2:  # its mirror image would pass for another one
            raise ValueError(f"expected at least two images of each class, got {len(pixels)}")
        yield method.preprocess.normalise(torch.cat([pixels, pixels.flip(2)]))
