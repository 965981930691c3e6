"""What the API takes and gives, as it stands in the OpenAPI document."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from triptych.recognizer import Answer
from triptych.serve.changes import Added
from triptych.serve.findings import Findings
from triptych.serve.index import LONGEST_NAME, Index
from triptych.serve.learnt import Learnt
from triptych.serve.shelf import Shelf
from triptych.system.wording import composed

__all__ = [
    "AddedPhotos",
    "Answered",
    "Answers",
    "ClassChange",
    "Damaged",
    "Move",
    "Name",
    "NewShelf",
    "ProblemDocument",
    "Refused",
    "Session",
    "ShelfChange",
    "ShelfForm",
    "ShelfLine",
    "ShelfList",
    "State",
]

_ID = "5cf0479a38131f0c5cf0479a38131f0c"


def _example(**values: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [values]})


def _request(**values: Any) -> ConfigDict:
    """Of a body that clients send: a key that is not known is an error, and no setting that stays as it was."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [values]})


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = _example(
        type="urn:triptych:missing", title="Not Found", status=404, detail="no class 'plum' on this shelf"
    )
    type: str = Field(description="Tells problems apart.")
    title: str
    status: int
    detail: str = Field(description="What was expected, what came, and how to mend it.")


Name = Annotated[str, AfterValidator(composed)]  # of a class or a shelf: accents in one form, as the page writes them


class Session(BaseModel):
    """The token of the service, for a browser that then keeps it as a cookie."""

    model_config = _request(token="0123456789abcdef")
    token: str = Field(max_length=1000)


class NewShelf(BaseModel):
    """A shelf to make."""

    model_config = _request(name="fruit", keep_photos=True)
    name: Name = Field(max_length=LONGEST_NAME)
    keep_photos: StrictBool = Field(True, description="Whether the photos' files stay beside what is learnt from them.")


class ShelfChange(BaseModel):
    """What shall change of a shelf."""

    model_config = _request(name="summer fruit")
    name: Name | None = Field(None, max_length=LONGEST_NAME)
    keep_photos: StrictBool | None = None


class ClassChange(BaseModel):
    """The name of a class."""

    model_config = _request(name="plum")
    name: Name = Field(max_length=LONGEST_NAME)


class Move(BaseModel):
    """Photos to put in another class."""

    model_config = _request(photos=[_ID], to="plum")
    photos: list[str] = Field(min_length=1, max_length=10_000)
    to: Name = Field(description="The class.")


class PhotoForm(BaseModel):
    """A photo on a shelf."""

    id: str = Field(description="The same for identical photos.")
    name: str = Field(description="What its file was called.")


class ClassForm(BaseModel):
    """A class on a shelf."""

    name: str
    photos: list[PhotoForm]


class ShelfForm(BaseModel):
    """What lies on a shelf."""

    model_config = _example(
        id="0f1e2d3c4b5a6978",
        name="fruit",
        keep_photos=True,
        revision=3,
        undoable=3,
        classes=[{"name": "plum", "photos": [{"id": _ID, "name": "1.jpg"}]}],
    )
    id: str
    name: str
    keep_photos: bool
    revision: int = Field(description="Grows with every change; the ETag.")
    undoable: int = Field(description="How many changes can be undone.")
    classes: list[ClassForm]

    @classmethod
    def of(cls, shelf: Shelf, index: Index) -> "ShelfForm":
        """A shelf in one of its states."""
        photos: dict[str, list[PhotoForm]] = {label: [] for label in index.classes}
        for photo, entry in index.photos.items():
            photos[entry.label].append(PhotoForm(id=photo, name=entry.name))
        return cls(
            id=shelf.id,
            name=index.name,
            keep_photos=index.keep_photos,
            revision=index.revision,
            undoable=shelf.undoable,
            classes=[ClassForm(name=label, photos=mine) for label, mine in photos.items()],
        )


class ShelfLine(BaseModel):
    """A shelf in the list."""

    id: str
    name: str
    classes: int
    photos: int
    revision: int


class Damaged(BaseModel):
    """A shelf that cannot be read."""

    id: str
    detail: str


class ShelfList(BaseModel):
    """All shelves."""

    shelves: list[ShelfLine]
    damaged: list[Damaged]


class Refused(BaseModel):
    """A photo that was not added."""

    name: str
    problem: ProblemDocument


class AddedPhotos(BaseModel):
    """What became of photos that were added."""

    model_config = _example(revision=4, added=[_ID], already=[], elsewhere={}, refused=[])
    revision: int = Field(description="The shelf's afterwards.")
    added: list[str] = Field(description="Ids of new photos. They are on the disk.")
    already: list[str] = Field(description="Ids of photos that were in this class.")
    elsewhere: dict[str, str] = Field(description="Id -> class, of photos that are in another class and stay there.")
    refused: list[Refused] = Field(description="Photos that cannot be read.")

    @classmethod
    def of(cls, added: Added, refused: list[Refused]) -> "AddedPhotos":
        """With those that were refused."""
        return cls(
            revision=added.index.revision,
            added=list(added.added),
            already=list(added.already),
            elsewhere=dict(added.elsewhere),
            refused=refused,
        )


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

    model_config = _example(
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
