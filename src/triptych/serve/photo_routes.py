"""The API of the photos on a shelf."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from triptych.data import ImageError, NamedBytes
from triptych.serve.changes import Staged
from triptych.serve.forms import AddedPhotos, Move, Name, ProblemDocument, Refused, ShelfForm
from triptych.serve.index import Missing
from triptych.serve.pictures import WHOLE, jpeg
from triptych.serve.problems import Problem, problem_of
from triptych.serve.service import Service, etag, revision_of
from triptych.serve.shared_routes import PHOTOS, Given, IfMatch, changed
from triptych.serve.shelf import Shelf
from triptych.serve.uploads import photos

__all__ = ["routes"]

_KEPT = {"Cache-Control": "private, max-age=86400"}  # an id is always the same photo
routes = APIRouter(prefix="/v1/shelves", tags=["shelves"])


@routes.post("/{id}/classes/{name:path}/photos", openapi_extra=PHOTOS)
async def add_photos(
    service: Given,
    id: str,
    name: Name,
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
async def move_photos(service: Given, id: str, form: Move, response: Response, if_match: IfMatch = None) -> ShelfForm:
    """Put photos in another class."""
    return await changed(service, id, lambda index: index.with_moved(form.photos, form.to), if_match, response)


@routes.delete("/{id}/photos/{photo}")
async def delete_photo(service: Given, id: str, photo: str, response: Response, if_match: IfMatch = None) -> ShelfForm:
    """Remove a photo."""
    return await changed(service, id, lambda index: index.without_photos([photo]), if_match, response)


@routes.get("/{id}/photos/{photo}", response_class=Response)
async def kept_photo(service: Given, id: str, photo: str) -> Response:
    """A photo whose file is kept, as a JPEG of at most 1600 pixels."""
    shelf = await service.shelf(id)
    name = shelf.index.photo(photo).name

    def picture() -> bytes:
        data = shelf.folder.photo(photo)
        if data is None:
            raise Missing(f"the file of photo {photo} is not kept; its thumbnail may be there")
        return jpeg(NamedBytes(data, name), WHOLE)

    return Response(await service.on_disk(picture), media_type="image/jpeg", headers=_KEPT)


@routes.get("/{id}/photos/{photo}/thumbnail", response_class=Response)
async def thumbnail(service: Given, id: str, photo: str) -> Response:
    """A photo as a small JPEG, once it is learnt."""
    shelf = await service.shelf(id)
    label, learnt = shelf.index.photo(photo).label, await service.learnt(shelf, None)
    kept = learnt.support.get(label)
    if kept is None or photo not in kept.ids or not (small := kept.thumbnails[kept.ids.index(photo)]):
        raise Missing(f"photo {photo} has no thumbnail yet")
    return Response(small, media_type="image/jpeg", headers=_KEPT)


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


def _check_photos(service: Service, shelf: Shelf, fresh: int) -> None:
    most = service.settings.shelf_photos
    if len(shelf.index.photos) + fresh > most:
        raise Problem(409, "shelf-full", f"a shelf holds at most {most} photos")
