"""Fusion: the scores of the levels -> one score per class."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Fusion", "LevelFusion", "Levels", "SlotFusion"]

Levels = Mapping[str, Tensor]  # level name -> similarities (Q, N)


class Fusion(nn.Module, ABC):
    """Turns the similarities of the levels into logits that are a sum of one contribution per level.

    >>> import torch
    >>> from triptych.fusion import LevelFusion
    >>> levels = {"pixel": torch.tensor([[2.0, 0.0]]), "part": torch.tensor([[0.0, 1.0]])}
    >>> fusion = LevelFusion(["pixel", "part"])
    >>> bool((fusion(levels) == sum(fusion.contributions(levels).values())).all())
    True
    """

    way: int | None = None  # the only number of classes it takes; None for any

    @abstractmethod
    def contributions(self, levels: Levels) -> dict[str, Tensor]:
        """What each level adds to the logits, (Q, N) each."""

    @property
    @abstractmethod
    def trained(self) -> bool:
        """Whether it has learned anything; if not, its scores are not yet comparable between levels."""

    def observe(self, levels: Levels) -> None:
        """Learn statistics from one training episode, where a fusion keeps them outside its forward pass."""

    def calibrated(self, levels: Levels) -> dict[str, Tensor]:
        """Logits (Q, N) of those levels that have logits of their own; none where the fusion has only its sum."""
        return {}

    def forward(self, levels: Levels) -> Float[Tensor, "Q N"]:
        return torch.stack(list(self.contributions(levels).values())).sum(0)


class LevelFusion(Fusion):
    r"""Way- and shot-agnostic fusion: one statistic, one temperature and one weight per level.

    .. math:: z_l(q, n) = \tau_l \, s_l(q, n) / \sigma_l, \qquad \mathrm{logit}(q, n) = \sum_l w_l \, z_l(q, n)

    :math:`\sigma_l` is a running estimate of how far a query's similarities spread around their mean over the
    classes; :math:`\tau_l > 0` and :math:`w_l > 0` are learned. A mean is not subtracted: it would be the same
    for all classes, which softmax does not see. The logits equal, up to a constant per query, the weighted sum of the
    levels' log-probabilities :math:`\log\mathrm{softmax}(z_l)`, so that each level can be trained and calibrated
    by a cross-entropy of its own on :math:`z_l` beside the one on the logits.

    In place of the MML release's BatchNorm1d(3N) and dilated convolution (arXiv 2103.11383v1, section 3.3),
    whose parameters belong to class slots.

    Args:
        levels: the names of the levels, in order.
        momentum: weight of one episode in the running spread.

    >>> import torch
    >>> from triptych.fusion import LevelFusion
    >>> levels = {"pixel": torch.tensor([[9.0, 1.0, 5.0]]), "part": torch.tensor([[2.0, 2.0, 5.0]])}
    >>> LevelFusion(["pixel", "part"])(levels).detach()  # untrained: the mean of the levels
    tensor([[5.5000, 1.5000, 5.0000]])
    """

    spread: Tensor
    observed: Tensor

    def __init__(self, levels: Sequence[str], momentum: float = 0.02) -> None:
        super().__init__()
        self.names = tuple(levels)
        self.momentum = momentum
        self.register_buffer("spread", torch.ones(len(levels)))
        self.register_buffer("observed", torch.zeros((), dtype=torch.int64))
        self.log_temperature = nn.Parameter(torch.zeros(len(levels)))
        self.log_weight = nn.Parameter(torch.full((len(levels),), 1.0 / len(levels)).log())

    @property
    def trained(self) -> bool:
        return bool(self.observed > 0)

    @torch.no_grad()
    def observe(self, levels: Levels) -> None:
        """Let the running spread follow one episode's similarities; a single class has no spread."""
        if next(iter(levels.values())).shape[1] < 2:
            return
        spread = torch.stack([levels[name].std(dim=1, correction=0).mean() for name in self.names])
        momentum = self.momentum if self.observed else 1.0
        self.spread.lerp_(spread.clamp_min(torch.finfo(spread.dtype).tiny).to(self.spread), momentum)
        self.observed += 1

    def calibrated(self, levels: Levels) -> dict[str, Tensor]:
        """Each level's own logits z_l, (Q, N)."""
        scale = self.log_temperature.exp() / self.spread
        return {name: levels[name] * scale[i] for i, name in enumerate(self.names)}

    def logit_scale(self, name: str) -> float:
        """How much one unit of a level's similarity adds to the logits."""
        i = self.names.index(name)
        return ((self.log_weight[i] + self.log_temperature[i]).exp() / self.spread[i]).item()

    def contributions(self, levels: Levels) -> dict[str, Tensor]:
        weights = self.log_weight.exp()
        return {name: weights[i] * z for i, (name, z) in enumerate(self.calibrated(levels).items())}


class SlotFusion(Fusion):
    r"""The published fusion, statistics per class slot and all: it fuses and is trained at one way only.

    .. math:: \mathrm{logit}(q, n) = \sum_l w_l \left(\gamma_{l,n} \frac{s_l(q, n) - m_{l,n}}{\sqrt{v_{l,n} + \epsilon}}
        + \beta_{l,n}\right)

    BatchNorm1d(LN) over the concatenated levels, then Conv1d(1, 1, L, dilation N). Source: the MML release
    (arXiv 2103.11383v1, section 3.3) and ADM.

    Args:
        levels: the names of the levels in the order of the release.
        way: N, the number of class slots.

    >>> import torch
    >>> from triptych.fusion import SlotFusion
    >>> fusion = SlotFusion(["pixel"], way=2).eval()
    >>> fusion({"pixel": torch.tensor([[2.0, 1.0, 3.0]])})
    Traceback (most recent call last):
    ValueError: these published weights fuse exactly 2 classes (their statistics belong to class slots), got 3; ...
    """

    way: int

    def __init__(self, levels: Sequence[str], way: int) -> None:
        super().__init__()
        self.names = tuple(levels)
        self.way = way
        self.norm = nn.BatchNorm1d(len(levels) * way)
        self.weight = nn.Parameter(torch.ones(len(levels)))

    @property
    def trained(self) -> bool:
        return True

    def contributions(self, levels: Levels) -> dict[str, Tensor]:
        joined = torch.cat([levels[name] for name in self.names], dim=1)  # (Q, L*N)
        if joined.shape[1] != len(self.names) * self.way:
            raise ValueError(
                f"these published weights fuse exactly {self.way} classes (their statistics belong to class "
                f"slots), got {joined.shape[1] // len(self.names)}; use a {self.way}-way episode or weights "
                "trained with triptych, which take any number of classes"
            )
        slots = self.norm(joined).split(self.way, dim=1)
        return {name: weight * part for name, weight, part in zip(self.names, self.weight, slots, strict=True)}
