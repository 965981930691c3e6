"""What the service says of itself, and the token that it asks for."""

import hmac

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

from triptych.serve.forms import Session
from triptych.serve.guard import COOKIE
from triptych.serve.problems import Problem
from triptych.serve.service import Service
from triptych.serve.shared_routes import Given

__all__ = ["routes"]

routes = APIRouter(tags=["service"])


@routes.get("/healthz", response_class=PlainTextResponse)
async def healthz() -> str:
    """Whether the process answers."""
    return "ok"


@routes.get("/readyz", response_class=PlainTextResponse)
async def readyz(service: Given) -> str:
    """Whether there is room in the queue and on the disk."""
    service.check_disk()
    if len(service.batcher) >= service.settings.queue:
        raise Problem(503, "busy", "the queue is full", {"Retry-After": "1"})
    return "ready"


@routes.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: Given) -> str:
    """Figures for Prometheus."""
    return service.metrics.text(_gauges(service))


@routes.post("/v1/session", status_code=204)
async def session(service: Given, form: Session, request: Request) -> Response:
    """Keep the token as a cookie that scripts cannot read, so that the page can show pictures."""
    answer = Response(status_code=204)
    if service.token is None:
        return answer
    if not hmac.compare_digest(form.token.encode(), service.token.encode()):
        raise Problem(401, "no-token", "this is not the token of the service")
    answer.set_cookie(
        COOKIE, form.token, httponly=True, samesite="strict", secure=request.url.scheme == "https", path="/"
    )
    return answer


def _gauges(service: Service) -> dict[str, tuple[str, float]]:
    batcher = service.batcher
    return {
        "queue_photos": ("Photos that wait for an answer.", len(batcher)),
        "answered_photos_total": ("Photos that were answered.", batcher.answered),
        "batches_total": ("Batches that they were answered in.", batcher.batches),
        "upload_bytes": ("Bytes of uploads in memory.", service.room.taken),
        "shelves": ("Shelves.", len(service.shelves)),
    }
