"""What every fusion promises: the scores of the levels -> one score per class."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Fusion", "Levels"]

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
        statistics = self.statistics(levels)
        if statistics is not None:
            self.follow(statistics)

    def statistics(self, levels: Levels) -> Tensor | None:
        """What ``observe`` takes of one episode, which another process may have seen; None for nothing."""
        return None

    def follow(self, statistics: Tensor) -> None:
        """Let what is kept follow the ``statistics`` of one episode."""

    def calibrated(self, levels: Levels) -> dict[str, Tensor]:
        """Logits (Q, N) of each level by itself; empty if the fusion has none but their sum."""
        return {}

    def forward(self, levels: Levels) -> Float[Tensor, "Q N"]:
        return torch.stack(list(self.contributions(levels).values())).sum(0)
