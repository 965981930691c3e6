"""The application: routes, errors, and what stands before them."""

import logging
import time
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triptych import __version__
from triptych.serve import answer_routes, page_routes, photo_routes, service_routes, shelf_routes
from triptych.serve.forms import ProblemDocument
from triptych.serve.guard import Guard
from triptych.serve.problems import Problem, problem_of, response
from triptych.serve.service import Service
from triptych.serve.settings import Settings
from triptych.serve.shared_routes import known_parameters
from triptych.serve.shelves import Shelves

__all__ = ["create_app"]

_TOLD = {  # in place of HTTP's bare phrase
    400: "the body cannot be read; expected a JSON object, as /openapi.json describes it",
    404: "nothing is here; /openapi.json lists what can be asked",
    405: "Method Not Allowed here; the header Allow and /openapi.json say which are",
}
_log = logging.getLogger(__name__)
_METHODS = {"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}
_SUMMARY = "Few-shot image recognition that shows its evidence: shelves of classes, a handful of photos each."


def create_app(
    shelves: Shelves, settings: Settings | None = None, token: str | None = None, hosts: Collection[str] = ()
) -> ASGIApp:
    """The service as an ASGI application; at its end what was accepted is finished.

    Args:
        shelves: what it serves.
        settings: bounds.
        token: what clients must show; None where only this machine can ask.
        hosts: names of the service, besides those of this machine.
    """
    settings = settings or Settings()
    service = Service.of(shelves, settings, token)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.batcher.stop()

    app = FastAPI(
        title="Triptych",
        version=__version__,
        summary=_SUMMARY,
        lifespan=running,
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        responses={"4XX": _problem("What is wrong with the request."), "5XX": _problem("The service cannot now.")},
    )
    for kind in (Problem, LookupError, ValueError, OSError, Exception):
        app.add_exception_handler(kind, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.state.service = service
    for one in (answer_routes, shelf_routes, photo_routes):  # what is asked most comes first
        app.include_router(one.routes, dependencies=[Depends(known_parameters)])
    app.include_router(service_routes.routes)
    app.include_router(page_routes.routes)
    return Guard(_Counted(app, service), settings, token, hosts)


class _Counted:
    """Counts each request by the template of its route; HEAD is answered as GET, without the body."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status, head = time.monotonic(), 500, scope["method"] == "HEAD"

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send({**message, "body": b""} if head and message["type"] == "http.response.body" else message)

        asked = {**scope, "method": "GET"} if head else scope
        try:
            await self._app(asked, receive, told)
        finally:
            route = getattr(asked.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in _METHODS else "other"
            self._service.metrics.count(method, route, status, time.monotonic() - start)


async def _failed(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem.status == 304:
        return Response(status_code=304, headers=problem.headers)
    if problem.status == 500:
        _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return response(problem)


async def _invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [{"where": ".".join(map(str, one["loc"])), "what": _fault(one)} for one in error.errors()]
    told = "; ".join(f"{fault['where']}: {fault['what']}" for fault in faults[:3])
    return response(Problem(422, "invalid", told, errors=faults))


def _fault(found: Mapping[str, Any]) -> str:
    """What is wrong with a part of a request, where the library's own words do not say what was expected."""
    if found["type"] == "missing":
        return "missing; expected, as /openapi.json describes it"
    if found["type"] in {"model_attributes_type", "dict_type"}:
        return "no JSON object; expected one, with Content-Type: application/json"
    if found["type"] == "extra_forbidden":
        return "unknown; /openapi.json lists what is known"
    return "no JSON; expected a JSON object" if found["type"] == "json_invalid" else str(found["msg"])


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return response(Problem(error.status_code, "http", _TOLD.get(error.status_code, str(error.detail)), error.headers))


def _problem(description: str) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {"description": description, "content": {"application/problem+json": {"schema": schema}}}
