"""What the API takes, and gives of shelves, as it stands in the OpenAPI document; answers: ``answer_forms``."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool

from triptych.serve.changes import Added
from triptych.serve.index import LONGEST_NAME, Index
from triptych.serve.shelf import Shelf
from triptych.system.wording import composed

__all__ = [
    "AddedPhotos",
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
    "example",
]

_ID = "5cf0479a38131f0c5cf0479a38131f0c"


def example(**values: Any) -> ConfigDict:
    """Of what the service gives: an example for the document."""
    return ConfigDict(json_schema_extra={"examples": [values]})


def _request(**values: Any) -> ConfigDict:
    """Of a body that clients send: a key that is not known is an error, and no setting that stays as it was."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [values]})


class ProblemDocument(BaseModel):
    """An error (RFC 9457)."""

    model_config = example(
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

    model_config = example(
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

    model_config = example(revision=4, added=[_ID], already=[], elsewhere={}, refused=[])
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
