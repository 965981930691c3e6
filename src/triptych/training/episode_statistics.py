"""Statistics that follow episodes one after the other, kept as if one process had seen those of all processes.

BatchNorm's running statistics and the spread of the levels depend on the order of episodes. Each process has one
episode at a time; when all are done, each applies the statistics of all, in the order of the episodes' numbers.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from triptych.fusion import Fusion, Levels
from triptych.training.ranks import Ranks, gather
from triptych.training.streams import Stream, stream

__all__ = ["EpisodeStatistics"]


class EpisodeStatistics:
    """Seeds the dropout of each episode and, with several processes, keeps statistics in the order of the episodes.

    Args:
        ranks: this process among the others.
        seed: of the run.
        fusion: whose statistics are kept.
        modules: whose BatchNorm is; the same ones on all processes.
    """

    def __init__(self, ranks: Ranks, seed: int, fusion: Fusion, modules: Sequence[nn.Module]) -> None:
        self._ranks, self._seed, self._fusion = ranks, seed, fusion
        self._norms = [
            norm
            for module in modules
            for norm in module.modules()
            if isinstance(norm, _BatchNorm) and norm.track_running_stats
        ]
        if ranks.count > 1 and any(norm.momentum is None for norm in self._norms):
            raise ValueError("a BatchNorm without a momentum follows all episodes alike; train with one process")
        self._later: list[Tensor] = []
        self._before = (torch.empty(0), torch.empty(0))

    def begin(self, number: int) -> None:
        """Seed dropout by the episode's number: a resumed run draws what a whole one does."""
        torch.manual_seed(int(stream(self._seed, Stream.DROPOUT, number).integers(2**63)))
        if self._ranks.count > 1 and self._norms:
            self._before = self._state()

    def observe(self, levels: Levels) -> None:
        """``Fusion.observe`` of the episodes up to this one; those of later processes follow in ``end``."""
        statistics = self._fusion.statistics(levels)
        if statistics is None:
            return
        told = gather(statistics) if self._ranks.count > 1 else statistics[None]
        for one in told[: self._ranks.number + 1]:
            self._fusion.follow(one)
        self._later = list(told[self._ranks.number + 1 :])

    @torch.no_grad()
    def end(self) -> None:
        """The gradient of the episode is there: apply what the other processes have seen."""
        if self._ranks.count == 1:
            return
        for one in self._later:
            self._fusion.follow(one)
        self._later = []
        if self._norms:
            self._follow_norms()

    def _follow_norms(self) -> None:
        r"""r <- (1 - m)^n r + d for each process, with d = r_after - (1 - m)^n r_before after its n updates."""
        before, batches = self._before
        after, seen = self._state()
        told = gather(torch.cat([after, (seen - batches).to(after)]))  # (R, values + norms)
        updates = told[:, after.numel() :]  # (R, norms)
        sizes = torch.tensor([2 * norm.num_features for norm in self._norms], device=after.device)
        momenta = torch.tensor([norm.momentum for norm in self._norms], dtype=after.dtype, device=after.device)
        kept = (1 - momenta) ** updates
        kept = kept.repeat_interleave(sizes, dim=1)  # (R, values)
        values = before
        for mine, share in zip(told[:, : after.numel()], kept, strict=True):
            values = share * values + (mine - share * before)
        self._restore(values, batches + updates.sum(0).long())

    def _state(self) -> tuple[Tensor, Tensor]:
        """Means and variances of all norms, one after the other, in float64, and how many batches each has seen."""
        values = [value for norm in self._norms for value in _running(norm)[:2]]
        return torch.cat(values).double(), torch.stack([_running(norm)[2] for norm in self._norms]).clone()

    def _restore(self, values: Tensor, batches: Tensor) -> None:
        parts = values.split([norm.num_features for norm in self._norms for _ in range(2)])
        for i, norm in enumerate(self._norms):
            mean, variance, seen = _running(norm)
            mean.copy_(parts[2 * i])
            variance.copy_(parts[2 * i + 1])
            seen.copy_(batches[i])


def _running(norm: _BatchNorm) -> tuple[Tensor, Tensor, Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    return norm.running_mean, norm.running_var, norm.num_batches_tracked
