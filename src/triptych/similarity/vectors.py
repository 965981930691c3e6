"""One vector a photo: the mean descriptor of its map, and how the vectors of photos and classes are compared."""

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.similarity.common import at_least_float32, without_autocast

__all__ = ["centred_units", "cosines", "minus_squared_distances", "pooled_vectors"]


@without_autocast
def pooled_vectors(maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C"]:
    """The mean descriptor of each map, float32 or float64.

    >>> import torch
    >>> from triptych.similarity import pooled_vectors
    >>> pooled_vectors(torch.tensor([1.0, 3.0]).view(1, 1, 1, 2))
    tensor([[2.]])
    """
    return at_least_float32(maps).mean(dim=(2, 3))


@without_autocast
def centred_units(vectors: Float[Tensor, "B C"], centre: Float[Tensor, " C"]) -> Float[Tensor, "B C"]:
    r"""Vectors less a centre, of unit length.

    .. math:: \hat x = \frac{x - m}{\|x - m\|_2}

    The transformation CL2N of SimpleShot: Wang, Chao, Weinberger and van der Maaten, arXiv 1911.04623, with
    m the mean of the base classes' vectors.

    >>> import torch
    >>> from triptych.similarity import centred_units
    >>> centred_units(torch.tensor([[4.0, 5.0]]), torch.tensor([1.0, 1.0]))
    tensor([[0.6000, 0.8000]])
    """
    return functional.normalize(vectors - centre, dim=1)


@without_autocast
def minus_squared_distances(query: Float[Tensor, "Q C"], classes: Float[Tensor, "N C"]) -> Float[Tensor, "Q N"]:
    r"""Minus the squared Euclidean distance between the vectors of queries and those of classes.

    .. math:: s(q, n) = -\|x_q - c_n\|_2^2

    Source: Snell, Swersky and Zemel, NeurIPS 2017, equation 2.

    >>> import torch
    >>> from triptych.similarity import minus_squared_distances
    >>> minus_squared_distances(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [3.0, 0.0]]))
    tensor([[-1., -4.]])
    """
    return -(query[:, None] - classes).square().sum(2)


@without_autocast
def cosines(query: Float[Tensor, "Q C"], classes: Float[Tensor, "N C"]) -> Float[Tensor, "Q N"]:
    r"""The cosine between the vectors of queries and those of classes; zero where a vector is.

    .. math:: s(q, n) = \frac{x_q^T c_n}{\|x_q\|_2 \, \|c_n\|_2}

    >>> import torch
    >>> from triptych.similarity import cosines
    >>> cosines(torch.tensor([[3.0, 4.0]]), torch.tensor([[2.0, 0.0], [0.0, 1.0]]))
    tensor([[0.6000, 0.8000]])
    """
    return functional.normalize(query, dim=1) @ functional.normalize(classes, dim=1).T
