"""Calibration on the user's own photos: each is taken out of its class in turn and recognised by what remains."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize, minimize_scalar
from torch import Tensor

from triptych.fusion import Fusion, LevelFusion, Levels
from triptych.methods import MML
from triptych.recognizer.leave_one_out import LeftOut, leave_one_out, most_left_out
from triptych.support.support import Support

__all__ = [
    "Calibration",
    "Learnt",
    "calibrate",
    "calibration_error",
    "fusion_of",
    "known_score",
    "learn_fusion",
    "refitted",
]

# A user has tens of photos, not thousands: the temperature is held near 1, where training has put it, by a
# log-normal prior as wide as a factor of two; so are the weights of the levels near those of training.
_PRIOR_WIDTH = float(np.log(2.0))
_RIVALS = 5
_SEARCHED = (-4.0, 4.0)  # of the temperature's logarithm, and around those of the weights


@dataclass(frozen=True)
class Calibration:
    """How far a recogniser's answers can be trusted, measured on its own photos, each left out in turn.

    Attributes:
        temperature: divides the logits (Guo et al., ICML 2017); above 1 where the method was too sure of itself.
        known: (R,) the sorted scores (``known_score``) of the photos left out, all of known classes.
        accuracy: share of them recognised.
        ece_before: expected calibration error without the temperature.
        ece: expected calibration error with it. The temperature was fitted on the same photos.

    >>> from triptych.recognizer.calibration import Calibration
    >>> calibration = Calibration(0.8, known=(1.0, 2.0, 3.0, 4.0), accuracy=1.0, ece_before=0.1, ece=0.0)
    >>> calibration.threshold(false_alarm=0.4)
    2.0
    """

    temperature: float
    known: tuple[float, ...]
    accuracy: float
    ece_before: float
    ece: float

    def threshold(self, false_alarm: float) -> float:
        """The score below which a photo is "none of these".

        About ``false_alarm`` of new photos of known classes fall below it, if they come from where the fitted
        photos came from (a conformal quantile: Vovk et al., Algorithmic Learning in a Random World, 2005). With
        R photos the least rate that can be kept is 1 / (R + 1).

        Raises:
            ValueError: a rate that is not between 0 and 1.
        """
        if not 0 < false_alarm < 1:
            raise ValueError(f"false_alarm must be between 0 and 1, got {false_alarm}")
        rank = max(1, int(false_alarm * (len(self.known) + 1)))
        return self.known[min(rank, len(self.known)) - 1]


@dataclass(frozen=True)
class Learnt:
    """What a recogniser learns from its own photos beside what they look like.

    Attributes:
        fusion: what weighs the levels; see ``learn_fusion``.
        calibration: how far the answers can be trusted; None if every class has a single photo.
        left_out: what both were learnt from.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> from triptych.recognizer.calibration import calibrate
    >>> photos = np.random.default_rng(0).integers(0, 256, (2, 84, 84, 3), dtype=np.uint8)
    >>> recognizer = Recognizer().fit(photos, ["a", "b"])
    >>> learnt = calibrate(recognizer.method_, list(recognizer.support_.values()))
    >>> learnt.fusion is recognizer.method_.fusion, learnt.calibration  # nothing could be left out
    (True, None)
    """

    fusion: Fusion
    calibration: Calibration | None
    left_out: LeftOut


@torch.no_grad()
def calibrate(method: MML, supports: Sequence[Support], before: LeftOut | None = None) -> Learnt:
    """What the photos of the classes teach, each left out in turn.

    Args:
        method: what compares.
        supports: the classes.
        before: what was left out before classes or photos came or went; see ``leave_one_out``.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
    >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
    >>> from triptych.recognizer.calibration import calibrate
    >>> learnt = calibrate(recognizer.method_, list(recognizer.support_.values()))
    >>> len(learnt.calibration.known), learnt.calibration.temperature > 0
    (4, True)
    """
    left_out = leave_one_out(method, supports, before)
    levels, truth = left_out.levels, left_out.truth
    fusion = _learn(method, supports, left_out)
    if not len(truth):
        return Learnt(fusion, None, left_out)
    logits = fusion(levels).double()
    temperature = _temperature(logits, truth)
    raw, tempered = (_probabilities(logits / divisor) for divisor in (1.0, temperature))
    calibration = Calibration(
        temperature=temperature,
        known=tuple(sorted(known_score(logits).tolist())),
        accuracy=float((logits.argmax(1) == truth).double().mean()),
        ece_before=calibration_error(raw, truth.cpu().numpy()),
        ece=calibration_error(tempered, truth.cpu().numpy()),
    )
    return Learnt(fusion, calibration, left_out)


@torch.no_grad()
def fusion_of(method: MML, supports: Sequence[Support]) -> Fusion:
    """The fusion of ``calibrate`` alone; for a published one no photo is left out.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> photos = np.random.default_rng(0).integers(0, 256, (6, 84, 84, 3), dtype=np.uint8)
    >>> recognizer = Recognizer().fit(photos[:4], ["a", "a", "b", "b"])
    >>> from triptych.recognizer.calibration import fusion_of
    >>> fusion_of(recognizer.method_, list(recognizer.support_.values())).trained
    True
    """
    if method.fusion.way is not None:
        return method.fusion
    return _learn(method, supports, leave_one_out(method, supports))


def _learn(method: MML, supports: Sequence[Support], left_out: LeftOut) -> Fusion:
    if not method.fusion.trained and not len(left_out.truth):
        return _fusion_of_strangers(method, supports)
    return refitted(method.fusion, left_out.levels, left_out.truth)


@torch.no_grad()
def refitted(fusion: Fusion, levels: Levels, truth: Int64[Tensor, " R"]) -> Fusion:
    """``learn_fusion`` around a fusion, which stays as it is where it was published, or no photo is left out.

    >>> import torch
    >>> from triptych.recognizer.calibration import refitted
    >>> from triptych.fusion import SlotFusion
    >>> published = SlotFusion(["pixel"], way=2)
    >>> refitted(published, {"pixel": torch.eye(2)}, torch.arange(2)) is published
    True
    """
    return learn_fusion(levels, truth, fusion) if isinstance(fusion, LevelFusion) and len(truth) else fusion


@torch.no_grad()
def learn_fusion(levels: Levels, truth: Int64[Tensor, " R"], around: LevelFusion | None = None) -> LevelFusion:
    r"""How much each level counts, from the similarities of photos left out.

    The weights :math:`w` are the most probable under a log-normal prior around those of training, v:

    .. math:: \arg\min_w \; -\sum_r \log \mathrm{softmax}\Big(\sum_l w_l \, z_l(r, \cdot)\Big)_{t_r}
        + \sum_l \frac{(\log w_l - \log v_l)^2}{2 (\log 2)^2}

    so that a few photos hardly move them, with the levels' own logits z of ``LevelFusion``.

    Args:
        levels: level -> (R, N) similarities.
        truth: (R,) the class of each photo.
        around: the fusion that training has found; None, or one that was never trained, for equal weights and the
            spread of these similarities.

    >>> import torch
    >>> from triptych.recognizer.calibration import learn_fusion
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
        loss = torch.nn.functional.cross_entropy(logits, truth, reduction="sum")
        return float(loss) + float((((log_weights - start) / _PRIOR_WIDTH) ** 2).sum()) / 2

    found = minimize(cost, start, method="L-BFGS-B", bounds=np.add.outer(start, _SEARCHED)).x
    fusion.log_weight.copy_(torch.from_numpy(found))
    return fusion


