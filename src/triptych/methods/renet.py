"""RENet: what a position has in common with its surroundings, and with the positions of the other image.

Kang, Kwon, Min and Cho, "Relational Embedding for Few-Shot Classification", ICCV 2021
(https://arxiv.org/abs/2108.09666). Correlations within an image say what its structure is. Correlations between two
images, cleaned by convolutions in four dimensions, say which positions count when the two are compared.
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
from triptych.similarity import cross_correlation, matching_attention, self_correlation, without_autocast
from triptych.system.settings import number, whole

__all__ = ["RENet", "RENetConfig"]

_WINDOW = 5
_HIDDEN = 64
_PLANES = 16
_MOST_GRID = 32
_MATCHING = 27_000_000  # multiplications that take as long as a pair of maps of 25 positions; measured


@dataclass(frozen=True)
class RENetConfig(MethodConfig):
    """Settings of RENet.

    Attributes:
        grid: largest side of the maps that are compared; larger ones are pooled to it. The authors' maps have 5.
        temperature: divides the cosines.
        attention_temperature: divides the correlations before their softmax.
        anchor: weight of the classification of the training classes beside the episode's loss. The authors weigh the
            episode's loss by 0.25 on miniImageNet and tieredImageNet, 0.5 on CIFAR-FS and 1.5 on CUB: 4, 2 and 2/3
            here.

    >>> from triptych.methods import RENetConfig
    >>> RENetConfig(grid=0)
    Traceback (most recent call last):
    ValueError: grid must be a whole number from 1 to 32, got 0
    """

    grid: int = 5
    temperature: float = 0.2
    attention_temperature: float = 5.0
    anchor: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            grid=whole(1, _MOST_GRID),
            temperature=number(0, above=True),
            attention_temperature=number(0, above=True),
            anchor=number(0),
        )


class RENet(Method):
    r"""The cosine of a query and a photo of the class, each pooled by where it matches the other.

    .. math:: \mathrm{logit}(q, n) = \frac{1}{T}
        \cos\Big(\frac{1}{K_n} \sum_k q_{n,k},\; \frac{1}{K_n} \sum_k s_{n,k}\Big), \qquad
        s_{n,k} = \sum_x A_s(x)\, z_{n,k}(x), \quad q_{n,k} = \sum_x A_q(x)\, z_q(x)

    with the maps z (C, H, W) to which ``SelfCorrelation`` has added what each position shares with its surroundings,
    and the attention A of ``matching_attention`` over the correlations (H, W, H, W) of the two, cleaned by ``Matcher``.
    ``auxiliary_loss`` is the paper's loss over the training classes.

    >>> import torch
    >>> from triptych.methods import RENet, RENetConfig
    >>> method = RENet(RENetConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "renet"
    config_type = RENetConfig
    config: RENetConfig

    def __init__(self, config: RENetConfig = RENetConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SumFusion(), backbone)
        self.structure = SelfCorrelation(self.channels)
        inward = nn.Conv2d(self.channels, _HIDDEN, 1, bias=False)
        self.reduction = nn.Sequential(inward, nn.BatchNorm2d(_HIDDEN), nn.ReLU())
        self.matcher = Matcher()

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("relation",)

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """The maps, pooled to the grid, with what each position shares with its surroundings.

        As in the paper: in the authors' code a ReLU in place changes the maps before the sum.
        """
        maps = super().encode_features(taps).maps
        height, width = (min(self.config.grid, side) for side in maps.shape[2:])
        maps = functional.adaptive_avg_pool2d(maps, (height, width))
        return Encoded({"maps": (maps + self.structure(maps)).relu()})

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"relation": _centred(encoded.maps)}  # (K, C, H, W)

    @without_autocast
    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        maps = _centred(query.maps)
        # BatchNorm sees all pairs of an episode at once in training; afterwards one class after the other saves memory.
        photos = [summary["relation"] for summary in classes]
        blocks = [photos] if self.training else [[one] for one in photos]
        return {"relation": torch.cat([self._scores(maps, block) for block in blocks], dim=1)}

    def training_head(self, classes: int) -> nn.Module | None:
        """A linear classifier of the training classes."""
        return nn.Linear(self.channels, classes) if self.config.anchor else None

    @without_autocast
    def auxiliary_loss(self, episode: EncodedEpisode, head: nn.Module | None) -> Tensor | None:
        r"""The anchor loss: a query's training class is told by its map alone, without the support.

        .. math:: L = \lambda \, \frac{1}{Q} \sum_q -\log \mathrm{softmax}(W \bar z_q + b)_{c(q)}

        with the mean :math:`\bar z_q` (C,) of the centred map, which correlations within the image have enriched, and
        the training class c(q); the paper's L_anchor. The authors' code also classifies 128 photos more at each step.
        """
        if head is None:
            return None
        logits = head(_centred(episode.query.maps).mean((2, 3)))  # (Q, training classes)
        return self.config.anchor * functional.cross_entropy(logits, episode.classes[episode.truth])

    def pair_work(self, encoded: Encoded) -> int:
        """Convolutions in four dimensions, whose work grows with the square of the positions when there are many."""
        return _MATCHING * max(25, encoded.maps[0, 0].numel()) ** 2 // 25**2

    def _scores(
        self, query: Float[Tensor, "Q C H W"], classes: Sequence[Float[Tensor, "_ C h w"]]
    ) -> Float[Tensor, "Q N"]:
        support, shots = torch.cat(list(classes)), [len(photos) for photos in classes]
        correlation = self.matcher(cross_correlation(self.reduction(query), self.reduction(support)))
        of_support, of_query = matching_attention(correlation, self.config.attention_temperature)
        photos = torch.einsum("qshw,schw->qsc", of_support, support)  # (Q, S, C)
        asked = torch.einsum("qshw,qchw->qsc", of_query, query)
        means = zip(photos.split(shots, dim=1), asked.split(shots, dim=1), strict=True)
        cosines = [functional.cosine_similarity(one.mean(1), other.mean(1), dim=1) for one, other in means]
        return torch.stack(cosines, dim=1) / self.config.temperature


