"""FRN: how well the descriptors of a class reconstruct those of a query.

Wertheimer, Tang and Hariharan, "Few-Shot Classification with Feature Map Reconstruction Networks", CVPR 2021
(https://arxiv.org/abs/2012.01506). Each descriptor of the query is written as a combination of all descriptors of the
class, by ridge regression in closed form; what is left over is the distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded, EncodedEpisode
from triptych.similarity import without_autocast
from triptych.system.settings import number, optional

__all__ = ["FRN", "FRNConfig", "reconstruction"]

_LEAST_PENALTY = 1e-6


@dataclass(frozen=True)
class FRNConfig(MethodConfig):
    """Settings of an FRN.

    Attributes:
        scale: multiplies the descriptors; None to divide them by the root of their channels, as the authors do with
            ResNet-12. With four layers they leave the descriptors as they are: 1.
        orthogonality: weight of the auxiliary loss; 0 is none.

    >>> from triptych.methods import FRNConfig
    >>> FRNConfig(scale=0.0)
    Traceback (most recent call last):
    ValueError: scale must be a number above 0, or None, got 0.0
    """

    scale: float | None = None
    orthogonality: float = 0.03

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(scale=optional(number(0, above=True)), orthogonality=number(0))


class FRN(Method):
    r"""Minus the mean squared error of reconstruction.

    .. math:: \bar Q_n = \rho\,Q\,(S_n^T S_n + \lambda_n I)^{-1} S_n^T S_n, \qquad
        s(q, n) = -\frac{1}{M} \sum_{i=1}^{M} \|Q_i - \bar Q_{n,i}\|_2^2

    with the descriptors Q (M, C) of the query and S_n (K_n M, C) of all images of class n,
    :math:`\lambda_n = \frac{K_n M}{C} e^\alpha` and :math:`\rho = e^\beta`; alpha and beta are learned, and the factor
    gamma of the paper is the temperature of ``LevelFusion``, relative to how far the scores spread.
    Equations 3 to 8 of the paper. ``auxiliary_loss`` is its auxiliary loss. Its own form of pre-training is left out.

    >>> import torch
    >>> from triptych.methods import FRN, FRNConfig
    >>> method = FRN(FRNConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "frn"
    config_type = FRNConfig
    config: FRNConfig

    def __init__(self, config: FRNConfig = FRNConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, LevelFusion(("reconstruction",)), backbone)
        self.alpha = nn.Parameter(torch.zeros(()))
        self.beta = nn.Parameter(torch.zeros(()))

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("reconstruction",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        descriptors = self._descriptors(encoded).flatten(0, 1)  # (K*M, C)
        penalty = len(descriptors) / descriptors.shape[1] * self.alpha.exp() + _LEAST_PENALTY
        inward, outward = reconstruction(descriptors, penalty)
        return {"reconstruction": (self.beta.exp() * inward, outward)}

    @without_autocast
    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        descriptors = self._descriptors(query)  # (Q, M, C)
        errors = []
        for inward, outward in (summary["reconstruction"] for summary in classes):
            found = descriptors @ inward if outward is None else descriptors @ inward @ outward
            errors.append((descriptors - found).square().sum(2).mean(1))
        return {"reconstruction": -torch.stack(errors, dim=1)}

    @without_autocast
    def auxiliary_loss(self, episode: EncodedEpisode, head: nn.Module | None) -> Tensor | None:
        r"""Descriptors of different classes should be orthogonal.

        .. math:: L = \frac{w}{N (N - 1)} \sum_n \sum_{m \ne n}
            \frac{1}{J_n J_m} \big\|\hat S_n \hat S_m^T\big\|_F^2

        with the support's descriptors S_n (J_n, C) of class n, scaled to unit length, and the weight w: the mean of
        squared cosines. The paper has their sum. The authors' code divides all descriptors by one number, and gives
        about half of this mean.
        """
        if not self.config.orthogonality:
            return None
        units = functional.normalize(self._descriptors(episode.support), dim=2)  # (S, M, C)
        count = len(episode.classes)
        pools = [units[episode.labels == n].flatten(0, 1) for n in range(count)]  # (J_n, C) each
        spreads = torch.stack([pool.T @ pool / len(pool) for pool in pools])  # (N, C, C)
        # The norm of S_n S_m^T is the inner product of S_n^T S_n and S_m^T S_m.
        others = spreads.sum(0).square().sum() - spreads.square().sum()
        return self.config.orthogonality * others / max(1, count * (count - 1))

    def _descriptors(self, encoded: Encoded) -> Float[Tensor, "B M C"]:
        scale = self.channels**-0.5 if self.config.scale is None else self.config.scale
        return encoded.maps.float().flatten(2).transpose(1, 2) * scale


@without_autocast
def reconstruction(
    descriptors: Float[Tensor, "J C"], penalty: Float[Tensor, ""] | float
) -> tuple[Float[Tensor, "C _"], Float[Tensor, "J C"] | None]:
    r"""What maps a descriptor to its reconstruction from J others, by ridge regression.

    .. math:: (S^T S + \lambda I)^{-1} S^T S = S^T (S S^T + \lambda I)^{-1} S

    of which the side with the smaller inverse is computed. Equations 5 and 8 of the paper.

    Returns:
        The matrix (C, C) and None; of fewer descriptors than channels its factors (C, J) and (J, C), which are smaller.

    >>> import torch
    >>> from triptych.methods.frn import reconstruction
    >>> inward, outward = reconstruction(torch.tensor([[1.0, 0.0]]), penalty=1.0)
    >>> inward @ outward
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    count, channels = descriptors.shape
    if count < channels:
        gram = descriptors @ descriptors.T
        return descriptors.T, torch.linalg.solve(gram + penalty * torch.eye(count).to(gram), descriptors)
    gram = descriptors.T @ descriptors
    return torch.linalg.solve(gram + penalty * torch.eye(channels).to(gram), gram), None
