"""The API of shelves and classes."""

import secrets
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse

from triptych.serve.answer_forms import State
from triptych.serve.findings import findings
from triptych.serve.forms import (
    ClassChange,
    Damaged,
    Name,
    NewShelf,
    ShelfChange,
    ShelfForm,
    ShelfLine,
    ShelfList,
)
from triptych.serve.index import Index
from triptych.serve.problems import Problem
from triptych.serve.service import Service, etag, revision_of
from triptych.serve.shared_routes import BINARY, Given, IfMatch, changed, told, too_few
from triptych.serve.shelf import Shelf
from triptych.serve.uploads import body

__all__ = ["routes"]

routes = APIRouter(prefix="/v1/shelves", tags=["shelves"])


@routes.get("")
async def list_shelves(service: Given) -> ShelfList:
    """All shelves, by name."""
    shelves = await service.on_disk(lambda: list(service.shelves))
    damaged = [Damaged(id=id, detail=why) for id, why in service.shelves.damaged.items()]
    return ShelfList(shelves=[_line(shelf) for shelf in shelves], damaged=damaged)


@routes.post("", status_code=201)
async def create_shelf(service: Given, form: NewShelf, response: Response) -> ShelfForm:
    """Make a shelf without classes."""
    _check_room(service)
    shelf = await service.on_disk(lambda: service.shelves.create(form.name, form.keep_photos))
    response.headers["Location"] = f"/v1/shelves/{shelf.id}"
    return told(shelf, shelf.index, response)


@routes.post(
    "/load",
    status_code=201,
    openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": BINARY}}},
)
async def load_shelf(
    service: Given,
    request: Request,
    response: Response,
    name: Annotated[Name, Query(max_length=200, description="Of the new shelf.")] = "loaded",
) -> ShelfForm:
    """Make a shelf of an uploaded .triptych file. It holds numbers and text; nothing in it is run."""
    _check_room(service)
    service.check_disk()
    place = service.shelves.folder / f".new-{secrets.token_hex(8)}.triptych"
    try:
        await _received(request, service, place)
        shelf = await service.on_disk(lambda: _loaded(service, place, name))
    finally:
        place.unlink(missing_ok=True)
    response.headers["Location"] = f"/v1/shelves/{shelf.id}"
    return told(shelf, shelf.index, response)


@routes.get("/{id}")
async def get_shelf(
    service: Given, id: str, response: Response, if_none_match: Annotated[str | None, Header()] = None
) -> ShelfForm:
    """The classes of a shelf and their photos."""
    shelf = await service.shelf(id)
    index = shelf.index
    if if_none_match == etag(index):
        raise Problem(304, "same", "", {"ETag": etag(index)})
    return told(shelf, index, response)


@routes.patch("/{id}")
async def change_shelf(
    service: Given, id: str, form: ShelfChange, response: Response, if_match: IfMatch = None
) -> ShelfForm:
    """Give a shelf another name, or keep its photos from now on, or no longer."""

    def edit(index: Index) -> Index:
        return index.with_settings(form.name, form.keep_photos)

    return await changed(service, id, edit, if_match, response)


@routes.delete("/{id}", status_code=204)
async def delete_shelf(service: Given, id: str, if_match: IfMatch = None) -> None:
    """Delete a shelf with all that is on it, for good."""
    seen, shelf = revision_of(if_match), await service.shelf(id)
    await service.on_disk(lambda: service.shelves.delete(shelf.id, seen))


@routes.post("/{id}/undo")
async def undo(service: Given, id: str, response: Response, if_match: IfMatch = None) -> ShelfForm:
    """Take back the last change."""
    seen, shelf = revision_of(if_match), await service.shelf(id)
    if not shelf.undoable:
        raise Problem(409, "nothing-to-undo", "there is nothing to undo")
    return told(shelf, await service.on_disk(lambda: shelf.undo(seen)), response)


@routes.get("/{id}/state")
async def state(
    service: Given,
    id: str,
    revision: Annotated[int | None, Query(ge=0, description="Wait until this state is learnt.")] = None,
    settled: Annotated[bool, Query(description="Wait until it is calibrated and saved, too.")] = False,
    seconds: Annotated[float, Query(ge=0, le=60, description="Wait no longer.")] = 10,
) -> State:
    """What is learnt of a shelf: accuracy with each photo left out, confused classes, photos to look at."""
    shelf = await service.shelf(id)
    if settled and revision is None:
        revision = shelf.index.revision
    learnt = await service.learnt(shelf, revision, settled, seconds)
    found = await service.on_disk(lambda: None if learnt.recognizer is None else findings(learnt.recognizer))
    return State.of(shelf, learnt, found, service.shelves.trouble(id))


@routes.get("/{id}/file", response_class=FileResponse)
async def get_file(service: Given, id: str) -> FileResponse:
    """The shelf as a .triptych file, for ``triptych predict`` and for other services."""
    shelf = await service.shelf(id)
    learnt = await service.learnt(shelf, shelf.index.revision, True, service.settings.answer_seconds)
    if learnt.recognizer is None:
        raise too_few()
    if not shelf.settled and (why := service.shelves.trouble(id)):
        raise Problem(409, "not-learnt", f"the shelf could not be learnt or saved: {why}; change it, and try again")
    if not shelf.settled:
        raise Problem(503, "busy", "the shelf is still being learnt; try again", {"Retry-After": "5"})
    name = f"{shelf.index.name}.triptych"
    shelf.folder.recognizer_file.stat()  # else it is missed only when the answer has begun
    return FileResponse(shelf.folder.recognizer_file, media_type="application/octet-stream", filename=name)


@routes.post("/{id}/classes", status_code=201)
async def create_class(
    service: Given, id: str, form: ClassChange, response: Response, if_match: IfMatch = None
) -> ShelfForm:
    """Make a class without photos."""

    def edit(index: Index) -> Index:
        return service.bounded(index.with_class(form.name))

    return await changed(service, id, edit, if_match, response)


@routes.patch("/{id}/classes/{name:path}")
async def rename_class(
    service: Given, id: str, name: Name, form: ClassChange, response: Response, if_match: IfMatch = None
) -> ShelfForm:
    """Give a class another name."""
    return await changed(service, id, lambda index: index.with_class_renamed(name, form.name), if_match, response)


@routes.delete("/{id}/classes/{name:path}")
async def delete_class(service: Given, id: str, name: Name, response: Response, if_match: IfMatch = None) -> ShelfForm:
    """Remove a class with its photos."""
    return await changed(service, id, lambda index: index.without_class(name), if_match, response)


async def _received(request: Request, service: Service, place: Path) -> None:
    with place.open("xb") as file:
        async for chunk in body(request, service.settings, service.settings.file_megabytes * 1e6, "a file"):
            await service.on_disk(lambda chunk=chunk: file.write(chunk))  # type: ignore[misc]


def _loaded(service: Service, place: Path, name: str) -> Shelf:
    try:
        return service.shelves.load(place, name)
    except ValueError as error:
        raise Problem(422, "unreadable-file", str(error).replace(str(place), "the file")) from error


def _line(shelf: Shelf) -> ShelfLine:
    index = shelf.index
    return ShelfLine(
        id=shelf.id,
        name=index.name,
        classes=len(index.classes),
        photos=len(index.photos),
        revision=index.revision,
    )


def _check_room(service: Service) -> None:
    most = service.settings.shelves
    if len(service.shelves) >= most:
        raise Problem(409, "full", f"there are {most} shelves, as many as may be; delete one first")