class SelfCorrelation(nn.Module):
    """Convolutions over the correlations of each position with its surroundings, (B, C, H, W) -> (B, C, H, W).

    Two 3x3 convolutions shrink the window of 5x5 offsets to one; convolutions of 1x1 go before and after.

    >>> import torch
    >>> from triptych.methods.renet import SelfCorrelation
    >>> SelfCorrelation(8)(torch.randn(2, 8, 4, 4)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.inward = nn.Sequential(nn.Conv2d(channels, _HIDDEN, 1, bias=False), nn.BatchNorm2d(_HIDDEN), nn.ReLU())
        self.shrink = nn.Sequential(*(_shrinking() for _ in range(2)))
        self.outward = nn.Sequential(nn.Conv2d(_HIDDEN, channels, 1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        hidden = self.inward(self_correlation(maps, _WINDOW))  # (B, 64, H*W, 25)
        windows = hidden.transpose(1, 2).flatten(0, 1).unflatten(2, (_WINDOW, _WINDOW))  # (B*H*W, 64, 5, 5)
        shrunk = self.shrink(windows).flatten(1).unflatten(0, (len(maps), -1))  # (B, H*W, 64)
        return self.outward(shrunk.transpose(1, 2).unflatten(2, maps.shape[2:]))


class Matcher(nn.Module):
    """Two convolutions in four dimensions over cross-correlations, (Q, S, h, w, H, W) -> the same.

    Neither image comes first: the result is the sum over both orders.

    >>> import torch
    >>> from triptych.methods.renet import Matcher
    >>> Matcher()(torch.randn(2, 3, 4, 4, 5, 5)).shape
    torch.Size([2, 3, 4, 4, 5, 5])
    """

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(_Separable4d(1, _PLANES), nn.ReLU(), _Separable4d(_PLANES, 1))

    def forward(self, correlation: Float[Tensor, "Q S h w H W"]) -> Float[Tensor, "Q S h w H W"]:
        pairs = correlation.flatten(0, 1)[:, None]  # (Q*S, 1, h, w, H, W)
        cleaned = self.layers(pairs) + self.layers(pairs.permute(0, 1, 4, 5, 2, 3)).permute(0, 1, 4, 5, 2, 3)
        return cleaned[:, 0].unflatten(0, correlation.shape[:2])


class _Separable4d(nn.Module):
    """A convolution of 3x3x3x3 as one of 3x3 over the first map and one of 3x3 over the second, then of 1x1."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(inputs, inputs, 3, padding=1, bias=False) for _ in range(2))
        self.first = nn.Sequential(first, nn.BatchNorm2d(inputs), nn.ReLU())
        self.second = nn.Sequential(second, nn.BatchNorm2d(inputs))
        self.mix = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, pairs: Float[Tensor, "B P h w H W"]) -> Float[Tensor, "B R h w H W"]:
        count, _, h, w, height, width = pairs.shape
        by_query = pairs.permute(0, 4, 5, 1, 2, 3).flatten(0, 2)  # (B*H*W, P, h, w)
        hidden = self.first(by_query).unflatten(0, (count, height, width))
        by_support = hidden.permute(0, 4, 5, 3, 1, 2).flatten(0, 2)  # (B*h*w, P, H, W)
        return self.mix(self.second(by_support)).unflatten(0, (count, h, w)).permute(0, 3, 1, 2, 4, 5)


def _shrinking() -> nn.Sequential:
    """A convolution of 3x3 that makes a window two smaller."""
    return nn.Sequential(nn.Conv2d(_HIDDEN, _HIDDEN, 3, bias=False), nn.BatchNorm2d(_HIDDEN), nn.ReLU())


def _centred(maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
    """Descriptors less the mean of their channels."""
    maps = maps.float()
    return maps - maps.mean(1, keepdim=True)
