"""The published fusion, whose statistics belong to class slots."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from triptych.fusion.base import Fusion, Levels

__all__ = ["SlotFusion"]


class SlotFusion(Fusion):
    r"""The published fusion, with statistics per class slot: it is trained and used at one way only.

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
