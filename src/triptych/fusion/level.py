"""The way- and shot-agnostic fusion: one statistic, one temperature and one weight per level."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from triptych.fusion.base import Fusion, Levels

__all__ = ["LevelFusion"]


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
    def statistics(self, levels: Levels) -> Tensor | None:
        """(L,) the spread of one episode's similarities, by level; a single class has none."""
        if next(iter(levels.values())).shape[1] < 2:
            return None
        spread = torch.stack([levels[name].std(dim=1, correction=0).mean() for name in self.names])
        return spread.clamp_min(torch.finfo(spread.dtype).tiny).to(self.spread)

    @torch.no_grad()
    def follow(self, statistics: Tensor) -> None:
        """Let the running spread follow that of one episode."""
        self.spread.lerp_(statistics, self.momentum if self.observed else 1.0)
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

    @torch.no_grad()
    def extended(self, name: str, logit_scale: float) -> "LevelFusion":
        """This fusion and one more level, one unit of whose similarity adds ``logit_scale`` to the logits.

        >>> from triptych.fusion import LevelFusion
        >>> round(LevelFusion(["pixel"]).extended("plda", 0.2).logit_scale("plda"), 3)
        0.2
        """
        fusion = self._filled((*self.names, name))
        fusion.log_weight[-1] = math.log(logit_scale)
        return fusion

    @torch.no_grad()
    def restricted(self, names: Sequence[str]) -> "LevelFusion":
        """The fusion of some of the levels, each weighed as before."""
        return self._filled(names)

    def _filled(self, names: Sequence[str]) -> "LevelFusion":
        fusion = LevelFusion(names, self.momentum).to(self.spread.device)
        fusion.observed.copy_(self.observed)
        for new, name in enumerate(names):
            if name in self.names:
                old = self.names.index(name)
                for mine, theirs in zip(fusion._by_level(), self._by_level(), strict=True):
                    mine[new] = theirs[old]
        return fusion.train(self.training)

    def _by_level(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.spread, self.log_temperature, self.log_weight
