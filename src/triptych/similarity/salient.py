"""Pixel level for pretrained maps: the descriptors that stand out count, the background does not."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from triptych.similarity.common import at_least_float32, check_maps, split_classes, without_autocast
from triptych.similarity.nearest import nearest_similarity
from triptych.similarity.search import current_search
from triptych.similarity.stacked import Stack, stacked_similarity, unstacked

__all__ = [
    "SalientDescriptors",
    "SalientPool",
    "kept_moments",
    "kept_weights",
    "salient_descriptors",
    "salient_moments",
    "salient_pool",
    "salient_similarity",
    "salient_to_classes",
]


_LEAST_VARIANCE = 1e-12  # so that a root has a gradient


class SalientDescriptors(NamedTuple):
    """The T descriptors of each image that stand out most.

    Attributes:
        units: (B, T, C), of unit length.
        weights: (B, T), which sum to one.
        positions: (B, T), where in the map they are, 0..M-1, row by row.

    >>> import torch
    >>> from triptych.similarity import salient_descriptors
    >>> salient_descriptors(torch.tensor([1.0, 0.0, 4.0]).view(1, 1, 1, 3), keep=2).positions
    tensor([[2, 0]])
    """

    units: Float[Tensor, "B T C"]
    weights: Float[Tensor, "B T"]
    positions: Int64[Tensor, "B T"]


class SalientPool(NamedTuple):
    """What the descriptors of queries are compared with, of one class: T of each of its images, one after the other.

    Attributes:
        descriptors: (K * T, C), of unit length.
        positions: (K, T), where in the maps of their images they are.

    >>> import torch
    >>> from triptych.similarity import salient_descriptors, salient_pool
    >>> maps = torch.tensor([[3.0, 0.0], [4.0, 5.0]]).view(2, 1, 1, 2)
    >>> salient_pool(salient_descriptors(maps, keep=1)).positions.tolist()
    [[0], [1]]
    """

    descriptors: Float[Tensor, "_ C"]
    positions: Int64[Tensor, "K T"]

    def by_photo(self, views: int) -> Float[Tensor, "_ _ C"]:
        """(K, V * T, C) where V rows of ``positions`` are views of one photo."""
        return self.descriptors.view(len(self.positions) // views, -1, self.descriptors.shape[1])


@without_autocast
def salient_similarity(
    query: Float[Tensor, "Q C H W"],
    support: Float[Tensor, "S C h w"],
    labels: Int64[Tensor, " S"],
    power: float = 2.0,
    keep: int | None = None,
) -> Float[Tensor, "Q N"]:
    r"""Image-to-class similarity of local descriptors, each weighted by a power of its length.

    .. math:: s(q, n) = \frac{\sum_i w_i \max_{j \in S_n} \cos(x_i^{(q)}, x_j)}{\sum_i w_i}, \qquad w_i = |x_i|^p

    over the ``keep`` longest descriptors of each image. In a network that was trained to name objects, descriptors of
    the background are short; counted alike, as in ``pixel_similarity``, they drown the object.

    Args:
        query: (Q, C, H, W) feature maps.
        support: (S, C, H, W) feature maps; classes may have different numbers of them.
        labels: (S,) the class of each support map, 0..N-1.
        power: p, 0 counts all alike.
        keep: descriptors of an image that are compared, by default all.

    Returns:
        (Q, N) similarities in [-1, 1].

    >>> import torch
    >>> from triptych.similarity import salient_similarity
    >>> support = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 2, 1, 1)
    >>> salient_similarity(torch.tensor([[3.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2), support, torch.tensor([0, 1]))
    tensor([[0.9000, 0.1000]])
    """
    check_maps(query, support)
    pooled = [salient_pool(salient_descriptors(maps, power, keep)) for maps in split_classes(support, labels)]
    pools = [pool.descriptors for pool in pooled]
    return salient_to_classes(salient_descriptors(query, power, keep), pools)


def salient_descriptors(
    maps: Float[Tensor, "B C H W"],
    power: float = 2.0,
    keep: int | None = None,
    lengths: Float[Tensor, "B M"] | None = None,
) -> SalientDescriptors:
    """The longest descriptors of each map, and their weights, the given power of their lengths.

    Args:
        maps: (B, C, H, W) feature maps.
        power: of the lengths.
        keep: T, at most M = H * W; by default all, in their order.
        lengths: (B, M) in place of the maps' own, from a deeper layer of the same grid, which knows objects better.

    Raises:
        ValueError: ``keep`` below 1, or lengths that do not fit.

    >>> import torch
    >>> from triptych.similarity import salient_descriptors
    >>> salient_descriptors(torch.tensor([[1.0, 2.0, 0.0, 4.0]]).view(1, 1, 2, 2), power=1, keep=2).weights
    tensor([[0.6667, 0.3333]])
    """
    descriptors = at_least_float32(maps).flatten(2).transpose(1, 2)  # (B, M, C)
    lengths = descriptors.norm(dim=2) if lengths is None else lengths.to(descriptors.dtype)
    if lengths.shape != descriptors.shape[:2]:
        raise ValueError(f"expected lengths of shape {tuple(descriptors.shape[:2])}, got {tuple(lengths.shape)}")
    if keep is not None and keep < 1:
        raise ValueError(f"keep must be at least 1, got {keep}")
    if keep is None:
        # Not len(lengths), which would fix the batch of a recorded graph.
        positions = torch.arange(lengths.shape[1], device=lengths.device).expand(lengths.shape[0], -1)
        return SalientDescriptors(functional.normalize(descriptors, dim=2), _shares(lengths, power), positions)
    kept, positions = lengths.topk(min(keep, lengths.shape[1]), dim=1)  # (B, T)
    chosen = descriptors.gather(1, positions[..., None].expand(-1, -1, descriptors.shape[2]))  # (B, T, C)
    return SalientDescriptors(functional.normalize(chosen, dim=2), _shares(kept, power), positions)


def salient_pool(support: SalientDescriptors) -> SalientPool:
    """The pool of one class's descriptors.

    >>> import torch
    >>> from triptych.similarity import salient_descriptors, salient_pool
    >>> salient_pool(salient_descriptors(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1))).descriptors
    tensor([[0.6000, 0.8000]])
    """
    return SalientPool(support.units.flatten(0, 1), support.positions)


@without_autocast
def salient_to_classes(
    query: SalientDescriptors, pools: Sequence[Float[Tensor, "_ C"]] | Sequence[Stack]
) -> Float[Tensor, "Q N"]:
    """``salient_similarity`` against the pools of all classes, sought as ``searching`` says.

    Stacked pools are for many classes, without a gradient; where ``searching`` asks for half precision, they are sought
    one by one.

    >>> import torch
    >>> from triptych.similarity import salient_descriptors, salient_to_classes
    >>> query = salient_descriptors(torch.tensor([[3.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2))
    >>> salient_to_classes(query, [torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])])
    tensor([[0.9000, 0.1000]])
    """
    rows = query.units * query.weights[..., None]  # weights are not negative: the nearest stays the nearest
    precision = current_search().dtype or rows.dtype
    stacks = [one for one in pools if isinstance(one, Stack)]
    if stacks and precision == rows.dtype:
        return stacked_similarity(rows, stacks)
    single = unstacked(stacks) if stacks else [one for one in pools if isinstance(one, Tensor)]
    return nearest_similarity(rows, single, 1, precision)


@without_autocast
def salient_moments(
    maps: Float[Tensor, "B C H W"], power: float = 1.0
) -> tuple[Float[Tensor, "B C"], Float[Tensor, "B C"]]:
    r"""Mean and standard deviation of each channel, with each descriptor weighted by a power of its length.

    .. math:: \mu = \sum_i w_i x_i, \qquad \sigma^2 = \sum_i w_i (x_i - \mu)^2, \qquad w_i = |x_i|^p / \sum_j |x_j|^p

    >>> import torch
    >>> from triptych.similarity import salient_moments
    >>> salient_moments(torch.tensor([3.0, 1.0]).view(1, 1, 1, 2))
    (tensor([[2.5000]]), tensor([[0.8660]]))
    """
    descriptors = at_least_float32(maps).flatten(2)  # (B, C, M)
    weights = _shares(descriptors.norm(dim=1), power)[:, None]  # (B, 1, M)
    mean = (weights * descriptors).sum(2)
    variance = (weights * (descriptors - mean[..., None]).square()).sum(2)
    return mean, variance.clamp_min(_LEAST_VARIANCE).sqrt()


@without_autocast
def kept_weights(
    lengths: Float[Tensor, " M"], kept: Float[Tensor, "P M"], power: float, keep: int | None = None
) -> Float[Tensor, "P M"]:
    """The weights of an image's descriptors where each is shortened to a share of its length; P sets of shares.

    As in ``salient_descriptors`` the ``keep`` longest have weights, by default all.

    >>> import torch
    >>> from triptych.similarity import kept_weights
    >>> kept_weights(torch.tensor([3.0, 1.0]), torch.tensor([[1.0, 1.0], [0.0, 1.0]]), power=1.0)
    tensor([[0.7500, 0.2500],
            [0.0000, 1.0000]])
    """
    shortened = lengths * kept
    if keep is None or keep >= shortened.shape[1]:
        return _shares(shortened, power)
    longest, positions = shortened.topk(keep, dim=1)  # (P, T)
    return torch.zeros_like(shortened).scatter(1, positions, _shares(longest, power))


@without_autocast
def kept_moments(
    descriptors: Float[Tensor, "M C"], kept: Float[Tensor, "P M"], power: float = 1.0
) -> tuple[Float[Tensor, "P C"], Float[Tensor, "P C"]]:
    """``salient_moments`` of an image whose descriptors are shortened to these shares; P sets of shares at once.

    >>> import torch
    >>> from triptych.similarity import kept_moments
    >>> kept_moments(torch.tensor([[3.0], [1.0]]), torch.tensor([[1.0, 1.0], [0.0, 1.0]]))[0]
    tensor([[2.5000],
            [1.0000]])
    """
    weights = kept_weights(descriptors.norm(dim=1), kept, power) * kept
    mean = weights @ descriptors
    variance = (weights * kept) @ descriptors.square() - mean.square()
    return mean, variance.clamp_min(_LEAST_VARIANCE).sqrt()


def _shares(lengths: Float[Tensor, "B T"], power: float) -> Float[Tensor, "B T"]:
    """Powers of the lengths that sum to one; alike where all are zero."""
    longest = lengths.amax(1, keepdim=True)
    relative = torch.where(longest > 0, lengths / longest.clamp_min(torch.finfo(lengths.dtype).tiny), 1.0)
    powers = relative.pow(power)
    return powers / powers.sum(1, keepdim=True)
