"""The levels of patches of ``SalientMML`` for photos that are left out of their class, one at a time."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.similarity import SalientDescriptors, salient_to_classes, stack_pools

__all__ = ["left_out_patches"]

_AT_ONCE = 8  # photos that are compared at once


def left_out_patches(
    pools: Mapping[str, Sequence[Float[Tensor, "_ _ C"]]],
    asked: Sequence[tuple[int, int]],
    queries: Sequence[Mapping[str, SalientDescriptors]],
) -> Iterator[dict[str, Float[Tensor, " N"]]]:
    """For each photo asked about, level -> its similarity to the classes, to its own without itself.

    All photos are compared with the classes less the last photo of each; a photo that is not the last is compared
    again with the rest of its own class.

    Args:
        pools: level -> the descriptors (K, T, C) of each class, photo by photo.
        asked: (class, number of the photo in it) of each.
        queries: level -> the descriptors of each.
    """
    usual = {level: stack_pools([_all_but(one, len(one) - 1) for one in own]) for level, own in pools.items()}
    for first in range(0, len(queries), _AT_ONCE):
        part = queries[first : first + _AT_ONCE]
        rows = {level: _together([one[level] for one in part]) for level in pools}
        scores = {level: salient_to_classes(rows[level], usual[level]) for level in pools}
        for place, (own, photo) in enumerate(asked[first : first + len(part)]):
            for level in pools:
                if photo >= len(pools[level][own]) - 1:
                    continue  # what is usual: the last one of each class is left out
                query = SalientDescriptors(*(one[place : place + 1] for one in rows[level]))
                rest = stack_pools([_all_but(pools[level][own], photo)])
                scores[level][place, own] = salient_to_classes(query, rest)[0, 0]
            yield {level: scores[level][place] for level in pools}


def _together(photos: Sequence[SalientDescriptors]) -> SalientDescriptors:
    return SalientDescriptors(*(torch.cat(parts) for parts in zip(*photos, strict=True)))


def _all_but(photos: Float[Tensor, "K T C"], photo: int) -> Float[Tensor, "_ C"]:
    """The pool of a class without this photo; a single photo stays."""
    if len(photos) == 1:
        return photos[0]
    rest = photos[:photo] if photo == len(photos) - 1 else torch.cat([photos[:photo], photos[photo + 1 :]])
    return rest.flatten(0, 1)
