"""What several routes take, check and tell."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response

from triptych.serve.forms import ShelfForm
from triptych.serve.index import Index
from triptych.serve.problems import Problem
from triptych.serve.service import Service, etag, revision_of
from triptych.serve.shelf import Shelf

__all__ = ["BINARY", "PHOTOS", "Given", "IfMatch", "changed", "known_parameters", "told", "too_few"]

BINARY = {"schema": {"type": "string", "format": "binary"}}
_PHOTO_LIST = {
    "type": "object",
    "required": ["photos"],
    "properties": {
        "photos": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["data"],
                "properties": {
                    "name": {"type": "string"},
                    "data": {"type": "string", "contentEncoding": "base64"},
                },
            },
        }
    },
}
_PHOTO_FORM = {
    "type": "object",
    "required": ["photos"],
    "properties": {"photos": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}
PHOTOS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _PHOTO_FORM},
            "application/json": {"schema": _PHOTO_LIST},
            "image/*": BINARY,
            "application/octet-stream": BINARY,
        },
    }
}


async def _service_of(request: Request) -> Service:
    return request.app.state.service


Given = Annotated[Service, Depends(_service_of)]
IfMatch = Annotated[str | None, Header(description="The ETag that was seen; another editor's change is not lost then.")]


async def known_parameters(request: Request) -> None:
    """Refuse a parameter that a route does not have: with a typing mistake it would do nothing, unseen.

    Raises:
        Problem: there is one.
    """
    known = [one.alias for one in request.scope["route"].dependant.query_params]
    unknown = sorted(set(request.query_params) - set(known))
    if unknown:
        expected = f"expected {', '.join(known)}" if known else "this request takes none"
        raise Problem(422, "unknown-parameter", f"no parameter {unknown[0]!r:.80}; {expected}")


async def changed(
    service: Service, id: str, edit: Callable[[Index], Index], if_match: str | None, response: Response
) -> ShelfForm:
    """Change what lies on a shelf, and tell it."""
    seen, shelf = revision_of(if_match), await service.shelf(id)
    return told(shelf, await service.on_disk(lambda: shelf.change(edit, seen)), response)


def told(shelf: Shelf, index: Index, response: Response) -> ShelfForm:
    """A state of a shelf, with its ETag."""
    response.headers["ETag"] = etag(index)
    return ShelfForm.of(shelf, index)


def too_few() -> Problem:
    """What a shelf without a choice answers."""
    return Problem(409, "too-few-classes", "expected photos in at least two classes; recognition is a choice")
