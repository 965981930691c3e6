"""Calibration on the user's own photos: each is taken out of its class in turn and recognised by what remains."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from math import floor

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from triptych.fusion import Fusion, LevelFusion, refitted
from triptych.methods import Encoded, Method
from triptych.recognizer.leaving_out import LeftOut, leave_one_out, most_left_out
from triptych.recognizer.temperature import calibration_error, fitted_temperature, new_photos_temperature
from triptych.recognizer.unknowns import known_features, known_score, learn_known_weights
from triptych.support import Support, restored
from triptych.system.settings import number

__all__ = [
    "Calibration",
    "Learnt",
    "calibrated",
    "fusion_from",
    "learn",
    "learn_from",
    "refuse_not_finite",
    "uncalibrated",
]

_ROUNDING = 1e-9  # 100 * 0.29 is a little below 29


@dataclass(frozen=True)
class Calibration:
    """How far a recogniser's answers can be trusted, measured on its own photos, each left out in turn.

    Attributes:
        temperature: divides the logits of new photos (Guo et al., ICML 2017); above 1 where the method was too sure of
            itself.
        left_out_temperature: divides those of the photos left out, which had fewer photos to be compared with.
        known: (R,) the sorted scores (``known_score``) of the photos left out, all of known classes.
        known_weights: of ``known_features``.
        accuracy: share of them recognised.
        ece_before: expected calibration error without a temperature.
        ece: expected calibration error with it. The temperature was fitted on the same photos.

    >>> from triptych.recognizer.calibration import Calibration
    >>> scores = (1.0, 2.0, 3.0, 4.0)
    >>> Calibration(0.7, 0.8, scores, (1.0,), accuracy=1.0, ece_before=0.1, ece=0.0).threshold(false_alarm=0.4)
    2.0
    """

    temperature: float
    left_out_temperature: float
    known: tuple[float, ...]
    known_weights: tuple[float, ...]
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
        if not number(0, 1).holds(false_alarm) or false_alarm in (0, 1):
            raise ValueError(f"false_alarm must be between 0 and 1, got {false_alarm!r:.80}")
        rank = max(1, floor(false_alarm * (len(self.known) + 1) + _ROUNDING))
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
    _check_fusion(method, len(supports))
    left_out = leave_one_out(method, supports, before)
    for scores in left_out.levels.values():
        refuse_not_finite(scores)
    if not len(left_out.truth):
        return Learnt(fusion_from(method, supports, left_out), None, left_out)
    return learn_from(method, left_out)


@torch.no_grad()
def learn_from(method: Method, left_out: LeftOut) -> Learnt:
    """What ``learn`` finds, from leave-one-out results of one photo at least."""
    single = float(np.mean([len(ids) == 1 for ids in left_out.classes]))
    fusion, calibration = calibrated(method, left_out.levels, left_out.truth, _shots(left_out), single)
    return Learnt(fusion, calibration, left_out)


@torch.no_grad()
def calibrated(
    method: Method,
    levels: dict[str, Tensor],
    truth: Int64[Tensor, " R"],
    shots: Int64[Tensor, " R"] | None = None,
    single: float = 0.0,
) -> tuple[Fusion, Calibration]:
    """The fusion and the calibration that photos left out tell.

    Args:
        method: what compares.
        levels: level -> (R, N) similarities.
        truth: (R,) which column is of the photo's own class.
        shots: (R,) how many photos that class has, where what is learnt of all classes lacks the photos too; None where
            it was learnt from other classes.
        single: the share of classes of one photo.
    """
    trust = None if shots is None else _trust(method, shots)
    fusion = refitted(method.fusion, levels, truth, trust)
    calibration = _calibration(method, fusion, levels, truth, trust)
    temperature = new_photos_temperature(method, calibration.left_out_temperature, shots, single)
    return fusion, replace(calibration, temperature=temperature)


def _check_fusion(method: Method, way: int) -> None:
    """Refuse, before any photo is compared, a fusion whose scores of plain numbers are not finite."""
    plain = torch.eye(way, device=next(method.parameters()).device)
    refuse_not_finite(method.fuse(dict.fromkeys(method.level_names, plain)))


def refuse_not_finite(scores: Tensor) -> None:
    """Raise a ValueError where scores are not finite."""
    if not scores.isfinite().all():
        raise ValueError("the method's weights give scores that are not finite numbers; expected another method")


@torch.no_grad()
def uncalibrated(method: Method, supports: Sequence[Support]) -> Learnt:
    """What is known without leaving a photo out: the fusion of training, or equal weights if it was never trained."""
    _check_fusion(method, len(supports))
    first = method.compare(restored(method, supports[0], 0), method.adapt([support.summary for support in supports]))
    for scores in (*first.values(), method.fuse(first)):  # else only an answer would tell
        refuse_not_finite(scores)
    nothing = leave_one_out(method, supports, most=0)
    return Learnt(fusion_from(method, supports, nothing), None, nothing)


def _calibration(
    method: Method,
    fusion: Fusion,
    levels: dict[str, Tensor],
    truth: Int64[Tensor, " R"],
    trust: Tensor | None,
) -> Calibration:
    contributions = fusion.contributions(levels)
    logits = fusion(levels).double()
    refuse_not_finite(logits)  # where a level tells nothing apart, its spread is none
    temperature = fitted_temperature(logits, truth)
    raw, tempered = (_probabilities(logits / divisor) for divisor in (1.0, temperature))
    absolute = method.absolute_levels
    weights = learn_known_weights(contributions, truth, absolute, trust)
    scores = known_score(known_features(contributions, absolute).cpu(), weights)
    return Calibration(
        temperature=temperature,
        left_out_temperature=temperature,
        known=tuple(sorted(scores.tolist())),
        known_weights=tuple(weights.tolist()),
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
        return _fusion_without_left_out(method, supports, fusion)
    return refitted(fusion, levels, left_out.truth, _trust(method, _shots(left_out)))


def _trust(method: Method, shots: Int64[Tensor, " R"]) -> Tensor | None:
    """(R,) how far photos left out stand for new ones, where classes depend on each other; else all alike.

    Each class lacks a photo when one is left out. With K photos a class, what the method learns from how they vary
    rests on K - 2 differences in place of K - 1 then: of two photos none is left, and nothing can be learnt from them.
    """
    if method.separable:
        return None
    return (shots - 2).clamp_min(0) / shots


def _shots(left_out: LeftOut) -> Int64[Tensor, " R"]:
    """How many photos the class of each photo left out has."""
    return torch.tensor([len(ids) for ids in left_out.classes], device=left_out.truth.device)[left_out.truth]


def _fusion_without_left_out(method: Method, supports: Sequence[Support], untrained: Fusion) -> LevelFusion:
    """The untrained fusion with the spread of single photos' similarities to the classes that are not theirs.

    Of two classes only one is not a photo's own, and one number has no spread; then its own class counts too.
    """
    asked = supports[: most_left_out(method, supports)]
    queries = Encoded.join([restored(method, support, 0) for support in asked])
    levels = method.compare(queries, method.adapt([support.summary for support in supports]))
    assert isinstance(untrained, LevelFusion)
    fusion = deepcopy(untrained)
    if len(supports) > 2:
        others = ~torch.eye(len(asked), len(supports), dtype=torch.bool, device=queries.device)
        levels = {level: scores[others].view(len(asked), -1) for level, scores in levels.items()}
    fusion.observe(levels)
    return fusion


def _probabilities(logits: Tensor) -> np.ndarray:
    return logits.softmax(1).cpu().numpy()
