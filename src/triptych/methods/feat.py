"""FEAT: the classes of a task are adapted to each other by a set transformer.

Ye, Hu, Zhan and Sha, "Few-Shot Learning via Embedding Adaptation with Set-to-Set Functions", CVPR 2020 (arXiv
1812.03664). What tells two classes apart depends on which classes there are. So the class means look at each other by
self-attention before queries are compared with them.
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
from triptych.similarity import minus_squared_distances, pooled_vectors, without_autocast
from triptych.system.settings import number

__all__ = ["FEAT", "FEATConfig", "SetTransformer"]


@dataclass(frozen=True)
class FEATConfig(MethodConfig):
    """Settings of FEAT.

    Attributes:
        temperature: divides the squared distances.
        dropout: in training, of the attention (a fifth of it) and of what it adds.

    >>> from triptych.methods import FEATConfig
    >>> FEATConfig(temperature=0.0)
    Traceback (most recent call last):
    ValueError: temperature must be a number above 0, got 0.0
    """

    temperature: float = 64.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(temperature=number(0, above=True), dropout=number(0, 1))
        if self.dropout == 1:
            raise ValueError("dropout must be below 1: at 1 nothing is left to learn from")


class FEAT(Method):
    r"""Minus the squared distance to the adapted mean of a class.

    .. math:: \mathrm{logit}(q, n) = -\frac{1}{T} \|x_q - \psi_n\|_2^2, \qquad
        \{\psi_1, \ldots, \psi_N\} = \mathrm{Transformer}\big(\{c_1, \ldots, c_N\}\big)

    with the mean descriptor x (C,) of the query, the means c_n (C,) of the classes and ``SetTransformer``. The
    paper's contrastive loss, which needs the photos beside the logits, is left out.

    >>> import torch
    >>> from triptych.methods import FEAT, FEATConfig
    >>> method = FEAT(FEATConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "feat"
    config_type = FEATConfig
    separable = False
    config: FEATConfig

    def __init__(self, config: FEATConfig = FEATConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SumFusion(), backbone)
        self.transformer = SetTransformer(self.channels, config.dropout)

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("global",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"global": pooled_vectors(encoded.maps).mean(0)}  # (C,)

    @without_autocast
    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """Adapt the class means to each other."""
        means = torch.stack([summary["global"] for summary in classes])  # (N, C)
        return [{"global": mean} for mean in self.transformer(means)]

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        means = torch.stack([summary["global"] for summary in classes])  # (N, C)
        return {"global": minus_squared_distances(pooled_vectors(query.maps), means) / self.config.temperature}


class SetTransformer(nn.Module):
    r"""One head of self-attention over a set of vectors, whose order does not matter.

    .. math:: \psi = \mathrm{LayerNorm}\big(c + W_F \, \mathrm{softmax}(c W_Q (c W_K)^T / \sqrt C) \, c W_V\big)

    Args:
        channels: C, of the vectors.
        dropout: in training, of what attention adds; a fifth of it for the attention itself.

    >>> import torch
    >>> from triptych.methods.feat import SetTransformer
    >>> SetTransformer(8)(torch.randn(3, 8)).shape
    torch.Size([3, 8])
    """

    def __init__(self, channels: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(channels, channels, bias=False) for _ in range(3))
        for layer in (self.query, self.key, self.value):
            nn.init.normal_(layer.weight, std=channels**-0.5)
        self.output = nn.Linear(channels, channels)
        nn.init.xavier_normal_(self.output.weight)
        self.norm = nn.LayerNorm(channels)
        self.dropout, self.attention_dropout = nn.Dropout(dropout), nn.Dropout(dropout / 5)

    def forward(self, vectors: Float[Tensor, "N C"]) -> Float[Tensor, "N C"]:
        scores = self.query(vectors) @ self.key(vectors).T / vectors.shape[1] ** 0.5  # (N, N)
        read = self.attention_dropout(scores.softmax(1)) @ self.value(vectors)
        return self.norm(vectors + self.dropout(self.output(read)))
