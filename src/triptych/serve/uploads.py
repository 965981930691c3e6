"""Photos as they come: multipart, raw bytes, or base64 in JSON; one at a time, in bounds of bytes, number and time."""

import asyncio
import base64
import binascii
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from triptych.data import NamedBytes
from triptych.serve.index import file_name
from triptych.serve.problems import Problem
from triptych.serve.settings import Settings

__all__ = ["Room", "body", "photos"]

_MULTIPART, _JSON = "multipart/form-data", "application/json"
_RAW = ("image/", "application/octet-stream")
_GROWTH = 4 / 3  # of base64
_JSON_SHARE = 1 / 8  # of the memory for uploads: JSON is read as a whole, and takes several times its size
_JSON_MORE = 1 << 16  # bytes of JSON besides the photos
_UNNAMED = "photo"


class Room:
    """Bytes of uploads that are in memory, of all requests together."""

    def __init__(self, most: float) -> None:
        self.most, self.taken = most, 0

    @contextmanager
    def holding(self) -> Iterator["_Held"]:
        """A request's share; given back at the end."""
        held = _Held(self)
        try:
            yield held
        finally:
            held.take(-held.taken)


class _Held:
    def __init__(self, room: Room) -> None:
        self._room, self.taken = room, 0

    def take(self, amount: int) -> None:
        """Count bytes that came, or, below zero, that went.

        Raises:
            Problem: there is no room for more.
        """
        if amount > 0 and self._room.taken + amount > self._room.most:
            raise Problem(503, "busy", "too many uploads at once; try again", {"Retry-After": "1"})
        self.taken += amount
        self._room.taken += amount


async def photos(request: Request, settings: Settings, held: _Held, most: int) -> AsyncIterator[NamedBytes]:
    """Each photo of a request, as soon as it is there. The caller gives back its room: ``held.take(-length)``.

    Raises:
        Problem: another type of content, too large, too many, too slow, or malformed.
    """
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    content = kind.decode("latin-1").lower()
    if content == _MULTIPART:
        found = _multipart(request, settings, held, options.get(b"boundary", b""))
    elif content == _JSON:
        found = _json(request, settings, held, most)
    elif content.startswith(_RAW):
        found = _raw(request, settings, held)
    else:
        raise Problem(
            415,
            "content-type",
            f"content of type {content!r:.80}; expected {_MULTIPART}, {_JSON}, image/* or application/octet-stream",
        )
    number = 0
    async for photo in found:
        if (number := number + 1) > most:
            raise Problem(413, "too-many-photos", f"more than {most} photos in one request; send several requests")
        yield photo
    if not number:
        raise Problem(422, "no-photo", "no photo in the request; expected at least one")


async def body(request: Request, settings: Settings, most: float, what: str) -> AsyncIterator[bytes]:
    """The chunks of a request's body, within bounds of bytes and time.

    Raises:
        Problem: too large or too slow.
    """
    too_large = Problem(413, "too-large", f"{what} of more than {most / 1e6:g} MB; expected less")
    given = request.headers.get("content-length", "0")
    if given.isdigit() and int(given) > most:
        raise too_large
    end, total, chunks = time.monotonic() + settings.upload_seconds, 0, request.stream()
    while True:
        try:
            patience = min(settings.silence_seconds, end - time.monotonic())
            async with asyncio.timeout(max(patience, 0.001)):
                chunk = await anext(chunks)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem(
                408, "too-slow", "the upload did not come in time; try again", {"Connection": "close"}
            ) from None
        except ClientDisconnect:
            raise Problem(400, "broken-off", "the upload was broken off; send it again") from None
        if (total := total + len(chunk)) > most:
            raise too_large
        yield chunk


async def _raw(request: Request, settings: Settings, held: _Held) -> AsyncIterator[NamedBytes]:
    data = await _whole(request, settings, held, settings.photo_megabytes * 1e6, "a photo")
    yield NamedBytes(data, file_name(request.query_params.get("file", "")) or _UNNAMED)


