"""What ``SalientMML`` compares of images, kept as it is compared: a bank restores nothing for a question."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.methods.encoded import Encoded
from triptych.similarity import SalientDescriptors

__all__ = [
    "are_pools",
    "compared_sizes",
    "pooled_blocks",
    "pooled_descriptors",
    "pools_from_bytes",
    "pools_in_bytes",
    "whole_numbers",
]

_LARGEST = 127  # of whole numbers of a byte
# Parts of the names of tensors, after the name of a level.
_BLOCK, _UNITS, _SCALE, _WEIGHTS, _POSITIONS = ".block", ".units", ".scale", ".weights", ".positions"


def whole_numbers(vectors: Float[Tensor, "B C ..."]) -> tuple[Tensor, Float[Tensor, "B ..."]]:
    """Whole numbers up to 127, and the scale of each vector; C is their second dimension."""
    scale = vectors.float().abs().amax(1) / _LARGEST
    scaled = torch.where(scale > 0, scale, 1.0)[:, None].reciprocal() * vectors
    return scaled.round().to(torch.int8).contiguous(), scale.contiguous()


def pools_in_bytes(blocks: Mapping[str, Sequence[Tensor]], patches: Mapping[str, SalientDescriptors]) -> Encoded:
    """Vectors (B, D_b) of some levels in half precision, descriptors of others in whole numbers of a byte.

    Raises:
        ValueError: a number is not finite, or above what half precision holds.
    """
    kept = {f"{level}{_BLOCK}{n}": block.half() for level, own in blocks.items() for n, block in enumerate(own)}
    for level, found in patches.items():
        units = whole_numbers(found.units.mT)[0].mT  # (B, T, C)
        kept[level + _UNITS] = units
        kept[level + _SCALE] = units.float().norm(dim=2).clamp_min(1.0).reciprocal()  # so that they have unit length
        kept[level + _WEIGHTS] = found.weights.float()
        kept[level + _POSITIONS] = found.positions.to(torch.int16)
    encoded = Encoded(kept).each(Tensor.contiguous)
    if not encoded.finite():
        raise ValueError("the network gives numbers that are not finite or above 65504; expected another network")
    return encoded


def are_pools(kept: Encoded) -> bool:
    """Whether ``pools_in_bytes`` made it."""
    return any(_BLOCK in name for name in kept.tensors)


def pools_from_bytes(kept: Encoded) -> Encoded:
    """What ``pools_in_bytes`` kept, in single precision."""
    tensors = kept.tensors
    restored = {}
    for name, one in tensors.items():
        if name.endswith(_UNITS):
            restored[name] = one * tensors[name.removesuffix(_UNITS) + _SCALE][..., None]  # (B, T, C)
        elif not name.endswith(_SCALE):
            restored[name] = one if name.endswith(_POSITIONS) else one.float()
    return Encoded(restored)


def pooled_blocks(encoded: Encoded, level: str) -> list[Tensor]:
    """The vectors of a level, where they were restored; else nothing."""
    return [encoded.tensors[name] for name in sorted(encoded.tensors) if name.startswith(level + _BLOCK)]


def pooled_descriptors(encoded: Encoded, level: str, keep: int | None) -> SalientDescriptors | None:
    """The ``keep`` longest descriptors of a level, by default all there are, where they were restored; else None."""
    if level + _UNITS not in encoded.tensors:
        return None
    units, weights, positions = (encoded.tensors[level + part] for part in (_UNITS, _WEIGHTS, _POSITIONS))
    if keep is not None and keep < weights.shape[1]:
        weights, chosen = weights.topk(keep, dim=1)  # (B, T)
        weights = weights / weights.sum(1, keepdim=True)
        units = units.gather(1, chosen[..., None].expand(-1, -1, units.shape[2]))
        positions = positions.gather(1, chosen)
    return SalientDescriptors(units, weights, positions.long())


def compared_sizes(kept: Encoded) -> tuple[dict[str, int], int]:
    """The channels of each level's descriptors, and how many of each image were kept; 1 where there are none."""
    units = {name.removesuffix(_UNITS): one for name, one in kept.tensors.items() if name.endswith(_UNITS)}
    return {level: one.shape[2] for level, one in units.items()}, max(
        (one.shape[1] for one in units.values()), default=1
    )
