"""No fusion at all: the scores of the levels are logits already."""

from torch import Tensor

from triptych.fusion.base import Fusion, Levels

__all__ = ["SumFusion"]


class SumFusion(Fusion):
    """The sum of the levels, for methods whose levels are logits: most have a single one.

    >>> import torch
    >>> from triptych.fusion import SumFusion
    >>> SumFusion()({"relation": torch.tensor([[2.0, 1.0]])})
    tensor([[2., 1.]])
    """

    @property
    def trained(self) -> bool:
        return True

    def contributions(self, levels: Levels) -> dict[str, Tensor]:
        return dict(levels)
