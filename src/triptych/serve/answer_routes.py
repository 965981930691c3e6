"""The API of answers and of why."""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from triptych.data import NamedBytes
from triptych.evidence import Explanation
from triptych.recognizer import Answer, Recognizer, fewest_left_out
from triptych.reports import evidence_fragment
from triptych.serve.answer_forms import Answered, Answers
from triptych.serve.batching import Busy, Question
from triptych.serve.learnt import Learnt
from triptych.serve.pictures import jpeg, with_kept_photos
from triptych.serve.problems import Problem
from triptych.serve.service import Service
from triptych.serve.shared_routes import PHOTOS, Given, too_few
from triptych.serve.uploads import photos

__all__ = ["routes"]

_NOTHING = "\0none of these"  # no name of a class
Revision = Annotated[int | None, Query(ge=0, description="Wait until this state of the shelf is learnt.")]


routes = APIRouter(prefix="/v1/shelves", tags=["answers"])


@routes.post("/{id}/predict", openapi_extra=PHOTOS)
async def predict(
    service: Given,
    id: str,
    request: Request,
    revision: Revision = None,
    false_alarm: Annotated[float, Query(gt=0, lt=1, description="Share of known photos called none.")] = 0.05,
    coverage: Annotated[float, Query(gt=0, lt=1, description="How often a set shall hold the true class.")] = 0.9,
    file: Annotated[str, Query(max_length=1000, description="Of a single photo: what its file is called.")] = "",
) -> Answers:
    """What photos are. One that cannot be read gets an answer that says so."""
    learnt, recognizer = await _recognizer(service, id, revision)
    nothing = None if recognizer.calibration_ is None else _NOTHING
    sets = coverage if _has_sets(recognizer, coverage) else None
    with service.room.holding() as held:
        found = photos(request, service.settings, held, service.settings.questions)
        with service.batcher.awaited():
            questions = [Question(recognizer, photo, nothing, false_alarm, sets) async for photo in found]
        answers = await _answers(service, questions)
    labels = [str(label) for label in recognizer.knowledge_.order]
    return Answers(
        revision=learnt.revision,
        calibrated=nothing is not None,
        answers=[Answered.of(answer, labels, nothing, sets) for answer in answers],
    )


@routes.post("/{id}/explain", openapi_extra=PHOTOS, response_class=JSONResponse)
async def explain(
    service: Given,
    id: str,
    request: Request,
    revision: Revision = None,
    top: Annotated[int, Query(ge=1, le=10, description="How many of the most probable classes.")] = 3,
    page: Annotated[bool, Query(description="Give a piece of HTML in place of JSON.")] = False,
    file: Annotated[str, Query(max_length=1000, description="What the photo's file is called.")] = "",
) -> Response:
    """Why a photo is what it is: each level's share, and what matches where. One photo."""
    shelf = await service.shelf(id)
    _, recognizer = await _recognizer(service, id, revision)
    with service.room.holding() as held:
        [photo] = [one async for one in photos(request, service.settings, held, 1)]
        async with service.evidence:
            return await service.on_disk(lambda: _evidence(recognizer, photo, top, page, shelf.folder.photo))


def _has_sets(recognizer: Recognizer, coverage: float) -> bool:
    """Whether enough photos were left out for sets that need not hold all classes."""
    calibration = recognizer.calibration_
    return calibration is not None and len(calibration.known) >= fewest_left_out(coverage)


async def _recognizer(service: Service, id: str, revision: int | None) -> tuple[Learnt, Recognizer]:
    shelf = await service.shelf(id)
    learnt = await service.learnt(shelf, revision, seconds=service.settings.answer_seconds)
    if learnt.recognizer is None and revision is None:  # nothing yet: then what comes is waited for
        learnt = await service.learnt(shelf, shelf.index.revision, seconds=service.settings.answer_seconds)
    if learnt.recognizer is None:
        raise too_few()
    return learnt, learnt.recognizer


async def _answers(service: Service, questions: list[Question]) -> list[Answer]:
    futures = [asyncio.wrap_future(question.answer) for question in questions]
    try:
        service.batcher.ask(questions)
        return await asyncio.wait_for(asyncio.gather(*futures), service.settings.answer_seconds)
    except Busy as error:
        raise Problem(503, "busy", str(error), {"Retry-After": "1"}) from error
    except TimeoutError:
        raise Problem(503, "too-slow", "no answer in time; ask for fewer photos", {"Retry-After": "5"}) from None
    finally:
        for future in futures:
            future.cancel()


def _evidence(
    recognizer: Recognizer, photo: NamedBytes, top: int, page: bool, photo_file: Callable[[str], bytes | None]
) -> Response:
    why = recognizer.explain(photo, top)
    if page:
        return HTMLResponse(evidence_fragment(with_kept_photos(why, recognizer, photo_file), jpeg(photo)))
    known = recognizer.knows(photo)
    content: dict[str, Any] = {"image": photo.name, "in_support": known, "heatmap": _heatmap(why), **why.summary()}
    return JSONResponse(content)


def _heatmap(why: Explanation) -> list[list[float]]:
    """The margin of each patch for the answer, rows from the top."""
    return [[round(float(value), 4) for value in row] for row in why.heatmap()]
