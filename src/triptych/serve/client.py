"""A typed client of the service, of the standard library alone."""

import base64
import http.client
import json
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from triptych.data import NamedBytes, as_photos, as_sequence
from triptych.serve.addresses import address_parts, plain_token
from triptych.system.files import read_plain
from triptych.system.settings import number, whole
from triptych.system.wording import printable

__all__ = ["Client", "Reply", "ServiceError"]

_IDLE = 2.0  # seconds that a connection may be silent and still be used again
_LONGEST = 1e6  # seconds that a socket can wait
_STRANGE = "no answer of a service of triptych"
Photo = str | PathLike[str] | bytes | NamedBytes


class ServiceError(RuntimeError):
    """The service could not: its problem document.

    Attributes:
        status: of HTTP.
        kind: tells problems of one status apart, such as "missing".
        retry_after: seconds after which to ask again, or None.
    """

    def __init__(self, status: int, kind: str, detail: str, retry_after: float | None) -> None:
        super().__init__(detail)
        self.status, self.kind, self.retry_after = status, kind, retry_after


@dataclass(frozen=True)
class Reply:
    """What the service answered.

    Attributes:
        status: of HTTP.
        headers: in lower case.
        data: the body.
    """

    status: int
    headers: Mapping[str, str]
    data: bytes

    @property
    def json(self) -> Any:
        """The body as JSON.

        Raises:
            ValueError: it is none.
        """
        try:
            return json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"expected JSON, got {len(self.data)} bytes of {self.kind}") from error

    @property
    def kind(self) -> str:
        """What the body is, by the answer's own words."""
        return printable(self.headers.get("content-type", "no stated type"))


