"""What a recogniser's own photos, each left out and recognised by the others, say about its classes."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64

from triptych.recognizer import Recognizer

__all__ = ["Confusion", "Findings", "Suspect", "findings"]

_PAIRS, _SUSPECTS = 20, 50  # that are named


@dataclass(frozen=True)
class Confusion:
    """How many photos of one class were taken for another."""

    label: Any
    answer: Any
    count: int


@dataclass(frozen=True)
class Suspect:
    """A photo that the others do not take for what it is called.

    Attributes:
        photo: its id.
        label: its class.
        answer: what the others take it for.
        own: the probability of its own class.
        probability: of the answer.
    """

    photo: str
    label: Any
    answer: Any
    own: float
    probability: float


@dataclass(frozen=True)
class Findings:
    """How far a recogniser can be trusted, and where to look.

    Attributes:
        left_out: photos that were left out, each in turn.
        right: of them, those recognised.
        ece: by how much its probabilities are off on average, 0 to 1.
        confused: pairs of classes, the most often confused first.
        suspects: photos that may be in the wrong class, the clearest first.
    """

    left_out: int
    right: int
    ece: float
    confused: tuple[Confusion, ...]
    suspects: tuple[Suspect, ...]


@torch.no_grad()
def findings(recognizer: Recognizer) -> Findings | None:
    """What leave-one-out tells; None where no photo was left out.

    >>> import numpy as np
    >>> from triptych import Recognizer
    >>> from triptych.serve.findings import findings
    >>> photos = np.random.default_rng(0).integers(0, 256, (4, 84, 84, 3), dtype=np.uint8)
    >>> found = findings(Recognizer().fit(photos, ["a", "a", "b", "b"]))
    >>> found.left_out, found.right == 4 - len(found.suspects)
    (4, True)
    """
    known = recognizer.knowledge_
    left_out, calibration = known.learnt.left_out, known.learnt.calibration
    if calibration is None:
        return None
    logits = known.logits(left_out.levels) / calibration.left_out_temperature
    probabilities = logits.softmax(1).cpu().numpy()
    truth, answers = left_out.truth.cpu().numpy(), probabilities.argmax(1)
    return Findings(
        left_out=len(truth),
        right=int((truth == answers).sum()),
        ece=calibration.ece,
        confused=_confused(known.order, truth, answers),
        suspects=_suspects(known.order, left_out.photos, truth, probabilities),
    )


def _confused(
    labels: list[Any], truth: Int64[np.ndarray, " R"], answers: Int64[np.ndarray, " R"]
) -> tuple[Confusion, ...]:
    pairs = Counter(
        (own, answer) for own, answer in zip(truth.tolist(), answers.tolist(), strict=True) if own != answer
    )
    return tuple(Confusion(labels[own], labels[answer], count) for (own, answer), count in pairs.most_common(_PAIRS))


def _suspects(
    labels: list[Any], photos: tuple[str, ...], truth: Int64[np.ndarray, " R"], found: Float[np.ndarray, "R N"]
) -> tuple[Suspect, ...]:
    answers = found.argmax(1)
    own, best = (found[np.arange(len(truth)), column] for column in (truth, answers))
    wrong = np.flatnonzero(answers != truth)
    order = wrong[np.argsort(own[wrong] - best[wrong], kind="stable")][:_SUSPECTS]
    return tuple(
        Suspect(photos[n], labels[truth[n]], labels[answers[n]], float(own[n]), float(best[n])) for n in order.tolist()
    )
