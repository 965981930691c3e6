"""PLDA level: probabilistic linear discriminant analysis of vectors of images, learnt from the classes of training.

The code of an image is its coordinates along the axes that tell the training classes apart. The level is the
log-likelihood ratio of two hypotheses: the code is of an image of this class, or of any class.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.similarity.common import without_autocast

__all__ = [
    "PLDA",
    "PLDAClass",
    "fit_plda",
    "plda_class",
    "plda_codes",
    "plda_to_classes",
]

_RIDGE = 0.3  # times the mean variance within classes
_LEAST_RIDGE = 1e-12
_LEAST_WITHIN = 1e-6  # of the regularised variance within classes along an axis


class PLDA(NamedTuple):
    """What ``fit_plda`` finds: axes along which images of one class have unit variance, and classes differ most.

    Attributes:
        origin: (D,) the mean of the classes.
        axes: (D, A), one a column.
        between: (A,) the variance of the classes along each axis.

    >>> import torch
    >>> from triptych.similarity import PLDA
    >>> PLDA(torch.zeros(3), torch.zeros(3, 1), torch.ones(1)).axes.shape
    torch.Size([3, 1])
    """

    origin: Float[Tensor, " D"]
    axes: Float[Tensor, "D A"]
    between: Float[Tensor, " A"]


class PLDAClass(NamedTuple):
    """Where the codes of a class's further images are expected: mean (..., A) and variance (..., A).

    >>> import torch
    >>> from triptych.similarity import plda_class
    >>> plda_class(torch.tensor([[2.0]]), torch.ones(1))
    PLDAClass(mean=tensor([1.], dtype=torch.float64), variance=tensor([1.5000], dtype=torch.float64))
    """

    mean: Float[Tensor, "*N A"]
    variance: Float[Tensor, "*N A"]


@without_autocast
def fit_plda(classes: Iterable[Float[Tensor, "_ D"]]) -> PLDA:
    r"""Linear discriminant analysis of the vectors of each class; two classes at least.

    .. math:: \left(S_W + \lambda\frac{\mathrm{tr}\,S_W}{D} I\right) v_a \propto S_B v_a

    with the covariances :math:`S_W` of images around the mean of their class, and :math:`S_B` of those means, and
    lambda = 0.3, chosen on miniImageNet's validation split. B classes have A = min(D, B - 1) such axes, each scaled to
    unit variance within classes. Sources: Fisher, Annals of Eugenics 7 (1936); Rao, Journal of the Royal Statistical
    Society B 10 (1948).

    Raises:
        ValueError: fewer than two classes, or a class of fewer than two images.

    >>> import torch
    >>> from triptych.similarity import fit_plda
    >>> fit_plda([torch.tensor([[0.0], [2.0]]), torch.tensor([[8.0], [10.0]])]).between
    tensor([16.], dtype=torch.float64)
    """
    means, counts, scatter = [], [], None
    for vectors in classes:
        if len(vectors) < 2:
            raise ValueError(f"expected at least two images of each class, got {len(vectors)}")
        means.append(vectors.double().mean(0))
        centred = (vectors - means[-1]).float()  # of size one or so: the product may be in single precision
        scatter = centred.T @ centred if scatter is None else scatter.addmm_(centred.T, centred)
        counts.append(len(vectors))
    if len(means) < 2:
        raise ValueError(f"expected at least two classes, got {len(means)}")
    assert scatter is not None
    within = scatter.double() / sum(counts)
    mean = torch.stack(means)  # (B, D)
    origin = mean.mean(0)
    offsets = (mean - origin).T  # (D, B)
    ridge = (_RIDGE * within.trace() / len(within)).clamp_min(_LEAST_RIDGE)
    within.diagonal().add_(ridge)
    root = torch.linalg.cholesky(within)
    # S_B has rank B - 1: its directions are those of the whitened offsets, without an eigenproblem of size D.
    whitened = torch.linalg.solve_triangular(root, offsets, upper=False)
    directions = torch.linalg.svd(whitened, full_matrices=False).U[:, : len(means) - 1]  # (D, A)
    # The sign of a singular vector is arbitrary: its largest entry is made positive.
    directions = directions * directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    axes = torch.linalg.solve_triangular(root.T, directions, upper=True)
    # With the ridge the variance along an axis is one now; the ridge's part is taken off.
    axes = axes / (1 - ridge * axes.square().sum(0)).clamp_min(_LEAST_WITHIN).sqrt()
    return PLDA(origin, axes, (offsets.T @ axes).square().mean(0))


@without_autocast
def plda_codes(vectors: Float[Tensor, "B D"], plda: PLDA) -> Float[Tensor, "B A"]:
    r"""Coordinates of images along the axes, scaled to the distance from the origin that training images have.

    .. math:: y = V^T(g - o), \qquad
        \mathrm{code} = y \sqrt{A / \textstyle\sum_a \frac{y_a^2}{1 + b_a}}

    with the variance :math:`b_a` of classes along axis a. Without this scaling, images unlike those of training lie far
    out, where small differences decide. Source: Garcia-Romero and Espy-Wilson, "Analysis of I-vector Length
    Normalization in Speaker Recognition Systems", Interspeech 2011.

    >>> import torch
    >>> from triptych.similarity import PLDA, plda_codes
    >>> axes = PLDA(torch.zeros(2), torch.eye(2), torch.tensor([3.0, 3.0]))
    >>> plda_codes(torch.tensor([[3.0, 4.0]]), axes)
    tensor([[1.6971, 2.2627]], dtype=torch.float64)
    """
    origin, axes, between = (tensor.double() for tensor in plda)
    codes = (vectors.double() - origin) @ axes
    length = (codes.square() / (1 + between)).mean(1, keepdim=True).sqrt()
    return codes / length.clamp_min(torch.finfo(codes.dtype).tiny)


@without_autocast
def plda_class(codes: Float[Tensor, "KV A"], between: Float[Tensor, " A"], views: int = 1) -> PLDAClass:
    r"""Where other images of a class are expected, from the codes of K of its images, each in V ``views``.

    Classes lie around the origin with variances b, the images of a class around it with variance one. After K images
    with the mean code y, another one is expected from the normal distribution

    .. math:: N\left(\frac{k b}{1 + k b}\,y,\; 1 + \frac{b}{1 + k b}\right), \qquad k = \sqrt{K}

    along each axis. k = K would be right for independent images. Those of one class are not, so their mean is less
    certain. Sources: Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006; for a smaller k (one, whatever K)
    Rajan, Afanasyev, Hautamaki and Kinnunen, "From single to multiple enrollment i-vectors", Digital
    Signal Processing 31 (2014); the root was chosen on miniImageNet's validation split.

    >>> import torch
    >>> from triptych.similarity import plda_class
    >>> plda_class(torch.tensor([[2.0], [2.0], [4.0], [4.0]]), torch.ones(1)).mean
    tensor([2.], dtype=torch.float64)
    """
    between = between.double()
    known = (len(codes) / views) ** 0.5
    certain = 1 + known * between
    return PLDAClass(known * between / certain * codes.double().mean(0), 1 + between / certain)


@without_autocast
def plda_to_classes(
    codes: Float[Tensor, "Q A"], classes: Sequence[PLDAClass], between: Float[Tensor, " A"]
) -> Float[Tensor, "Q N"]:
    r"""Log-likelihood ratio: that of a code for an image of a class, against that for an image of any class.

    .. math:: s(q, n) = \sum_a \ln N(y_a; m_{n,a}, v_{n,a}) - \ln N(y_a; 0, 1 + b_a)

    with the mean and variance that ``plda_class`` gives. The axes are taken to be independent within a class, which
    with the ridge of ``fit_plda`` is nearly true. Sources: those of ``plda_class``.

    >>> import torch
    >>> from triptych.similarity import plda_class, plda_to_classes
    >>> between = torch.ones(1)
    >>> plda_to_classes(torch.tensor([[1.0]]), [plda_class(torch.tensor([[2.0]]), between)], between)
    tensor([[0.3938]], dtype=torch.float64)
    """
    codes = codes.double()  # (Q, A)
    mean = torch.stack([one.mean for one in classes])  # (N, A)
    variance = torch.stack([one.variance for one in classes])
    own = codes.square() @ (1 / variance).T - 2 * codes @ (mean / variance).T + (mean.square() / variance).sum(1)
    background = 1 + between.double()
    anyone = (codes.square() / background).sum(1, keepdim=True)  # (Q, 1)
    return (anyone - own + background.log().sum() - variance.log().sum(1)) / 2  # (Q, N)
