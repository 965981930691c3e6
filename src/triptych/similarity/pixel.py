"""Pixel level: an image's local descriptors against all local descriptors of a class."""

from collections.abc import Sequence

from jaxtyping import Float, Int64
from torch import Tensor

from triptych.similarity.common import check_maps, split_classes, unit_descriptors, without_autocast
from triptych.similarity.nearest import nearest_similarity
from triptych.similarity.search import current_search

__all__ = ["pixel_class", "pixel_similarity", "pixel_to_classes"]


@without_autocast
def pixel_similarity(
    query: Float[Tensor, "Q C H W"],
    support: Float[Tensor, "S C h w"],
    labels: Int64[Tensor, " S"],
    k: int = 1,
) -> Float[Tensor, "Q N"]:
    r"""Image-to-class similarity of local descriptors.

    .. math:: s(q, n) = \sum_{i=1}^{M} \sum_{j \in \mathrm{top}_k(S_n)} \cos(x_i^{(q)}, x_j)

    where S_n pools the M = H * W descriptors of all support images of class n. Source: Li et al. (DN4),
    CVPR 2019, equation 3 with k = 3; Chen et al. (MML), arXiv 2103.11383v1, section 3.2 with k = 1.

    Args:
        query: (Q, C, H, W) feature maps.
        support: (S, C, h, w) feature maps; classes may have different numbers of them.
        labels: (S,) the class of each support map, 0..N-1.
        k: nearest neighbours that count for each descriptor.

    Returns:
        (Q, N) similarities in [-k*M, k*M], float32 or float64.

    Raises:
        ValueError: a class without support image, or k above a class's number of descriptors.

    >>> import torch
    >>> from triptych.similarity import pixel_similarity
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 2, 1, 1)
    >>> pixel_similarity(x, x, torch.tensor([0, 1]))
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_maps(query, support)
    pools = [pixel_class(maps) for maps in split_classes(support, labels)]
    return pixel_to_classes(query, pools, k)


def pixel_class(maps: Float[Tensor, "K C H W"]) -> Float[Tensor, "K*H*W C"]:
    """The pool of unit-length descriptors of one class, in the precision of the maps or float32 if that is half.

    >>> import torch
    >>> from triptych.similarity import pixel_class
    >>> pixel_class(torch.tensor([3.0, 4.0]).view(1, 2, 1, 1))
    tensor([[0.6000, 0.8000]])
    """
    return unit_descriptors(maps).flatten(0, 1)


@without_autocast
def pixel_to_classes(
    query: Float[Tensor, "Q C H W"],
    pools: Sequence[Float[Tensor, "_ C"]],
    k: int = 1,
) -> Float[Tensor, "Q N"]:
    """``pixel_similarity`` against classes prepared by ``pixel_class``, sought as ``searching`` says.

    >>> import torch
    >>> from triptych.similarity import pixel_class, pixel_to_classes
    >>> maps = torch.eye(2).view(2, 2, 1, 1)
    >>> pixel_to_classes(maps, [pixel_class(maps[:1]), pixel_class(maps)])
    tensor([[1., 1.],
            [0., 1.]])
    """
    search = current_search()
    rows = unit_descriptors(query)  # (Q, M, C)
    if search.positions is None:
        return nearest_similarity(rows, pools, k, search.dtype or query.dtype)
    drawn = nearest_similarity(rows[:, search.positions], pools, k, search.dtype or query.dtype)
    return drawn * (rows.shape[1] / len(search.positions))
