"""The engine that runs the recogniser as one model in ONNX Runtime."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from triptych.data import Photo
from triptych.engines.engine import Engine, PhotoSet, Question
from triptych.export import export
from triptych.recognizer import Answer, Knowledge, Recognizer, Scored, Scorer, answers_by
from triptych.system.extras import extra

__all__ = ["OnnxRuntimeEngine"]

_TOGETHER = 4  # photos: more take more memory and no less time


class OnnxRuntimeEngine(Engine):
    """The recogniser as one graph in ONNX, which takes some seconds to make and then answers faster than PyTorch."""

    name: ClassVar[str] = "onnxruntime"
    exact: ClassVar[bool] = False

    def check(self, recognizer: Recognizer, question: Question) -> None:
        super().check(recognizer, question)
        _library()
        _ = recognizer.knowledge_

    def answers(self, recognizer: Recognizer, photos: PhotoSet, question: Question) -> Iterator[Answer]:
        onnxruntime = _library()
        with tempfile.TemporaryDirectory() as place:
            model = Path(place) / "model.onnx"
            export(recognizer, model)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = torch.get_num_threads()
            session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        scorer = _scorer_of(session, recognizer.knowledge_)
        return answers_by(
            recognizer, scorer, photos.sources(), question.unknown, question.false_alarm, question.coverage
        )


def _library() -> Any:
    with extra("onnx", "the engine onnxruntime needs ONNX Runtime"):
        import onnxruntime
    return onnxruntime


def _scorer_of(session: Any, known: Knowledge) -> Scorer:
    """What a model of ``triptych.export`` answers."""
    (image,) = (one.name for one in session.get_inputs())

    def scorer(photos: Sequence[Photo], asks_how_known: bool) -> Iterator[Scored]:
        names = ["probabilities", *(["known_score"] if asks_how_known else [])]
        for first in range(0, len(photos), _TOGETHER):
            some = photos[first : first + _TOGETHER]
            probabilities, *scores = session.run(names, {image: np.stack([photo.pixels for photo in some])})
            yield Scored(known, some, probabilities.astype(np.float64), scores[0] if scores else None)

    return scorer