def _fusion_of_strangers(method: MML, supports: Sequence[Support]) -> LevelFusion:
    """Equal weights, and the spread of single photos' similarities to the classes that are not theirs.

    Of two classes only one is not a photo's own, which has no spread; then its own counts too.
    """
    asked = supports[: most_left_out(supports)]
    queries = torch.cat([support.maps[:1, 0] for support in asked]).float()  # (R, P, H, W)
    levels = method.compare(queries, [support.summary for support in supports])
    fusion = LevelFusion(method.config.levels).to(queries.device)
    if len(supports) > 2:
        others = ~torch.eye(len(asked), len(supports), dtype=torch.bool, device=queries.device)
        levels = {level: scores[others].view(len(asked), -1) for level, scores in levels.items()}
    fusion.observe(levels)
    return fusion


def known_score(logits: Float[Tensor, "Q N"]) -> Float[Tensor, " Q"]:
    """How far the best class stands out from those that come next, at most five: low for what is none of them.

    What is unknown resembles several classes about as much. Classes that it resembles in nothing say little, and
    what a photo scores with any class at all, such as a plain background, nothing.

    >>> import torch
    >>> from triptych.recognizer.calibration import known_score
    >>> known_score(torch.tensor([[9.0, 1.0, 2.0], [9.0, 8.0, 8.0]]))
    tensor([7.5000, 1.0000])
    """
    best = logits.topk(min(_RIVALS + 1, logits.shape[1]), dim=1).values
    return best[:, 0] - best[:, 1:].mean(1)


def calibration_error(probabilities: Float[np.ndarray, "B N"], truth: Int64[np.ndarray, " B"], bins: int = 15) -> float:
    r"""Expected calibration error: how far the stated probability of the answer is from how often it is right.

    .. math:: \mathrm{ECE} = \sum_b \frac{|B_b|}{B} \, |\mathrm{acc}(B_b) - \mathrm{conf}(B_b)|

    over ``bins`` equal intervals of the highest probability. Source: Guo et al., ICML 2017, equation 3.

    >>> import numpy as np
    >>> from triptych.recognizer.calibration import calibration_error
    >>> calibration_error(np.array([[0.9, 0.1], [0.8, 0.2]]), np.array([0, 1]), bins=1)
    0.35
    """
    confidence, right = probabilities.max(1), probabilities.argmax(1) == truth
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = [abs(np.mean(right[bin_of == b]) - np.mean(confidence[bin_of == b])) for b in np.unique(bin_of)]
    shares = [np.mean(bin_of == b) for b in np.unique(bin_of)]
    return round(float(np.dot(gaps, shares)), 12)


def _temperature(logits: Tensor, truth: Tensor) -> float:
    """The divisor of the logits with the highest posterior."""

    def cost(log_temperature: float) -> float:
        loss = torch.nn.functional.cross_entropy(logits / float(np.exp(log_temperature)), truth, reduction="sum")
        return float(loss) + (log_temperature / _PRIOR_WIDTH) ** 2 / 2

    return float(np.exp(minimize_scalar(cost, bounds=_SEARCHED, method="bounded").x))


def _probabilities(logits: Tensor) -> np.ndarray:
    return logits.softmax(1).cpu().numpy()
