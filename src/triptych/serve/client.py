"""A typed client of the service, of the standard library alone."""

import base64
import http.client
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

from triptych.data import NamedBytes, as_photos, as_sequence
from triptych.system.files import read_plain
from triptych.system.settings import number
from triptych.system.wording import printable

__all__ = ["Client", "Reply", "ServiceError"]

_IDLE = 2.0  # seconds that a connection may be silent and still be used again
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
        """The body as JSON."""
        return json.loads(self.data)


class Client:
    """Asks a service over one connection; not for several threads at once.

    Args:
        address: such as "http://127.0.0.1:8000".
        token: what the service wants to see, or None.
        timeout: in seconds, of each step.

    Examples:
        >>> with Client("http://127.0.0.1:8000") as client:  # doctest: +SKIP
        ...     shelf = client.create_shelf("fruit")["id"]
        ...     for label in ("plum", "fig"):
        ...         client.create_class(shelf, label)
        ...         client.add_photos(shelf, label, sorted(Path(label).iterdir()))
        ...     client.predict(shelf, ["new.jpg"])["answers"][0]["label"]
    """

    def __init__(self, address: str, token: str | None = None, timeout: float = 120) -> None:
        try:
            parts = urlsplit(address)
            port = parts.port
        except (ValueError, AttributeError, TypeError):  # no port, or no text
            parts, port = urlsplit(""), None
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{address!r:.80} is no address of a service; expected such as http://127.0.0.1:8000")
        number(0, above=True).ask("timeout", timeout)
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._connection = kind(parts.hostname, port, timeout=timeout)
        self._used = time.monotonic()
        self._base = parts.path.rstrip("/")
        token = None if token is None else token.strip()  # a file of it ends in a line
        if token is not None and not (token.isascii() and token.isprintable()):
            raise ValueError("the token has other characters than plain ones; expected the service's token")
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def shelves(self) -> list[dict[str, Any]]:
        """All shelves: id, name, number of classes and photos, revision."""
        return self._told("GET", "/v1/shelves")["shelves"]

    def create_shelf(self, name: str, keep_photos: bool = True) -> dict[str, Any]:
        """Make a shelf without classes."""
        return self._told("POST", "/v1/shelves", {"name": name, "keep_photos": keep_photos})

    def load_shelf(self, file: str | PathLike[str], name: str) -> dict[str, Any]:
        """Make a shelf of a .triptych file."""
        query = urlencode({"name": name})
        return self._told("POST", f"/v1/shelves/load?{query}", Path(file).read_bytes())

    def shelf(self, id: str) -> dict[str, Any]:
        """The classes of a shelf and their photos."""
        return self._told("GET", _path(id))

    def delete_shelf(self, id: str) -> None:
        """Delete a shelf, for good."""
        self.ask("DELETE", _path(id))

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
        form = {"photos": list(as_sequence(photos, "ids")), "to": to}
        return self._told("POST", f"{_path(id)}/move", form, _seen(revision))

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
        return self.ask("GET", f"{_path(id)}/file").data

    def predict(self, id: str, photos: Sequence[Photo], revision: int | None = None) -> dict[str, Any]:
        """What photos are."""
        return self._told("POST", f"{_path(id)}/predict?{urlencode(_known(revision=revision))}", _listed(photos))

    def explain(self, id: str, photo: Photo, top: int = 3) -> dict[str, Any]:
        """Why a photo is what it is."""
        return self._told("POST", f"{_path(id)}/explain?top={top}", _listed([photo]))

    def _told(
        self, method: str, path: str, content: Any = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """The JSON object that the service answers."""
        reply = self.ask(method, path, content, headers)
        try:
            told = reply.json
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise OSError(f"{self._connection.host}:{self._connection.port}: no answer of a service of triptych")
        return told

    def ask(self, method: str, path: str, content: Any = None, headers: Mapping[str, str] | None = None) -> Reply:
        """Any request: bytes are sent as they are, everything else as JSON.

        Raises:
            ServiceError: the service could not.
            OSError: it cannot be reached.
        """
        kind = "application/octet-stream" if isinstance(content, bytes) else "application/json"
        body = content if isinstance(content, bytes) or content is None else json.dumps(content).encode()
        sent = {**self._headers, **({} if body is None else {"Content-Type": kind}), **(headers or {})}
        if time.monotonic() - self._used > _IDLE:
            self._connection.close()  # the service may have, too; it is opened anew
        try:
            self._connection.request(method, self._base + path, body, sent)
            answer = self._connection.getresponse()
            reply = Reply(answer.status, {name.lower(): one for name, one in answer.getheaders()}, answer.read())
        except (http.client.HTTPException, OSError) as error:
            self._connection.close()
            raise OSError(f"{self._connection.host}:{self._connection.port}: no answer ({error})") from error
        self._used = time.monotonic()
        if reply.status >= 400:
            raise _error(reply)
        return reply


def _error(reply: Reply) -> ServiceError:
    try:
        problem = reply.json
        kind, detail = problem["type"].rpartition(":")[2], printable(problem["detail"] or f"status {reply.status}")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        kind, detail = "http", f"status {reply.status}"
    after = reply.headers.get("retry-after", "")
    return ServiceError(reply.status, kind, detail, float(after) if after.isascii() and after.isdigit() else None)


def _path(id: str) -> str:
    return f"/v1/shelves/{_quoted(id)}"


def _quoted(name: str) -> str:
    if not isinstance(name, str):
        raise ValueError(f"expected an id or a name, a text, got {type(name).__name__}")
    return quote(name, safe="", errors="surrogatepass")


def _seen(revision: int | None) -> dict[str, str]:
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
