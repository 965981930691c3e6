"""A fitted recogniser as one graph, for any number of photos at once."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from triptych.recognizer import Knowledge

__all__ = ["INPUT", "Answers", "output_names", "recorded", "refused", "without_remarks"]

INPUT = "images"
_MOST = 1 << 16  # photos at once
_TRANSLATING = re.compile(r"translating node .*?target=torch\.ops\.aten\._?(\w+)", re.DOTALL)


class Answers(nn.Module):
    """What a recogniser answers, as a function of pixels alone: all that it has learnt is constant.

    Args:
        known: the state of a fitted recogniser.
    """

    def __init__(self, known: Knowledge) -> None:
        super().__init__()
        self.known = known
        self.method, self.fusion = known.method, known.fusion
        self.temperature = known.temperature

    def forward(self, images: UInt8[Tensor, "B side side 3"]) -> tuple[Tensor, ...]:
        """Probabilities (B, N); what each level adds to the logits (B, L, N); and how known the photos are (B,)."""
        known = self.known
        encoded = self.method.encode(self.method.preprocess.normalise(images))
        levels = self.method.compare(encoded, known.classes)
        contributions = self.fusion.contributions(levels)
        logits = torch.stack(list(contributions.values())).sum(0).double()
        told = [(logits / self.temperature).softmax(1), torch.stack(list(contributions.values()), 1)]
        if known.learnt.calibration is not None:
            told.append(known.known_score(levels))
        return tuple(one.float() for one in told)


def output_names(known: Knowledge) -> list[str]:
    """Of ``Answers``, in their order."""
    return ["probabilities", "contributions", *([] if known.learnt.calibration is None else ["known_score"])]


@torch.no_grad()
def recorded(known: Knowledge) -> ExportedProgram:
    """The graph of ``Answers``.

    Raises:
        ValueError: the method takes photos of several shapes, or its computation cannot be recorded.
    """
    preprocessing = known.method.preprocess
    if preprocessing.fit == "keep":
        raise ValueError(
            f"method {known.method.name!r} keeps the shape of photos; export is for methods that take photos of one "
            "size (fit squash or crop)"
        )
    graph, side = Answers(known).eval(), preprocessing.side
    example = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8))
    graph(example)  # what is derived of the classes is made outside the graph
    batch = {0: Dim("batch", min=1, max=_MOST)}
    try:
        with without_remarks():
            return torch.export.export(graph, (example,), dynamic_shapes=(batch,), strict=False)
    except Exception as error:  # whatever a computation does that no graph can hold
        raise refused(known, error) from error


def refused(known: Knowledge, error: Exception) -> ValueError:
    """Why a method cannot be exported, in one sentence."""
    reason = _reason(str(error.__cause__ or error))
    return ValueError(
        f"method {known.method.name!r} cannot be exported ({reason}); expected one such as mml-efficientnet-lite0 or "
        "mml-conv64f"
    )


def _reason(message: str) -> str:
    """What PyTorch says of it at length, in a few words."""
    if lacking := _TRANSLATING.search(message):
        return f"ONNX lacks its operation {lacking[1]}"
    if "Constraints violated" in message or "specialized" in message:
        return "its computation depends on how many photos come together"
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return f"{lines[0]:.200}" if lines else "PyTorch cannot record it"


@contextmanager
def without_remarks() -> Iterator[None]:
    """Without what libraries say of themselves while they translate."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
