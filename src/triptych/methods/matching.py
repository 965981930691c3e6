"""Matching Networks: a query's attention over the photos of the support, with and without their context.

Vinyals, Blundell, Lillicrap, Kavukcuoglu and Wierstra, "Matching Networks for One Shot Learning", NeurIPS 2016
(https://arxiv.org/abs/1606.04080). A query is of the class whose photos it attends to, by cosine, and the network is
trained on the episodes that it will be asked. With full context embeddings, each photo is embedded in the light of the
whole support.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion
from triptych.methods.base import Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import attention_to_classes, pooled_vectors, without_autocast
from triptych.system.settings import whole

__all__ = ["ContextConfig", "ContextualMatchingNetwork", "MatchingConfig", "MatchingNetwork"]

_MOST_STEPS = 64
_READING = 100  # multiplications that take as long as reading a photo, for each pair of channels; measured


@dataclass(frozen=True)
class MatchingConfig(MethodConfig):
    """Settings of Matching Networks without context: those of every method."""


@dataclass(frozen=True)
class ContextConfig(MatchingConfig):
    """Settings of Matching Networks with full context embeddings.

    Attributes:
        steps: how often a query reads the support, the paper's K.

    >>> from triptych.methods import ContextConfig
    >>> ContextConfig(steps=0)
    Traceback (most recent call last):
    ValueError: steps must be a whole number from 1 to 64, got 0
    """

    steps: int = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(steps=whole(1, _MOST_STEPS))


class MatchingNetwork(Method):
    r"""The attention of a query over the photos of each class.

    .. math:: s(q, n) = \log \frac{1}{K_n} \sum_{k=1}^{K_n} e^{\cos(f(q), g(x_{n,k}))}

    with the mean descriptor (C,) of an image as f and as g; see ``attention_to_classes``. The fusion adds a
    temperature, which the paper does not have.

    >>> import torch
    >>> from triptych.methods import MatchingConfig, MatchingNetwork
    >>> method = MatchingNetwork(MatchingConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "matching"
    config_type: ClassVar[type[MethodConfig]] = MatchingConfig

    def __init__(self, config: MatchingConfig = MatchingConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, LevelFusion(("attention",)), backbone)

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("attention",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"attention": pooled_vectors(encoded.maps)}  # (K, C)

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        photos = [summary["attention"] for summary in classes]
        return {"attention": attention_to_classes(pooled_vectors(query.maps), photos)}


class ContextualMatchingNetwork(MatchingNetwork):
    r"""Matching Networks with full context embeddings.

    Of the photos, a bidirectional LSTM reads the support:

    .. math:: g(x_i, S) = \vec h_i + \overleftarrow h_i + g'(x_i)

    and of a query, an LSTM reads it K times by attention:

    .. math:: \hat h_k, c_k = \mathrm{LSTM}(f'(q), [h_{k-1}, r_{k-1}], c_{k-1}), \quad h_k = \hat h_k + f'(q), \quad
        r_k = \sum_i \mathrm{softmax}_i\big(h_k^T g(x_i, S)\big)\, g(x_i, S), \quad f(q, S) = h_K

    with f' and g' the mean descriptor (C,); section 2.1.2 and the appendix of the paper. The first LSTM needs
    an order of the support, of which the paper says nothing: here photos are read by the length of their vectors, so
    that answers do not depend on the order in which photos come.

    >>> import torch
    >>> from triptych.methods import ContextConfig, ContextualMatchingNetwork
    >>> method = ContextualMatchingNetwork(ContextConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "matching-context"
    config_type = ContextConfig
    separable = False
    config: ContextConfig

    def __init__(self, config: ContextConfig = ContextConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        self.reader = nn.LSTM(self.channels, self.channels, bidirectional=True)
        self.attender = nn.LSTMCell(2 * self.channels, self.channels)  # sees f'(q) and r, beside its state h

    @without_autocast
    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """Embed each photo in the light of all."""
        shots = [len(summary["attention"]) for summary in classes]
        vectors = torch.cat([summary["attention"] for summary in classes])  # (S, C)
        order = vectors.norm(dim=1).argsort(stable=True)
        forth, back = self.reader(vectors[order])[0].chunk(2, dim=1)  # (S, C) each
        context = (forth + back)[order.argsort()] + vectors
        ends = list(accumulate(shots))
        return [{"attention": context[end - shot : end]} for shot, end in zip(shots, ends, strict=True)]

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        photos = [summary["attention"] for summary in classes]
        return {"attention": attention_to_classes(self._in_context(pooled_vectors(query.maps), photos), photos)}

    def pair_work(self, encoded: Encoded) -> int:
        """The support is read anew for each photo that is left out."""
        return super().pair_work(encoded) + _READING * encoded.maps.shape[1] ** 2

    @without_autocast
    def _in_context(
        self, vectors: Float[Tensor, "Q C"], photos: Sequence[Float[Tensor, "_ C"]]
    ) -> Float[Tensor, "Q C"]:
        support = torch.cat(list(photos))  # (S, C)
        state, cell = torch.zeros_like(vectors), torch.zeros_like(vectors)
        for _ in range(self.config.steps):
            read = (state @ support.T).softmax(1) @ support
            output, cell = self.attender(torch.cat([vectors, read], dim=1), (state, cell))
            state = output + vectors
        return state
