"""What a model says of itself, so that who runs it needs nothing else."""

import json

from triptych import __version__
from triptych.recognizer import Recognizer, plain_label

__all__ = ["FALSE_ALARMS", "description"]

FALSE_ALARMS = (0.01, 0.02, 0.05, 0.1, 0.2)


def description(recognizer: Recognizer, precision: str) -> dict[str, str]:
    """Texts by name; but for those that are words, in JSON.

    - ``classes``: in the order of the probabilities.
    - ``levels``: in the order of the contributions.
    - ``preprocessing``: side, fit and interpolation of the photos that the model takes.
    - ``unknown``: share of false alarms -> the ``known_score`` below which a photo is of none of the classes. Without
      photos left out it is empty, and in precision int8, whose scores are not those that it was learnt from.
    - ``temperature``: what the logits were divided by.
    - ``method``, ``precision``, ``fingerprint``, ``triptych``: where the model comes from.

    Raises:
        ValueError: a label is no string, number or boolean.
    """
    known = recognizer.knowledge_
    prepared = known.method.preprocess
    tells_unknowns = known.learnt.calibration is not None and precision != "int8"
    told = {
        "classes": [plain_label(label) for label in known.order],
        "levels": list(known.method.level_names),
        "preprocessing": {"side": prepared.side, "fit": prepared.fit, "interpolation": prepared.interpolation},
        "unknown": {str(share): known.threshold(share) for share in FALSE_ALARMS} if tells_unknowns else {},
        "temperature": known.temperature,
    }
    words = {
        "method": known.method.name,
        "precision": precision,
        "fingerprint": recognizer.fingerprint(),
        "triptych": __version__,
    }
    return {name: json.dumps(value, ensure_ascii=False) for name, value in told.items()} | words
