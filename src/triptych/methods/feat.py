"""FEAT: the classes of a task are adapted to each other by a set transformer.

Ye, Hu, Zhan and Sha, "Few-Shot Learning via Embedding Adaptation with Set-to-Set Functions", CVPR 2020
(https://arxiv.org/abs/1812.03664). What tells two classes apart depends on which classes there are. So the class means
look at each other by self-attention before queries are compared with them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded, EncodedEpisode
from triptych.similarity import minus_squared_distances, pooled_vectors, without_autocast
from triptych.system.settings import number

__all__ = ["FEAT", "FEATConfig", "SetTransformer"]


@dataclass(frozen=True)
class FEATConfig(MethodConfig):
    """Settings of FEAT.

    Attributes:
        temperature: divides the squared distances. The authors take 64, and 32 for four layers and five photos a class.
        contrast: weight of the contrastive loss beside the other. The authors take 1 for four layers and one photo a
            class, 0.1 for five photos, and 0.01 and 0.1 for ResNet-12.
        contrast_temperature: divides the squared distances of the contrastive loss. The authors take 16 for one photo,
            for five 64 with four layers and 32 with ResNet-12.
        dropout: in training, of the attention (a fifth of it) and of what it adds.

    >>> from triptych.methods import FEATConfig
    >>> FEATConfig(temperature=0.0)
    Traceback (most recent call last):
    ValueError: temperature must be a number above 0, got 0.0
    """

    temperature: float = 64.0
    contrast: float = 1.0
    contrast_temperature: float = 16.0
    dropout: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            temperature=number(0, above=True),
            contrast=number(0),
            contrast_temperature=number(0, above=True),
            dropout=number(0, 1),
        )
        if self.dropout == 1:
            raise ValueError("dropout must be below 1: at 1 nothing is left to learn from")


class FEAT(Method):
    r"""Minus the squared distance to the adapted mean of a class.

    .. math:: \mathrm{logit}(q, n) = -\frac{1}{T} \|x_q - \psi_n\|_2^2, \qquad
        \{\psi_1, \ldots, \psi_N\} = \mathrm{Transformer}\big(\{c_1, \ldots, c_N\}\big)

    with the mean descriptor x (C,) of the query, the means c_n (C,) of the classes and ``SetTransformer``.
    ``auxiliary_loss`` is the paper's contrastive loss. The authors train the transformer at ten times the rate of the
    backbone; here both have one rate.

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

    @without_autocast
    def auxiliary_loss(self, episode: EncodedEpisode, head: nn.Module | None) -> Tensor | None:
        r"""The contrastive loss: adapted to each other, the photos of a class have a mean near all of them.

        .. math:: L = \lambda \, \frac{1}{|X|} \sum_{x \in X} -\log \mathrm{softmax}_n
            \big(-\|x - m_n\|_2^2 / T_c\big)_{y(x)}, \qquad
            m_n = \mathrm{mean}\big(\mathrm{Transformer}(\{x \in X : y(x) = n\})\big)

        over the mean descriptors X of support and queries together, with their classes y: the authors' code. Equation 7
        of the paper has the adapted queries in place of x.
        """
        if not self.config.contrast:
            return None
        vectors = torch.cat([pooled_vectors(one.maps) for one in (episode.support, episode.query)])  # (S+Q, C)
        labels = torch.cat([episode.labels, episode.truth])
        sets = [vectors[labels == n] for n in range(len(episode.classes))]
        means = torch.stack([self.transformer(one).mean(0) for one in sets])  # (N, C)
        logits = minus_squared_distances(vectors, means) / self.config.contrast_temperature
        return self.config.contrast * functional.cross_entropy(logits, labels)


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
