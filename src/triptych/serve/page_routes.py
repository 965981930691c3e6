"""The page: its HTML, its stylesheet and its scripts, all of them from here."""

import hashlib
from functools import lru_cache
from importlib import resources
from typing import Annotated

from fastapi import APIRouter, Header, Response

from triptych.reports import render, stylesheet
from triptych.serve.index import Missing

__all__ = ["routes"]

_KINDS = {".js": "text/javascript", ".css": "text/css"}
Seen = Annotated[str | None, Header(alias="if-none-match")]


routes = APIRouter(include_in_schema=False)


@routes.get("/")
async def page(seen: Seen = None) -> Response:
    return _file(_page(), "text/html; charset=utf-8", seen)


@routes.get("/style.css")
async def style(seen: Seen = None) -> Response:
    return _file(stylesheet().encode(), "text/css; charset=utf-8", seen)


@routes.get("/page/{name}")
async def script(name: str, seen: Seen = None) -> Response:
    files = _scripts()
    if name not in files:
        raise Missing(f"no file {name!r:.80} belongs to the page")
    return _file(files[name], f"{_KINDS[name[name.rindex('.') :]]}; charset=utf-8", seen)


def _file(content: bytes, kind: str, seen: str | None) -> Response:
    """A file that a browser asks for again, and gets only where it has changed."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}
    if seen == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)


@lru_cache
def _page() -> bytes:
    return render("shelf.html", {}).encode()


@lru_cache
def _scripts() -> dict[str, bytes]:
    folder = resources.files("triptych.serve") / "page"
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.name.endswith(tuple(_KINDS))}
