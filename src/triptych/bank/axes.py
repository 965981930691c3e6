"""The axes of the vectors by which a shortlist is made: those that tell classes apart."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from triptych.similarity import class_members

__all__ = ["Axes", "learn_axes"]

_RIDGE = 0.003  # of vectors of unit length, as in the discriminant analyses


class Axes(NamedTuple):
    """Axes of pooled vectors with P entries.

    Attributes:
        centre: (P,) the mean of the vectors that they were learnt from.
        axes: (P, D), one a column.

    >>> import torch
    >>> from triptych.bank import Axes
    >>> Axes(torch.ones(2), torch.eye(2)).vectors(torch.tensor([[1.0, 3.0]]))
    tensor([[0., 1.]])
    """

    centre: Float[Tensor, " P"]
    axes: Float[Tensor, "P D"]

    def vectors(self, pooled: Float[Tensor, "B P"]) -> Float[Tensor, "B D"]:
        """Where images lie along the axes: photos of one class lie near each other."""
        return functional.normalize(pooled - self.centre, dim=1) @ self.axes


@torch.no_grad()
def learn_axes(pooled: Float[Tensor, "S P"], labels: Int64[Tensor, " S"], count: int = 256) -> Axes:
    r"""The first principal components of vectors whose covariance within classes was made the identity.

    With the directions u of vectors less their centre, of unit length,

    .. math:: \Sigma = \mathrm{cov}_{within}(u) + \rho I, \qquad \text{axes} = \Sigma^{-1/2} V,

    where V are the principal directions of :math:`\Sigma^{-1/2} u`, so that squared distances are those of linear
    discriminant analysis (Fisher 1936). Where there are fewer vectors than axes, V is completed by directions drawn
    at random, always the same: classes that come later may differ along any.

    Args:
        pooled: (S, P) vectors of photos.
        labels: (S,) the class of each, 0..N-1.
        count: D, at most P.

    >>> import torch
    >>> from triptych.bank import learn_axes
    >>> learn_axes(torch.eye(3), torch.tensor([0, 0, 1]), count=2).axes.shape
    torch.Size([3, 2])
    """
    rows = pooled.double()
    centre = rows.mean(0)
    units = functional.normalize(rows - centre, dim=1)
    members = class_members(labels, len(rows))
    deviations = torch.cat([units[one] - units[one].mean(0) for one in members])
    within = deviations.T @ deviations / max(len(rows) - len(members), 1)
    variances, directions = torch.linalg.eigh(within)
    whitening = directions @ torch.diag((variances.clamp_min(0) + _RIDGE).rsqrt()) @ directions.T  # (P, P)
    white = units @ whitening
    count = min(count, rows.shape[1])
    main = torch.linalg.svd(white, full_matrices=False).Vh[: min(count, len(rows))].T  # (P, <= D)
    drawn = torch.randn(len(centre), count, dtype=rows.dtype, generator=torch.Generator().manual_seed(0))
    whole = torch.linalg.qr(torch.cat([main, drawn], dim=1)[:, :count]).Q
    return Axes(centre.float(), (whitening @ whole).float())
