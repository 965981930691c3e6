"""Decoded images through a method, in batches."""

import torch
from jaxtyping import UInt8
from torch import Tensor

from triptych.methods.base import Method
from triptych.methods.encoded import Encoded

__all__ = ["BATCH", "crops_an_image", "encode_images"]

BATCH = {"cpu": 20, "cuda": 500}  # on a CPU, so few that a layer's maps stay in cache


def encode_images(method: Method, images: UInt8[Tensor, "B h w 3"], batch: int | None = None) -> Encoded:
    """What ``method.encode`` gives of decoded images, as many at a time as the network sees ``batch`` crops of.

    A batch of one is for results that must not depend on what is encoded together: kernels may round differently for
    other batches. By default the batch that is fastest on the device.

    >>> import torch
    >>> from triptych.methods import build_method, encode_images
    >>> encode_images(build_method("mml-conv64f"), torch.zeros(2, 84, 84, 3, dtype=torch.uint8)).maps.shape
    torch.Size([2, 64, 21, 21])
    """
    parts = images.split(max(1, (batch or BATCH[images.device.type]) // crops_an_image(method)))
    return Encoded.join([method.encode(method.preprocess.normalise(pixels)) for pixels in parts])


def crops_an_image(method: Method) -> int:
    """How many crops of an image the network sees; one where it sees the image itself."""
    return len(method.crops(torch.zeros(1, 3, 8, 8)))
