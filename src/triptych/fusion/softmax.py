"""A fusion of fixed weights: the weighted sum of the probabilities that the levels give."""

from collections.abc import Mapping

from torch import Tensor

from triptych.fusion.base import Fusion, Levels

__all__ = ["SoftmaxFusion"]


class SoftmaxFusion(Fusion):
    r"""The weighted sum of each level's softmax over the classes.

    .. math:: \mathrm{score}(q, n) = \sum_l w_l \, \mathrm{softmax}_n\big(s_l(q, \cdot)\big)

    Source: Chen, Li, Li and Chen (the later MML), arXiv 2103.11383v4, where the weights are those of the losses. Taken
    as logits, the scores rank the classes as in the paper, with flat probabilities.

    Args:
        weights: level -> its weight.

    >>> import torch
    >>> from triptych.fusion import SoftmaxFusion
    >>> SoftmaxFusion({"part": 1.0, "pixel": 0.5})({"part": torch.zeros(1, 2), "pixel": torch.tensor([[0.0, 99.0]])})
    tensor([[0.5000, 1.0000]])
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    @property
    def trained(self) -> bool:
        return True

    def contributions(self, levels: Levels) -> dict[str, Tensor]:
        return {name: weight * levels[name].softmax(1) for name, weight in self.weights.items()}
