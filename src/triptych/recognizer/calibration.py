"""Calibration on the user's own photos: each is taken out of its class in turn and recognised by what remains."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import minimize_scalar
from torch import Tensor

from triptych.fusion import Fusion, LevelFusion, refitted
from triptych.methods import Encoded, Method
from triptych.recognizer.leave_one_out import LeftOut, leave_one_out, most_left_out
from triptych.support import Support

__all__ = [
    "Calibration",
    "Learnt",
    "calibration_error",
    "fusion_from",
    "known_score",
    "learn",
    "untaught",
]

# A user has tens of photos, not thousands: the temperature is held near 1, where training has put it, by a
# log-normal prior as wide as a factor of two.
_PRIOR_WIDTH = float(np.log(2.0))
_RIVALS = 5
_SEARCHED = (-4.0, 4.0)  # of the temperature's logarithm


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
    """What a recogniser learns from its own photos, each left out in turn.

    Attributes:
        fusion: what weighs the levels; see ``learn_fusion``.
        calibration: how far the answers can be trusted; None if no photo was left out.
        left_out: the leave-one-out results that both were learnt from.
    """

    fusion: Fusion
    calibration: Calibration | None
    left_out: LeftOut


@torch.no_grad()
def learn(method: Method, supports: Sequence[Support], before: LeftOut | None = None) -> Learnt:
    """How much each level counts, and the calibration, from the photos of the classes, each left out in turn.

    Args:
        method: what compares.
        supports: the classes.
        before: leave-one-out results of the previous state; see ``leave_one_out``.
    """
    left_out = leave_one_out(method, supports, before)
    fusion = fusion_from(method, supports, left_out)
    if not len(left_out.truth):
        return Learnt(fusion, None, left_out)
    return Learnt(fusion, _calibrated(fusion(left_out.levels).double(), left_out.truth), left_out)


@torch.no_grad()
def untaught(method: Method, supports: Sequence[Support]) -> Learnt:
    """The same without leaving a photo out: the fusion of training, or equal weights if it was never trained."""
    nothing = leave_one_out(method, supports, most=0)
    return Learnt(fusion_from(method, supports, nothing), None, nothing)


def _calibrated(logits: Tensor, truth: Tensor) -> Calibration:
    temperature = _temperature(logits, truth)
    raw, tempered = (_probabilities(logits / divisor) for divisor in (1.0, temperature))
    return Calibration(
        temperature=temperature,
        known=tuple(sorted(known_score(logits).tolist())),
        accuracy=float((logits.argmax(1) == truth).double().mean()),
        ece_before=calibration_error(raw, truth.cpu().numpy()),
        ece=calibration_error(tempered, truth.cpu().numpy()),
    )


@torch.no_grad()
def fusion_from(
    method: Method, supports: Sequence[Support], left_out: LeftOut, names: Sequence[str] | None = None
) -> Fusion:
    """The fusion that ``learn`` finds from these leave-one-out results.

    Args:
        method: what compares.
        supports: the classes.
        left_out: of these classes, by this method.
        names: fuse these levels alone, to see what another is worth; of a ``LevelFusion`` only.
    """
    fusion, levels = method.fusion, left_out.levels
    if names is not None:
        assert isinstance(fusion, LevelFusion)
        fusion, levels = fusion.restricted(names), {name: levels[name] for name in names}
    if not fusion.trained and not len(left_out.truth):
        return _fusion_of_strangers(method, supports, fusion)
    return refitted(fusion, levels, left_out.truth, _trust(method, supports, left_out))


def _trust(method: Method, supports: Sequence[Support], left_out: LeftOut) -> Tensor | None:
    """(R,) how far photos left out stand for new ones, where classes depend on each other; else all alike.

    Each class lacks a photo when one is left out. With K photos a class, what the method learns from how they vary
    rests on K - 2 differences in place of K - 1 then: of two photos none is left, and nothing can be learnt from them.
    """
    if method.separable:
        return None
    shots = torch.tensor([len(support) for support in supports], device=left_out.truth.device)[left_out.truth]
    return (shots - 2).clamp_min(0) / shots


def _fusion_of_strangers(method: Method, supports: Sequence[Support], untrained: Fusion) -> LevelFusion:
    """The untrained fusion with the spread of single photos' similarities to the classes that are not theirs.

    Of two classes only one is not a photo's own, and one number has no spread; then its own class counts too.
    """
    asked = supports[: most_left_out(method, supports)]
    queries = Encoded.join([support.photo(0) for support in asked])
    levels = method.compare(queries, method.adapt([support.summary for support in supports]))
    assert isinstance(untrained, LevelFusion)
    fusion = deepcopy(untrained)
    if len(supports) > 2:
        others = ~torch.eye(len(asked), len(supports), dtype=torch.bool, device=queries.device)
        levels = {level: scores[others].view(len(asked), -1) for level, scores in levels.items()}
    fusion.observe(levels)
    return fusion


def known_score(logits: Float[Tensor, "Q N"]) -> Float[Tensor, " Q"]:
    """How far the best class stands out from those that come next, at most five: low for what is none of them.

    An unknown photo resembles several classes about equally, so its best class stands out little. Classes that it does
    not resemble at all are not counted, as they say little. What a photo scores with every class, for example for a
    plain background, cancels out.

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
