"""FRN: how well the descriptors of a class reconstruct those of a query.

Wertheimer, Tang and Hariharan, "Few-Shot Classification with Feature Map Reconstruction Networks", CVPR 2021 (arXiv
2012.01506). Each descriptor of the query is written as a combination of all descriptors of the class, by ridge
regression in closed form; what is left over is the distance.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import without_autocast
from triptych.system.settings import number

__all__ = ["FRN", "FRNConfig", "reconstruction_matrix"]

_LEAST_PENALTY = 1e-6


@dataclass(frozen=True)
class FRNConfig(MethodConfig):
    """Settings of an FRN.

    Attributes:
        scale: multiplies the descriptors; the authors divide those of ResNet-12 by the root of their 640 channels.

    >>> from triptych.methods import FRNConfig
    >>> FRNConfig(scale=0.0)
    Traceback (most recent call last):
    ValueError: scale must be a number above 0, got 0.0
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(scale=number(0, above=True))


class FRN(Method):
    r"""Minus the mean squared error of reconstruction, times a learned factor.

    .. math:: \bar Q_n = \rho\,Q\,(S_n^T S_n + \lambda_n I)^{-1} S_n^T S_n, \qquad
        \mathrm{logit}(q, n) = -\frac{\gamma}{M} \sum_{i=1}^{M} \|Q_i - \bar Q_{n,i}\|_2^2

    with the descriptors Q (M, C) of the query and S_n (K_n M, C) of all images of class n,
    :math:`\lambda_n = \frac{K_n M}{C} e^\alpha` and :math:`\rho = e^\beta`; alpha, beta and gamma are learned.
    Equations 3 to 8 of the paper. Its auxiliary loss, which needs the support beside the logits, is left out.

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
        super().__init__(config, SumFusion(), backbone)
        self.alpha = nn.Parameter(torch.zeros(()))
        self.beta = nn.Parameter(torch.zeros(()))
        self.gamma = nn.Parameter(torch.ones(()))

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("reconstruction",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        descriptors = self._descriptors(encoded).flatten(0, 1)  # (K*M, C)
        penalty = len(descriptors) / descriptors.shape[1] * self.alpha.exp() + _LEAST_PENALTY
        return {"reconstruction": self.beta.exp() * reconstruction_matrix(descriptors, penalty)}

    @without_autocast
    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        descriptors = self._descriptors(query)  # (Q, M, C)
        errors = [
            (descriptors - descriptors @ summary["reconstruction"]).square().sum(2).mean(1) for summary in classes
        ]
        return {"reconstruction": -self.gamma * torch.stack(errors, dim=1)}

    def _descriptors(self, encoded: Encoded) -> Float[Tensor, "B M C"]:
        return encoded.maps.float().flatten(2).transpose(1, 2) * self.config.scale


@without_autocast
def reconstruction_matrix(
    descriptors: Float[Tensor, "J C"], penalty: Float[Tensor, ""] | float
) -> Float[Tensor, "C C"]:
    r"""What maps a descriptor to its reconstruction from J others, by ridge regression.

    .. math:: (S^T S + \lambda I)^{-1} S^T S = S^T (S S^T + \lambda I)^{-1} S

    of which the side with the smaller inverse is computed. Equations 5 and 8 of the paper.

    >>> import torch
    >>> from triptych.methods.frn import reconstruction_matrix
    >>> reconstruction_matrix(torch.tensor([[1.0, 0.0]]), penalty=1.0)
    tensor([[0.5000, 0.0000],
            [0.0000, 0.0000]])
    """
    count, channels = descriptors.shape
    if count < channels:
        gram = descriptors @ descriptors.T
        return descriptors.T @ torch.linalg.solve(gram + penalty * torch.eye(count).to(gram), descriptors)
    gram = descriptors.T @ descriptors
    return torch.linalg.solve(gram + penalty * torch.eye(channels).to(gram), gram)
