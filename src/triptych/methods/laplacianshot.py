"""LaplacianShot: all queries of a task are answered together, and neighbours are encouraged to agree.

Ziko, Dolz, Granger and Ben Ayed, "Laplacian Regularized Few-Shot Learning", ICML 2020
(https://arxiv.org/abs/2006.15486). The nearest class mean of SimpleShot says what each query is. A term that is low
where neighbouring queries are of the same class corrects it, without any training.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Summary
from triptych.methods.encoded import Encoded
from triptych.methods.simpleshot import SimpleShot, SimpleShotConfig
from triptych.similarity import laplacian_assignments, nearest_neighbours
from triptych.system.settings import number, whole

__all__ = ["LaplacianShot", "LaplacianShotConfig"]

_MOST_STEPS = 1000


@dataclass(frozen=True)
class LaplacianShotConfig(SimpleShotConfig):
    """Settings of LaplacianShot.

    Attributes:
        weight: how much the neighbours count, the paper's lambda. The authors choose it on the validation split, for
            each network and number of photos; 0.3 does well there for Conv-64F.
        neighbours: of each query, itself not counted; the authors' code counts it, and has 3.
        steps: updates of the assignments.

    >>> from triptych.methods import LaplacianShotConfig
    >>> LaplacianShotConfig(neighbours=0)
    Traceback (most recent call last):
    ValueError: neighbours must be a whole number from 1 to 1000, got 0
    """

    weight: float = 0.3
    neighbours: int = 2
    steps: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(weight=number(0), neighbours=whole(1, _MOST_STEPS), steps=whole(1, _MOST_STEPS))


class LaplacianShot(SimpleShot):
    r"""Assignments of all queries together, from SimpleShot's similarities s.

    .. math:: \mathrm{logit}(q, n) = s(q, n) + \lambda \sum_{p \in \mathrm{kNN}(q)} y_{pn}

    with the assignments y (Q, N) that ``laplacian_assignments`` finds, and the neighbours by the same vectors.
    The paper's rectification of the class means is left out. It is transductive: the answer to a query depends on the
    queries that are asked with it.

    >>> import torch
    >>> from triptych.methods import LaplacianShot, LaplacianShotConfig
    >>> method = LaplacianShot(LaplacianShotConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "laplacianshot"
    config_type = LaplacianShotConfig
    separable = False
    transductive = True
    config: LaplacianShotConfig

    def __init__(self, config: LaplacianShotConfig = LaplacianShotConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)
        self.fusion = SumFusion()

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        near = nearest_neighbours(self.vectors(query), self.config.neighbours)
        similarities = super().compare(query, classes)["global"]
        return {"global": laplacian_assignments(similarities, near, self.config.weight, self.config.steps)}