async def _json(request: Request, settings: Settings, held: _Held, most: int) -> AsyncIterator[NamedBytes]:
    limit = settings.photo_megabytes * 1e6
    allowed = min(limit * _GROWTH * most + _JSON_MORE, settings.memory_megabytes * 1e6 * _JSON_SHARE)
    data = await _whole(request, settings, held, allowed, "JSON")
    for number, (name, text) in enumerate(_listed(data), start=1):
        try:
            photo = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            raise Problem(422, "base64", f"photo {number}: data is not base64") from None
        if len(photo) > limit:
            raise Problem(
                413, "too-large", f"photo {number} has more than {settings.photo_megabytes:g} MB; expected less"
            )
        held.take(len(photo))
        yield NamedBytes(photo, file_name(name) or f"{_UNNAMED} {number}")


async def _whole(request: Request, settings: Settings, held: _Held, most: float, what: str) -> bytes:
    data = bytearray()
    async for chunk in body(request, settings, most, what):
        held.take(len(chunk))
        data += chunk
    return bytes(data)


def _listed(data: bytes) -> list[tuple[str, str]]:
    try:
        given = json.loads(data)
        found = given["photos"]
        if given.keys() != {"photos"} or not isinstance(found, list) or not all(map(_is_photo, found)):
            raise TypeError
        return [(one.get("name") or "", one["data"]) for one in found]
    except (AttributeError, ValueError, TypeError, KeyError, RecursionError):
        raise Problem(
            422, "json", 'expected {"photos": [{"name": "1.jpg", "data": "...base64..."}]}, got something else'
        ) from None


def _is_photo(one: Any) -> bool:
    named = isinstance(one, dict) and one.keys() <= {"name", "data"}
    return named and isinstance(one.get("data"), str) and isinstance(one.get("name", ""), str | None)


async def _multipart(request: Request, settings: Settings, held: _Held, boundary: bytes) -> AsyncIterator[NamedBytes]:
    parts = _Parts(settings.photo_megabytes, held)
    try:
        parser = MultipartParser(boundary, parts.callbacks())  # type: ignore[arg-type]
        most = settings.photo_megabytes * 1e6 * settings.photos
        async for chunk in body(request, settings, most, "an upload"):
            for start in range(0, len(chunk), 1 << 16):
                parser.write(chunk[start : start + (1 << 16)])
                while parts.whole:
                    yield parts.whole.pop(0)
        parser.finalize()
    except FormParserError:
        told = "the multipart form is damaged; expected parts with the boundary that Content-Type states"
        raise Problem(400, "multipart", told) from None
    if not parts.ended:
        raise Problem(400, "multipart", "the multipart form is broken off; expected its last boundary; send it again")


class _Parts:
    """What a parser calls: the parts that are whole, as photos."""

    def __init__(self, megabytes: float, held: _Held) -> None:
        self.whole: list[NamedBytes] = []
        self.ended = False
        self._megabytes, self._held = megabytes, held
        self._data, self._field, self._value, self._name = bytearray(), b"", b"", ""

    def callbacks(self) -> dict[str, Any]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._add_field,
            "on_header_value": self._add_value,
            "on_header_end": self._end_header,
            "on_part_data": self._add_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin(self) -> None:
        self._data, self._name = bytearray(), ""

    def _add_field(self, data: bytes, start: int, end: int) -> None:
        self._field += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        if self._field.lower() == b"content-disposition":
            given = parse_options_header(self._value)[1].get(b"filename", b"")
            self._name = given.decode("utf-8", "replace")
        self._field = self._value = b""

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if len(self._data) + end - start > self._megabytes * 1e6:
            raise Problem(413, "too-large", f"a photo of more than {self._megabytes:g} MB; expected less")
        self._held.take(end - start)
        self._data += data[start:end]

    def _end_part(self) -> None:
        self.whole.append(NamedBytes(bytes(self._data), file_name(self._name) or _UNNAMED))
        self._data = bytearray()

    def _end(self) -> None:
        self.ended = True
