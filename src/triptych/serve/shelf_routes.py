"""The API of shelves, classes and photos."""

import secrets
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import FileResponse

from triptych.data import ImageError
from triptych.serve.findings import findings
from triptych.serve.forms import (
    AddedPhotos,
    ClassChange,
    Damaged,
    Move,
    NewShelf,
    ProblemDocument,
    Refused,
    ShelfChange,
    ShelfForm,
    ShelfLine,
    ShelfList,
    State,
)
from triptych.serve.index import Index, Missing
from triptych.serve.problems import Problem, problem_of
from triptych.serve.service import Service, etag, revision_of
from triptych.serve.shelf import Shelf, Staged
from triptych.serve.uploads import body, photos

__all__ = ["PHOTOS", "shelf_routes"]

IfMatch = Annotated[str | None, Header(description="The ETag that was seen; another editor's change is not lost then.")]
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_JSON = {
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
_FORM = {
    "type": "object",
    "required": ["photos"],
    "properties": {"photos": {"type": "array", "items": {"type": "string", "format": "binary"}}},
}
PHOTOS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {"schema": _FORM},
            "application/json": {"schema": _JSON},
            "image/*": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}


def shelf_routes(service: Service) -> APIRouter:
    """Routes that make, change and show shelves."""
    routes = APIRouter(prefix="/v1/shelves", tags=["shelves"])

    @routes.get("")
    async def list_shelves() -> ShelfList:
        """All shelves, by name."""
        shelves = await service.on_disk(lambda: list(service.shelves))
        damaged = [Damaged(id=id, detail=why) for id, why in service.shelves.damaged.items()]
        return ShelfList(shelves=[_line(shelf) for shelf in shelves], damaged=damaged)

    @routes.post("", status_code=201)
    async def create_shelf(form: NewShelf, response: Response) -> ShelfForm:
        """Make a shelf without classes."""
        _check_room(service)
        shelf = await service.on_disk(lambda: service.shelves.create(form.name, form.keep_photos))
        response.headers["Location"] = f"/v1/shelves/{shelf.id}"
        return _told(shelf, shelf.index, response)

    @routes.post(
        "/load",
        status_code=201,
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": _BINARY}}},
    )
    async def load_shelf(
        request: Request,
        response: Response,
        name: Annotated[str, Query(max_length=200, description="Of the new shelf.")] = "loaded",
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
        return _told(shelf, shelf.index, response)

    @routes.get("/{id}")
    async def get_shelf(
        id: str, response: Response, if_none_match: Annotated[str | None, Header()] = None
    ) -> ShelfForm:
        """The classes of a shelf and their photos."""
        shelf = await service.shelf(id)
        index = shelf.index
        if if_none_match == etag(index):
            raise Problem(304, "same", "", {"ETag": etag(index)})
        return _told(shelf, index, response)

    @routes.patch("/{id}")
    async def change_shelf(id: str, form: ShelfChange, response: Response, if_match: IfMatch = None) -> ShelfForm:
        """Give a shelf another name, or keep its photos from now on, or no longer."""

        def edit(index: Index) -> Index:
            return index.with_settings(form.name, form.keep_photos)

        return await _changed(service, id, edit, if_match, response)

    @routes.delete("/{id}", status_code=204)
    async def delete_shelf(id: str, if_match: IfMatch = None) -> None:
        """Delete a shelf with all that is on it, for good."""
        seen, shelf = revision_of(if_match), await service.shelf(id)
        await service.on_disk(lambda: service.shelves.delete(shelf.id, seen))

    @routes.post("/{id}/undo")
    async def undo(id: str, response: Response, if_match: IfMatch = None) -> ShelfForm:
        """Take back the last change."""
        seen, shelf = revision_of(if_match), await service.shelf(id)
        if not shelf.undoable:
            raise Problem(409, "nothing-to-undo", "there is nothing to undo")
        return _told(shelf, await service.on_disk(lambda: shelf.undo(seen)), response)

    @routes.get("/{id}/state")
    async def state(
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
    async def get_file(id: str) -> FileResponse:
        """The shelf as a .triptych file, for ``triptych predict`` and for other services."""
        shelf = await service.shelf(id)
        learnt = await service.learnt(shelf, shelf.index.revision, True, service.settings.answer_seconds)
        if learnt.recognizer is None:
            raise _too_few()
        if not shelf.settled:
            raise Problem(503, "busy", "the shelf is still being learnt; try again", {"Retry-After": "5"})
        name = f"{shelf.index.name}.triptych"
        return FileResponse(shelf.folder.recognizer_file, media_type="application/octet-stream", filename=name)

    _class_routes(routes, service)
    _photo_routes(routes, service)
    return routes


def _class_routes(routes: APIRouter, service: Service) -> None:
    @routes.post("/{id}/classes", status_code=201)
    async def create_class(id: str, form: ClassChange, response: Response, if_match: IfMatch = None) -> ShelfForm:
        """Make a class without photos."""

        def edit(index: Index) -> Index:
            return service.bounded(index.with_class(form.name))

        return await _changed(service, id, edit, if_match, response)

    @routes.patch("/{id}/classes/{name:path}")
    async def rename_class(
        id: str, name: str, form: ClassChange, response: Response, if_match: IfMatch = None
    ) -> ShelfForm:
        """Give a class another name."""
        return await _changed(service, id, lambda index: index.with_class_renamed(name, form.name), if_match, response)

    @routes.delete("/{id}/classes/{name:path}")
    async def delete_class(id: str, name: str, response: Response, if_match: IfMatch = None) -> ShelfForm:
        """Remove a class with its photos."""
        return await _changed(service, id, lambda index: index.without_class(name), if_match, response)


def _photo_routes(routes: APIRouter, service: Service) -> None:
    @routes.post("/{id}/classes/{name:path}/photos", openapi_extra=PHOTOS)
    async def add_photos(
        id: str,
        name: str,
        request: Request,
        response: Response,
        if_match: IfMatch = None,
        file: Annotated[str, Query(max_length=1000, description="Of a single photo: what its file is called.")] = "",
    ) -> AddedPhotos:
        """Add photos to a class. When the answer comes they are on the disk; learning follows."""
        seen, shelf = revision_of(if_match), await service.shelf(id)
        shelf.index.check_class(name)
        service.check_disk()
        staged: list[Staged] = []
        try:
            refused = await _staged(request, service, shelf, staged)
            if not staged:
                problem = refused[0].problem
                raise Problem(problem.status, problem.type.rpartition(":")[2], problem.detail)
            _check_photos(service, shelf, len(staged))
            added = await service.on_disk(lambda: shelf.add(name, staged, seen))
        finally:
            await service.on_disk(lambda: shelf.discard(staged))
        response.headers["ETag"] = etag(added.index)
        return AddedPhotos.of(added, refused)

    @routes.post("/{id}/move")
    async def move_photos(id: str, form: Move, response: Response, if_match: IfMatch = None) -> ShelfForm:
        """Put photos in another class."""
        return await _changed(service, id, lambda index: index.with_moved(form.photos, form.to), if_match, response)

    @routes.delete("/{id}/photos/{photo}")
    async def delete_photo(id: str, photo: str, response: Response, if_match: IfMatch = None) -> ShelfForm:
        """Remove a photo."""
        return await _changed(service, id, lambda index: index.without_photos([photo]), if_match, response)

    @routes.get("/{id}/photos/{photo}/thumbnail", response_class=Response)
    async def thumbnail(id: str, photo: str) -> Response:
        """A photo as a small JPEG, once it is learnt."""
        shelf = await service.shelf(id)
        label, learnt = shelf.index.photo(photo).label, await service.learnt(shelf, None)
        kept = learnt.support.get(label)
        if kept is None or photo not in kept.ids or not (small := kept.thumbnails[kept.ids.index(photo)]):
            raise Missing(f"photo {photo} has no thumbnail yet")
        return Response(small, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


async def _staged(request: Request, service: Service, shelf: Shelf, staged: list[Staged]) -> list[Refused]:
    """Bring the photos of a request to the disk as they come; those that cannot be read are returned."""
    refused: list[Refused] = []
    with service.room.holding() as held:
        async for photo in photos(request, service.settings, held, service.settings.photos):
            try:
                staged.append(await service.on_disk(lambda photo=photo: shelf.stage(photo)))  # type: ignore[misc]
            except ImageError as error:
                document = ProblemDocument(**problem_of(error).content())
                refused.append(Refused(name=photo.name, problem=document))
            held.take(-len(photo.data))
    return refused


async def _received(request: Request, service: Service, place: Path) -> None:
    with place.open("xb") as file:
        async for chunk in body(request, service.settings, service.settings.file_megabytes * 1e6, "a file"):
            await service.on_disk(lambda chunk=chunk: file.write(chunk))  # type: ignore[misc]


def _loaded(service: Service, place: Path, name: str) -> Shelf:
    try:
        return service.shelves.load(place, name)
    except ValueError as error:
        told = str(error).replace(str(place), "the file")
        raise Problem(422, "unreadable-file", told) from error


async def _changed(service: Service, id: str, edit: Any, if_match: str | None, response: Response) -> ShelfForm:
    seen, shelf = revision_of(if_match), await service.shelf(id)
    return _told(shelf, await service.on_disk(lambda: shelf.change(edit, seen)), response)


def _told(shelf: Shelf, index: Index, response: Response) -> ShelfForm:
    response.headers["ETag"] = etag(index)
    return ShelfForm.of(shelf, index)


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


def _check_photos(service: Service, shelf: Shelf, fresh: int) -> None:
    most = service.settings.shelf_photos
    if len(shelf.index.photos) + fresh > most:
        raise Problem(409, "shelf-full", f"a shelf holds at most {most} photos")


def _too_few() -> Problem:
    return Problem(409, "too-few-classes", "expected photos in at least two classes; recognition is a choice")
