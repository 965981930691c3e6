"""The client: wrong arguments are told before anything is sent, and answers of something else are not believed."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from triptych.serve.client import Client, ServiceError

SECRET = "quite-a-secret-of-mine"


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[tuple[Client, list[dict[str, str]]]]:
    """A client of something that answers all requests alike, and the headers that it was sent."""
    asked: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            asked.append(dict(self.headers))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            with Client(f"http://127.0.0.1:{server.server_port}", token=f"{SECRET}\n", timeout=10) as client:
                yield client, asked
        finally:
            server.shutdown()
            thread.join()


CALLS: dict[str, Callable[[Client], Any]] = {
    "shelves": lambda client: client.shelves(),
    "shelf": lambda client: client.shelf("x"),
    "delete": lambda client: client.delete_shelf("x"),
    "file": lambda client: client.file("x"),
    "predict": lambda client: client.predict("x", [b"photo"]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (200, b"<html>Please log in</html>", "text/html"),
        (302, b"{}", "application/json"),
        (200, b"null", "application/json"),
        (200, b"[" * 100_000, "application/json"),
    ],
    ids=["page", "elsewhere", "null", "deep"],
)
def test_what_is_no_service_is_told(call: str, status: int, body: bytes, kind: str) -> None:
    told = rf"127.0.0.1:\d+: no answer of a service of triptych \(status {status}, {kind}\)"
    with answering(status, body, Content_Type=kind) as (client, _), pytest.raises(OSError, match=told):
        CALLS[call](client)


def test_json_of_another_program_is_told() -> None:
    with answering(200, b'{"ok": true}') as (client, _), pytest.raises(OSError, match="JSON without shelves"):
        client.shelves()


@pytest.mark.parametrize(
    ("detail", "after", "told", "wait"),
    [
        ("\x1b[2Jgone", "5", r"\x1b[2Jgone", 5),
        (None, "\u00b2", "status 503", None),
        ({"a": 1}, "9" * 5000, "status 503", None),
        ("full", "-1", "full", None),
    ],
)
def test_a_problem_is_shown_as_plain_text(detail: object, after: str, told: str, wait: float | None) -> None:
    body = json.dumps({"type": "urn:x:busy", "detail": detail}).encode()
    with answering(503, body, Retry_After=after) as (client, _), pytest.raises(ServiceError) as caught:
        client.shelves()
    assert (str(caught.value), caught.value.retry_after) == (told, wait)


def test_the_token_is_sent_without_the_line_end_of_its_file() -> None:
    with answering(200, b'{"shelves": []}') as (client, asked):
        assert client.shelves() == []
    assert asked[0]["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("token", [f"{SECRET}\r\nX: y", f"{SECRET}\u20ac", " \n", SECRET.encode(), Path(SECRET)])
def test_a_wrong_token_is_not_shown(token: Any) -> None:
    with pytest.raises(ValueError, match="token") as caught:
        Client("http://127.0.0.1:8000", token=token)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "address", [5, None, b"http://x", Path("http://x"), "", "x", "ftp://x", "http://", "http://x:port", "http://[x"]
)
def test_a_wrong_address_is_told(address: Any) -> None:
    with pytest.raises(ValueError, match=r"is no address of a service; expected such as http://127\.0\.0\.1:8000"):
        Client(address)


@pytest.mark.parametrize(
    "address", [f"http://me:{SECRET}@x", f"htps://me:{SECRET}@x", f"me:{SECRET}@x:8000", f"http://x/?token={SECRET}"]
)
def test_what_would_be_left_out_of_an_address_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(
        ValueError, match=r"has a (query|user) is no address of a service; expected such as http://"
    ) as caught:
        Client(address)
    assert SECRET not in str(caught.value)


def test_an_address_with_the_page_s_shelf_is_one() -> None:
    Client("http://127.0.0.1:8000/#x").close()


@pytest.mark.parametrize("timeout", ["x", 0, -1, float("nan"), float("inf"), 1e300, True])
def test_a_wrong_timeout_is_told(timeout: Any) -> None:
    with pytest.raises(ValueError, match="timeout must be a number above 0 and at most 1e"):
        Client("http://127.0.0.1:8000", timeout=timeout)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (partial(Client.shelf, id=None), "expected an id or a name, a text, got None"),
        (partial(Client.delete_shelf, id=""), "expected an id or a name, a text, got ''"),
        (partial(Client.shelf, id="\udcff"), r"^\\udcff: a name with half a character; expected a whole text"),
        (partial(Client.undo, id="x", revision="1\r\nX: y"), "revision must be a whole number of at least 0, got"),
        (partial(Client.move_photos, id="x", photos=[Path("a")], to="y"), "cannot be sent as JSON .*not JSON serial"),
        (partial(Client.load_shelf, file=5, name="x"), "expected a path, got int: 5"),
    ],
)
def test_wrong_arguments_are_told(call: Callable[[Client], Any], told: str) -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(ValueError, match=told):
        call(client)


def test_a_device_is_not_sent_as_a_shelf() -> None:
    with Client("http://127.0.0.1:9") as client, pytest.raises(OSError, match="no plain file: '/dev/zero'"):
        client.load_shelf("/dev/zero", "x")


@pytest.mark.parametrize(
    ("method", "path", "headers", "told"),
    [
        ("GET", "/no slash", {}, "'/no slash' is no path of an address; expected one without spaces"),
        ("GET\r\nX: y", "/", {}, "expected a method and headers of HTTP"),
        ("GET", "/", {"X": "a\r\nb"}, "expected a method and headers of HTTP"),
    ],
)
def test_what_cannot_be_sent_is_not_blamed_on_the_service(
    method: str, path: str, headers: dict[str, str], told: str
) -> None:
    with answering(200, b"{}") as (client, _):
        with pytest.raises(ValueError, match=told):
            client.ask(method, path, headers=headers)
        assert client.ask("GET", "/").status == 200


def test_who_does_not_answer_is_told_without_numbers() -> None:
    with (
        Client("http://127.0.0.1:9") as client,
        pytest.raises(OSError, match=r"^127.0.0.1:9: no answer \(Connection re"),
    ):
        client.shelves()
