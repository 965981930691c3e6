"""Base classes: what the classes of training teach the distribution level once the network is trained."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from triptych.data import ImageStore, centre_crop
from triptych.evaluation.evaluate import BATCH, check_precision
from triptych.fusion import LevelFusion
from triptych.methods import MML
from triptych.similarity import gaussian_vectors

__all__ = ["can_learn_base_classes", "learn_base_classes"]

_FEWEST = 3  # with two there is one axis, on which codes of one length tell only left from right


def can_learn_base_classes(method: MML, store: ImageStore) -> bool:
    """Whether a method has a use for base classes, and a data set enough of them.

    >>> import numpy as np
    >>> import torch
    >>> from triptych.data import ImageStore
    >>> from triptych.methods import build_method
    >>> from triptych.training.base_classes import can_learn_base_classes
    >>> images = torch.zeros(3, 84, 84, 3, dtype=torch.uint8)
    >>> store = ImageStore(images, np.arange(3), ("a", "b", "c"), ("1", "2", "3"), fingerprint="")
    >>> [can_learn_base_classes(build_method(name), store) for name in ("mml-conv64f", "dn4-conv64f")]
    [True, False]
    """
    try:
        _with_base_classes(method, len(store.classes))
    except ValueError:
        return False
    return len(store.classes) >= _FEWEST


@torch.no_grad()
def learn_base_classes(method: MML, store: ImageStore, images: int, precision: str = "32") -> MML:
    """The method with the classes of a store as base classes, each learnt from so many of its images and mirror images.

    Args:
        method: a trained method, left in evaluation mode.
        store: the classes, best those that the method was trained on.
        images: how many of each class, two or more.
        precision: "32", or "bf16", in which the maps are computed.

    Returns:
        A new method, which shares backbone and fusion. See ``triptych.methods.base_classes.BaseClasses``.

    Raises:
        ValueError: a method that has no use for base classes, fewer than two images of a class, or an unknown
            precision.

    >>> import numpy as np
    >>> import torch
    >>> from triptych.data import ImageStore
    >>> from triptych.methods import MML, MMLConfig
    >>> from triptych.training import learn_base_classes
    >>> images, labels = torch.randint(0, 256, (6, 32, 32, 3), dtype=torch.uint8), np.array([0, 0, 1, 1, 2, 2])
    >>> store = ImageStore(images, labels, ("a", "b", "c"), tuple("123456"), fingerprint="")
    >>> learn_base_classes(MML(MMLConfig(side=32)), store, images=2).config.base_classes
    3
    """
    check_precision(precision)
    learnt = _with_base_classes(method.eval(), len(store.classes))
    assert isinstance(method.fusion, LevelFusion)
    assert learnt.base is not None
    learnt.base.learn(_class_vectors(method, store, images, precision), method.fusion.logit_scale("distribution"))
    return learnt.to(store.images.device).eval()


def _with_base_classes(method: MML, count: int) -> MML:
    learnt = MML(replace(method.config, base_classes=count), method.backbone)
    learnt.fusion = method.fusion
    return learnt


def _class_vectors(method: MML, store: ImageStore, images: int, precision: str) -> Iterator[Tensor]:
    """Per class of a store, the Gaussians (2n, D) of so many of its images and of their mirror images."""
    device = store.images.device.type
    for number in range(len(store.classes)):
        pixels = centre_crop(store[np.flatnonzero(store.labels == number)[:images]], method.preprocess.side)
        if len(pixels) < 2:  # its mirror image would pass for another one
            raise ValueError(f"expected at least two images of each class, got {len(pixels)}")
        pixels = torch.cat([pixels, pixels.flip(2)])
        parts = method.preprocess.normalise(pixels).split(BATCH[device])
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            vectors = torch.cat([gaussian_vectors(method.backbone.taps(part)) for part in parts])
        yield vectors
