"""The engine that runs the recogniser as one model in ONNX Runtime."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float

from triptych.data import Photo
from triptych.engines.engine import Engine, PhotoSet, Question
from triptych.export import export
from triptych.recognizer import Answer, Asked, Recognizer, answers_by
from triptych.system.extras import extra

__all__ = ["OnnxRuntimeEngine"]

_TOGETHER = 4  # photos: more take more memory and no less time


class OnnxRuntimeEngine(Engine):
    """The recogniser as one graph in ONNX, which takes some seconds to make and then answers faster than PyTorch."""

    name: ClassVar[str] = "onnxruntime"
    exact: ClassVar[bool] = False

    def answers(self, recognizer: Recognizer, photos: PhotoSet, question: Question) -> Iterator[Answer]:
        with extra("onnx", "the engine onnxruntime needs ONNX Runtime"):
            import onnxruntime
        with tempfile.TemporaryDirectory() as place:
            model = Path(place) / "model.onnx"
            export(recognizer, model)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        asked = _asked_by(session)
        return answers_by(
            recognizer, asked, photos.sources(), question.unknown, question.false_alarm, question.coverage
        )


def _asked_by(session: Any) -> Asked:
    """What a model of ``triptych.export`` answers."""
    (image,) = (one.name for one in session.get_inputs())

    def asked(photos: Sequence[Photo], scored: bool) -> tuple[Float[np.ndarray, "Q N"], Float[np.ndarray, " Q"] | None]:
        names = ["probabilities", *(["known_score"] if scored else [])]
        pixels = [photo.pixels for photo in photos]
        found = [
            session.run(names, {image: np.stack(pixels[first : first + _TOGETHER])})
            for first in range(0, len(pixels), _TOGETHER)
        ]
        probabilities, *scores = (np.concatenate(one) for one in zip(*found, strict=True))
        return probabilities.astype(np.float64), scores[0] if scored else None

    return asked
