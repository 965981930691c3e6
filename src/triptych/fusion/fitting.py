"""Fitting: how much each level counts, from the similarities of images whose class is known."""

from copy import deepcopy

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize
from torch import Tensor

from triptych.fusion.base import Fusion, Levels
from triptych.fusion.level import LevelFusion

__all__ = ["learn_fusion", "refitted"]

# A user has tens of photos, not thousands: the weights are held near those of training by a log-normal prior as wide as
# a factor of two.
_PRIOR_WIDTH = float(np.log(2.0))
_SEARCHED = (-4.0, 4.0)  # around the logarithms of the weights


@torch.no_grad()
def refitted(
    fusion: Fusion, levels: Levels, truth: Int64[Tensor, " R"], trust: Float[Tensor, " R"] | None = None
) -> Fusion:
    """``learn_fusion`` around a ``LevelFusion``; unchanged if it is another fusion or no photo is left out.

    >>> import torch
    >>> from triptych.fusion import SlotFusion, refitted
    >>> published = SlotFusion(["pixel"], way=2)
    >>> refitted(published, {"pixel": torch.eye(2)}, torch.arange(2)) is published
    True
    """
    return learn_fusion(levels, truth, fusion, trust) if isinstance(fusion, LevelFusion) and len(truth) else fusion


@torch.no_grad()
def learn_fusion(
    levels: Levels,
    truth: Int64[Tensor, " R"],
    around: LevelFusion | None = None,
    trust: Float[Tensor, " R"] | None = None,
) -> LevelFusion:
    r"""How much each level counts, from the similarities of photos left out.

    The weights :math:`w` are the most probable under a log-normal prior around those of training, v:

    .. math:: \arg\min_w \; -\sum_r c_r \log \mathrm{softmax}\Big(\sum_l w_l \, z_l(r, \cdot)\Big)_{t_r}
        + \sum_l \frac{(\log w_l - \log v_l)^2}{2 (\log 2)^2}

    so that a few photos hardly move them, with the levels' own logits z of ``LevelFusion``.

    Args:
        levels: level -> (R, N) similarities.
        truth: (R,) the class of each photo.
        around: the fusion that training has found; None, or one that was never trained, for equal weights and the
            spread of these similarities.
        trust: (R,) c, how much each photo counts; by default one.

    >>> import torch
    >>> from triptych.fusion import learn_fusion
    >>> truth = torch.arange(100) % 2
    >>> telling = torch.nn.functional.one_hot(truth).float()
    >>> silent = torch.tensor([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]]).repeat(25, 1)
    >>> weights = learn_fusion({"telling": telling, "silent": silent}, truth).log_weight.exp()
    >>> bool(weights[0] > 5 * weights[1])
    True
    """
    fusion = LevelFusion(tuple(levels)).to(truth.device) if around is None else deepcopy(around)
    if not fusion.trained:
        fusion.observe(levels)
    start = fusion.log_weight.double().cpu().numpy()
    scaled = torch.stack([one.double() for one in fusion.calibrated(levels).values()])  # (L, R, N)

    def cost(log_weights: np.ndarray) -> float:
        logits = torch.einsum("l,lrn->rn", torch.from_numpy(np.exp(log_weights)).to(scaled), scaled)
        loss = torch.nn.functional.cross_entropy(logits, truth, reduction="none")
        likely = loss.sum() if trust is None else loss @ trust.to(loss)
        return float(likely) + float((((log_weights - start) / _PRIOR_WIDTH) ** 2).sum()) / 2

    found = minimize(cost, start, method="L-BFGS-B", bounds=np.add.outer(start, _SEARCHED)).x
    fusion.log_weight.copy_(torch.tensor(found))
    return fusion
