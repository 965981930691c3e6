"""What the levels of ``SalientMML`` read of an image's layers, and how these are kept in bytes."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from triptych.methods.encoded import Encoded
from triptych.methods.salient_pools import pooled_blocks, pooled_descriptors, whole_numbers
from triptych.similarity import SalientDescriptors, kept_moments, salient_descriptors, salient_moments

__all__ = [
    "KEPT_VECTOR_LEVELS",
    "LAYERS",
    "ONE_LAYER",
    "PIXEL_LEVELS",
    "VECTOR_LEVELS",
    "from_bytes",
    "in_bytes",
    "salient_of",
]

LAYERS = ("stride16", "last", "maps")  # of the backbone's taps; "maps" are the deepest
ONE_LAYER = ("global", "distribution", "pixel")  # levels that need no layer but the deepest
# Level -> (layer whose descriptors are compared, layer whose lengths weigh them, power of the lengths).
PIXEL_LEVELS = {
    "pixel": ("maps", "maps", 2.0),
    "pixel-last": ("last", "last", 4.0),
    "pixel-16": ("stride16", "maps", 2.0),
}
_SCALE = ".scale"  # after the name of a layer that is kept in whole numbers
_LEAST_MEAN = 1e-12  # so that a root has a gradient


def salient_of(encoded: Encoded, level: str, keep: int | None = None) -> SalientDescriptors:
    """What one of ``PIXEL_LEVELS`` compares of images: the ``keep`` longest descriptors, by default all there are.

    >>> import torch
    >>> from triptych.methods import Encoded
    >>> from triptych.methods.salience import salient_of
    >>> maps = torch.ones(2, 5, 3, 3)
    >>> salient_of(Encoded({"stride16": maps, "last": maps, "maps": maps}), "pixel").units.shape
    torch.Size([2, 9, 5])
    """
    if pooled := pooled_descriptors(encoded, level, keep):
        return pooled
    layer, weighing, power = PIXEL_LEVELS[level]
    lengths = None if layer == weighing else encoded.tensors[weighing].float().flatten(2).norm(dim=1)
    return salient_descriptors(encoded.tensors[layer].float(), power, keep, lengths)


def _global_vectors(encoded: Encoded) -> list[Tensor]:
    if blocks := pooled_blocks(encoded, "global"):
        return blocks
    before = encoded.tensors.get("last", encoded.maps)
    return [_root(encoded.maps.float().mean(dim=(2, 3))), salient_moments(before.float(), power=2.0)[0]]


def _root(mean: Tensor) -> Tensor:
    return mean.abs().clamp_min(_LEAST_MEAN).sqrt() * torch.where(mean < 0, -1.0, 1.0)  # signed, as transformers' are


def _distribution_vectors(encoded: Encoded) -> list[Tensor]:
    if blocks := pooled_blocks(encoded, "distribution"):
        return blocks
    return [torch.cat(salient_moments(encoded.maps.float(), power=1.0), dim=1)]


# Level -> blocks (B, D_b) of each image.
VECTOR_LEVELS: dict[str, Callable[[Encoded], list[Tensor]]] = {
    "global": _global_vectors,
    "distribution": _distribution_vectors,
}

# The same of one image, layer -> (M, C), where only shares (P, M) of its descriptors are kept.
KEPT_VECTOR_LEVELS: dict[str, Callable[[Mapping[str, Tensor], Tensor], list[Tensor]]] = {
    "global": lambda rows, kept: [
        _root(kept @ rows["maps"] / kept.shape[1]),
        kept_moments(rows.get("last", rows["maps"]), kept, power=2.0)[0],
    ],
    "distribution": lambda rows, kept: [torch.cat(kept_moments(rows["maps"], kept, power=1.0), dim=1)],
}


def in_bytes(encoded: Encoded, layers: Sequence[str]) -> Encoded:
    """These layers in whole numbers of a byte, with a scale for each descriptor.

    >>> import torch
    >>> from triptych.methods import Encoded
    >>> from triptych.methods.salience import from_bytes, in_bytes
    >>> kept = in_bytes(Encoded({"maps": torch.tensor([2.54, 1.0]).view(1, 2, 1, 1)}), ["maps"])
    >>> kept.maps.flatten(), from_bytes(kept).maps.flatten()
    (tensor([127,  50], dtype=torch.int8), tensor([2.5400, 1.0000]))
    """
    kept = {}
    for layer in layers:
        kept[layer], kept[layer + _SCALE] = whole_numbers(encoded.tensors[layer])
    return Encoded(kept)


def from_bytes(kept: Encoded) -> Encoded:
    """What ``in_bytes`` kept, in single precision."""
    tensors = kept.tensors
    return Encoded({name: one * tensors[name + _SCALE][:, None] for name, one in tensors.items() if _SCALE not in name})
