"""Part level: an image's channels, each seen as one part, against all channels of a class."""

from collections.abc import Sequence

from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from triptych.similarity.common import check_maps, split_classes, unit_descriptors, without_autocast
from triptych.similarity.nearest import nearest_similarity

__all__ = ["part_class", "part_similarity", "part_to_classes"]


@without_autocast
def part_similarity(
    query: Float[Tensor, "Q C H W"],
    support: Float[Tensor, "S C h w"],
    labels: Int64[Tensor, " S"],
    k: int = 1,
    normalize: bool = False,
) -> Float[Tensor, "Q N"]:
    r"""Image-to-class similarity of parts, a part being one channel's response over all positions.

    .. math:: s(q, n) = \sum_{c=1}^{C} \sum_{j \in \mathrm{top}_k(P_n)} \langle v_c^{(q)}, v_j \rangle

    v_c is column c of the map's (M, C) matrix of unit-length descriptors, and P_n holds the K_n * C parts of
    the support images of class n. Source: Chen et al. (MML), arXiv 2103.11383v1, section 3.2; its release does
    not normalise the parts again.

    Args:
        query: (Q, C, H, W) feature maps.
        support: (S, C, H, W) feature maps of the same height and width.
        labels: (S,) the class of each support map, 0..N-1.
        k: nearest neighbours that count for each part.
        normalize: compare parts by true cosine instead of the release's inner product.

    Returns:
        (Q, N) similarities, float32 or float64.

    Raises:
        ValueError: a class without support image, maps of different sizes, or k above K_n * C.

    >>> import torch
    >>> from triptych.similarity import part_similarity
    >>> x = torch.tensor([[3.0, 4.0], [4.0, 3.0]]).view(2, 2, 1, 1)
    >>> part_similarity(x, x, torch.tensor([0, 1]))
    tensor([[1.1200, 1.1200],
            [1.1200, 1.1200]])
    """
    check_maps(query, support)
    pools = [part_class(maps, normalize) for maps in split_classes(support, labels)]
    return part_to_classes(query, pools, k, normalize)


def part_class(maps: Float[Tensor, "K C H W"], normalize: bool = False) -> Float[Tensor, "K*C H*W"]:
    """The pool of parts of one class.

    >>> import torch
    >>> from triptych.similarity import part_class
    >>> part_class(torch.ones(3, 64, 5, 5), normalize=True).shape
    torch.Size([192, 25])
    """
    return _parts(maps, normalize).flatten(0, 1)


@without_autocast
def part_to_classes(
    query: Float[Tensor, "Q C H W"],
    pools: Sequence[Float[Tensor, "_ M"]],
    k: int = 1,
    normalize: bool = False,
) -> Float[Tensor, "Q N"]:
    """``part_similarity`` against classes prepared by ``part_class``.

    >>> import torch
    >>> from triptych.similarity import part_class, part_to_classes
    >>> maps = torch.eye(2).view(1, 2, 2, 1)
    >>> part_to_classes(maps, [part_class(maps), part_class(maps.flip(2))])
    tensor([[2., 2.]])
    """
    parts = _parts(query, normalize)
    if parts.shape[2] != pools[0].shape[1]:
        raise ValueError(
            f"query maps have {parts.shape[2]} positions and support maps {pools[0].shape[1]}; "
            "the part level compares maps of one size"
        )
    return nearest_similarity(parts, pools, k, query.dtype)


def _parts(maps: Tensor, normalize: bool) -> Tensor:
    parts = unit_descriptors(maps).transpose(1, 2)  # (B, C, M)
    return functional.normalize(parts, dim=2) if normalize else parts.contiguous()
