"""LaplacianShot: all queries of a task are answered together, and neighbours are encouraged to agree.

Ziko, Dolz, Granger and Ben Ayed, "Laplacian Regularized Few-Shot Learning", ICML 2020
(https://arxiv.org/abs/2006.15486). The nearest class mean of SimpleShot says what each query is, once the queries
have corrected the means. A term that is low where neighbouring queries are of the same class then corrects the answers.
Nothing is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Summary
from triptych.methods.encoded import Encoded
from triptych.methods.simpleshot import SimpleShot, SimpleShotConfig
from triptych.similarity import laplacian_assignments, minus_squared_distances, nearest_neighbours, rectified
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
        rectify: whether the queries, where there are several, correct the class means; see ``rectified``. With one
            photo a class it is most of what the method gains.

    >>> from triptych.methods import LaplacianShotConfig
    >>> LaplacianShotConfig(neighbours=0)
    Traceback (most recent call last):
    ValueError: neighbours must be a whole number from 1 to 1000, got 0
    """

    weight: float = 0.3
    neighbours: int = 2
    steps: int = 20
    rectify: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(weight=number(0), neighbours=whole(1, _MOST_STEPS), steps=whole(1, _MOST_STEPS))


class LaplacianShot(SimpleShot):
    r"""Assignments of all queries together, from SimpleShot's similarities s to rectified class means.

    .. math:: \mathrm{logit}(q, n) = s(q, n) + \lambda \sum_{p \in \mathrm{kNN}(q)} y_{pn}, \qquad
        s(q, n) = -\|\tilde x_q - \tilde m_n\|_2^2

    with the vectors :math:`\tilde x` (C,) and means :math:`\tilde m` (C,) of ``rectified``, the assignments y (Q, N)
    that ``laplacian_assignments`` finds, and the neighbours by the same vectors. It is transductive: the answer to a
    query depends on the queries that are asked with it, of which about as many should be of each class.

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

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"global": self.vectors(encoded)}  # (K, C)

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        vectors, photos = self.vectors(query), [summary["global"] for summary in classes]
        if self.config.rectify and len(vectors) > 1:
            vectors, means = rectified(vectors, photos)
        else:
            means = torch.stack([one.mean(0) for one in photos])
        near = nearest_neighbours(vectors, self.config.neighbours)
        similarities = minus_squared_distances(vectors, means)
        return {"global": laplacian_assignments(similarities, near, self.config.weight, self.config.steps)}
