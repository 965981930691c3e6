"""Global level: an image's mean descriptor against the mean descriptor of a class, its prototype."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.similarity.common import at_least_float32, check_maps, split_classes, without_autocast

__all__ = ["global_class", "global_similarity", "global_to_classes"]


@without_autocast
def global_similarity(
    query: Float[Tensor, "Q C H W"], support: Float[Tensor, "S C h w"], labels: Int64[Tensor, " S"]
) -> Float[Tensor, "Q N"]:
    r"""Minus the squared Euclidean distance between mean descriptors.

    .. math:: s(q, n) = -\|\bar x^{(q)} - \bar x_n\|_2^2

    where :math:`\bar x_n` is the mean over all descriptors of all support images of class n. The comparison of
    prototypical networks: Snell et al., NeurIPS 2017, equations 1 and 2, over average-pooled feature maps. It is not a
    level of MML's first version; the other levels are compared with it.

    Args:
        query: (Q, C, H, W) feature maps.
        support: (S, C, h, w) feature maps; classes may have different numbers of them.
        labels: (S,) the class of each support map, 0..N-1.

    Returns:
        (Q, N) similarities <= 0, float32 or float64.

    Raises:
        ValueError: a class without support image.

    >>> import torch
    >>> from triptych.similarity import global_similarity
    >>> x = torch.tensor([[0.0, 2.0], [1.0, 5.0]]).view(2, 1, 1, 2)
    >>> global_similarity(x, x, torch.tensor([0, 1]))
    tensor([[-0., -4.],
            [-4., -0.]])
    """
    check_maps(query, support)
    return global_to_classes(query, [global_class(maps) for maps in split_classes(support, labels)])


@without_autocast
def global_class(maps: Float[Tensor, "K C H W"]) -> Float[Tensor, " C"]:
    """The mean descriptor of one class.

    >>> import torch
    >>> from triptych.similarity import global_class
    >>> global_class(torch.tensor([1.0, 3.0]).view(2, 1, 1, 1))
    tensor([2.])
    """
    return at_least_float32(maps).mean(dim=(0, 2, 3))


@without_autocast
def global_to_classes(query: Float[Tensor, "Q C H W"], classes: Sequence[Float[Tensor, " C"]]) -> Float[Tensor, "Q N"]:
    """``global_similarity`` against classes prepared by ``global_class``.

    >>> import torch
    >>> from triptych.similarity import global_to_classes
    >>> global_to_classes(torch.tensor([1.0, 3.0]).view(1, 1, 1, 2), [torch.tensor([2.0]), torch.tensor([5.0])])
    tensor([[-0., -9.]])
    """
    offset = at_least_float32(query).mean(dim=(2, 3))[:, None] - torch.stack(list(classes))  # (Q, N, C)
    return -offset.square().sum(2)
