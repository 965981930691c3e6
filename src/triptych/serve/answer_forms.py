"""What the API gives of answers and of what is learnt, as it stands in the OpenAPI document."""

from typing import Any

from pydantic import BaseModel, Field

from triptych.recognizer import Answer
from triptych.serve.findings import Findings
from triptych.serve.forms import example
from triptych.serve.learnt import Learnt
from triptych.serve.shelf import Shelf

__all__ = ["Answered", "Answers", "State"]


class AnswerSet(BaseModel):
    """The classes among which the true one is as often as ``coverage`` says."""

    labels: list[str] = Field(description="The most probable first.")
    coverage: float


class Answered(BaseModel):
    """What a photo is recognised as."""

    image: str = Field(description="What the photo was called.")
    label: str | None = Field(description="The most probable class; null if the photo cannot be read.")
    probability: float | None = Field(description="Of that class.")
    none_of_these: bool | None = Field(
        description="Whether it stands out too little to be of any class; null while that cannot be told."
    )
    probabilities: dict[str, float] = Field(description="Of each class.")
    set: AnswerSet | None = Field(description="Null where too few photos were left out to tell.")
    in_support: bool = Field(description="It is one of the photos that were learnt from: its answer proves nothing.")
    error: str | None = Field(description="Why it cannot be read.")

    @classmethod
    def of(cls, answer: Answer, labels: list[str], nothing: str | None, coverage: float | None) -> "Answered":
        """An answer.

        Args:
            answer: the recogniser's.
            labels: its classes, as text.
            nothing: what it calls a photo of none of its classes, if it does.
            coverage: of its sets, if it gives any.
        """
        if answer.error is not None:
            nobody: dict[str, float] = {}
            return cls(
                image=answer.image, label=None, probability=None, none_of_these=None, probabilities=nobody,
                set=None, in_support=False, error=answer.error,
            )  # fmt: skip
        return cls(
            image=answer.image,
            label=labels[int(answer.probabilities.argmax())],
            probability=answer.probability,
            none_of_these=None if nothing is None else answer.label == nothing,
            probabilities=dict(zip(labels, answer.probabilities.tolist(), strict=True)),
            set=_set_of(answer, coverage),
            in_support=answer.in_support,
            error=None,
        )


def _set_of(answer: Answer, coverage: float | None) -> AnswerSet | None:
    if answer.prediction_set is None or coverage is None:
        return None
    return AnswerSet(labels=[str(label) for label in answer.prediction_set], coverage=coverage)


class Answers(BaseModel):
    """Answers to photos, in their order."""

    model_config = example(
        revision=12,
        calibrated=True,
        answers=[
            {
                "image": "new.jpg",
                "label": "plum",
                "probability": 0.93,
                "none_of_these": False,
                "probabilities": {"plum": 0.93, "fig": 0.07},
                "set": {"labels": ["plum"], "coverage": 0.9},
                "in_support": False,
                "error": None,
            }
        ],
    )
    revision: int = Field(description="The state of the shelf that they are of.")
    calibrated: bool = Field(description="Whether the probabilities are calibrated on the shelf's own photos yet.")
    answers: list[Answered]


class State(BaseModel):
    """What is learnt of a shelf."""

    revision: int = Field(description="The state that is learnt; -1 for none yet.")
    ready: bool = Field(description="The present state is learnt, and photos can be recognised.")
    calibrated: bool
    settled: bool = Field(description="All is learnt, calibrated and saved.")
    trouble: str | None
    lost: list[str] = Field(description="Ids of photos whose files are gone or damaged.")
    left_out: int = Field(description="Photos that were left out and recognised by the others.")
    right: int
    ece: float | None = Field(description="By how much probabilities are off on average, 0 to 1.")
    confused: list[dict[str, Any]] = Field(description="label, answer, count; the most often confused first.")
    suspects: list[dict[str, Any]] = Field(description="photo, label, answer, own, probability; the clearest first.")

    @classmethod
    def of(cls, shelf: Shelf, learnt: Learnt, found: Findings | None, trouble: str | None) -> "State":
        """What is learnt, with what leave-one-out found."""
        current = learnt.revision == shelf.index.revision
        return cls(
            revision=learnt.revision,
            ready=current and learnt.recognizer is not None,
            calibrated=learnt.calibrated,
            settled=shelf.settled,
            trouble=trouble,
            lost=list(learnt.lost),
            left_out=0 if found is None else found.left_out,
            right=0 if found is None else found.right,
            ece=None if found is None else found.ece,
            confused=[] if found is None else [vars(one) for one in found.confused],
            suspects=[] if found is None else [vars(one) for one in found.suspects],
        )