class Client:
    """Asks a service over one connection; not for several threads at once.

    Args:
        address: such as "http://127.0.0.1:8000".
        token: what the service wants to see, or None; spaces and line ends around it do not count.
        timeout: in seconds, of each step.

    Raises:
        ValueError: the address, the token or the timeout is none.

    Examples:
        >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
        ...     shelf = client.create_shelf("fruit")["id"]
        ...     for label in ("plum", "fig"):
        ...         client.create_class(shelf, label)
        ...         client.add_photos(shelf, label, sorted(Path(label).iterdir()))
        ...     client.predict(shelf, ["new.jpg"])["answers"][0]["label"]
    """

    def __init__(self, address: str, token: str | None = None, timeout: float = 120) -> None:
        number(0, _LONGEST, above=True).ask("timeout", timeout)
        encrypted, host, port, self._base = address_parts(address)
        kind = http.client.HTTPSConnection if encrypted else http.client.HTTPConnection
        self._connection = kind(host, port, timeout=timeout)
        self._used = time.monotonic()
        self._headers = {} if token is None else {"Authorization": f"Bearer {plain_token(token)}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def shelves(self) -> list[dict[str, Any]]:
        """All shelves: id, name, number of classes and photos, revision."""
        found = self._told("GET", "/v1/shelves").get("shelves")
        if not isinstance(found, list):
            raise OSError(f"{self._place}: {_STRANGE} (JSON without shelves)")
        return found

    def create_shelf(self, name: str, keep_photos: bool = True) -> dict[str, Any]:
        """Make a shelf without classes."""
        return self._told("POST", "/v1/shelves", {"name": name, "keep_photos": keep_photos})

    def load_shelf(self, file: str | PathLike[str], name: str) -> dict[str, Any]:
        """Make a shelf of a .triptych file."""
        query = urlencode({"name": name})
        return self._told("POST", f"/v1/shelves/load?{query}", read_plain(file))

    def shelf(self, id: str) -> dict[str, Any]:
        """The classes of a shelf and their photos."""
        return self._told("GET", _path(id))

    def delete_shelf(self, id: str) -> None:
        """Delete a shelf, for good."""
        reply = self.ask("DELETE", _path(id))
        if reply.status != 204:
            raise self._no_answer(reply)

    def create_class(self, id: str, name: str, revision: int | None = None) -> dict[str, Any]:
        """Make a class without photos."""
        return self._told("POST", f"{_path(id)}/classes", {"name": name}, _seen(revision))

    def rename_class(self, id: str, name: str, new: str, revision: int | None = None) -> dict[str, Any]:
        """Give a class another name."""
        return self._told("PATCH", f"{_path(id)}/classes/{_quoted(name)}", {"name": new}, _seen(revision))

    def delete_class(self, id: str, name: str, revision: int | None = None) -> dict[str, Any]:
        """Remove a class with its photos."""
        return self._told("DELETE", f"{_path(id)}/classes/{_quoted(name)}", None, _seen(revision))

    def add_photos(self, id: str, label: str, photos: Sequence[Photo], revision: int | None = None) -> dict[str, Any]:
        """Add photos to a class; what comes back says which were added, and which could not be read."""
        path = f"{_path(id)}/classes/{_quoted(label)}/photos"
        return self._told("POST", path, _listed(photos), _seen(revision))

    def move_photos(self, id: str, photos: Iterable[str], to: str, revision: int | None = None) -> dict[str, Any]:
        """Put photos, by their ids, in another class."""
        return self._told(
            "POST", f"{_path(id)}/move", {"photos": list(as_sequence(photos, "ids")), "to": to}, _seen(revision)
        )

    def delete_photo(self, id: str, photo: str, revision: int | None = None) -> dict[str, Any]:
        """Remove a photo."""
        return self._told("DELETE", f"{_path(id)}/photos/{_quoted(photo)}", None, _seen(revision))

    def undo(self, id: str, revision: int | None = None) -> dict[str, Any]:
        """Take back the last change."""
        return self._told("POST", f"{_path(id)}/undo", None, _seen(revision))

    def state(self, id: str, revision: int | None = None, settled: bool = False, seconds: float = 10) -> dict[str, Any]:
        """What is learnt; waits for a revision where one is given."""
        asked = {"settled": str(settled).lower(), "seconds": seconds} | _known(revision=revision)
        return self._told("GET", f"{_path(id)}/state?{urlencode(asked)}")

    def file(self, id: str) -> bytes:
        """The shelf as a .triptych file."""
        reply = self.ask("GET", f"{_path(id)}/file")
        if reply.kind != "application/octet-stream":
            raise self._no_answer(reply)
        return reply.data

    def predict(self, id: str, photos: Sequence[Photo], revision: int | None = None) -> dict[str, Any]:
        """What photos are."""
        return self._told("POST", f"{_path(id)}/predict?{urlencode(_known(revision=revision))}", _listed(photos))

    def explain(self, id: str, photo: Photo, top: int = 3) -> dict[str, Any]:
        """Why a photo is what it is."""
        return self._told("POST", f"{_path(id)}/explain?{urlencode({'top': top})}", _listed([photo]))

    def ask(self, method: str, path: str, content: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Any request: bytes are sent as they are, everything else as JSON.

        Raises:
            ServiceError: the service could not.
            OSError: it cannot be reached.
            ValueError: the content cannot be sent as JSON, or the rest not at all.
        """
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        body = content if isinstance(content, bytes) or content is None else _as_json(content)
        sent = {**self._headers, **({} if body is None else {"Content-Type": kind}), **(headers or {})}
        if time.monotonic() - self._used > _IDLE:
            self._connection.close()  # the service may have, too; it is opened anew
        try:
            self._connection.request(method, self._base + path, body, sent)
            answer = self._connection.getresponse()
            reply = Reply(answer.status, {name.lower(): one for name, one in answer.getheaders()}, answer.read())
        except http.client.InvalidURL as error:
            self._connection.close()
            raise ValueError(f"{path!r:.80} is no path of an address; expected one without spaces") from error
        except (http.client.HTTPException, OSError, UnicodeError) as error:
            self._connection.close()
            raise OSError(
                f"{self._place}: no answer ({printable(getattr(error, 'strerror', None) or error)})"
            ) from error
        except ValueError as error:  # of the method or the headers
            self._connection.close()
            raise ValueError(f"{printable(error)}; expected a method and headers of HTTP") from error
        self._used = time.monotonic()
        if reply.status >= 400:
            raise _error(reply)
        return reply

    def _told(
        self, method: str, path: str, content: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """What the service answers in JSON."""
        reply = self.ask(method, path, content, headers)
        try:
            told = reply.json
        except ValueError:
            told = None
        if reply.status >= 300 or not isinstance(told, dict):  # the service sends nobody elsewhere
            raise self._no_answer(reply)
        return told

    @property
    def _place(self) -> str:
        return f"{self._connection.host}:{self._connection.port}"

    def _no_answer(self, reply: Reply) -> OSError:
        return OSError(f"{self._place}: {_STRANGE} (status {reply.status}, {reply.kind})")


def _as_json(content: Any) -> bytes:
    try:
        return json.dumps(content).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot be sent as JSON ({printable(error)}); expected texts, numbers and lists") from error


def _error(reply: Reply) -> ServiceError:
    try:
        problem = reply.json
        kind, detail = problem["type"].rpartition(":")[2], problem["detail"]
        if not isinstance(detail, str):
            raise TypeError("a detail that is no text")
    except (ValueError, KeyError, TypeError, AttributeError):
        kind, detail = "http", f"status {reply.status}"
    after = reply.headers.get("retry-after", "")
    wait = float(after) if re.fullmatch("[0-9]{1,9}", after) else None
    return ServiceError(reply.status, kind, printable(detail), wait)


def _path(id: str) -> str:
    return f"/v1/shelves/{_quoted(id)}"


def _quoted(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"expected an id or a name, a text, got {name!r:.80}")
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:
        raise ValueError(f"{printable(name)}: a name with half a character; expected a whole text") from error


def _seen(revision: int | None) -> dict[str, str]:
    if revision is not None:
        whole(0).ask("revision", revision)
    return {} if revision is None else {"If-Match": f'"{revision}"'}


def _known(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _listed(photos: Sequence[Photo]) -> dict[str, Any]:
    named = [_named(photo) for photo in as_photos(photos)]
    return {"photos": [{"name": one.name, "data": base64.b64encode(one.data).decode()} for one in named]}


def _named(photo: object) -> NamedBytes:
    if isinstance(photo, NamedBytes):
        return photo
    if isinstance(photo, bytes):
        return NamedBytes(photo, "")
    if not isinstance(photo, str | PathLike):
        raise ValueError(f"expected a path, encoded bytes or NamedBytes for a photo, got {type(photo).__name__}")
    return NamedBytes(read_plain(photo), Path(photo).name)
