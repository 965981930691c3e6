"""Who may ask, how much and how often."""

import http.client
import json
import socket
from pathlib import Path

import pytest
from served import Running, running
from shelved import png

from triptych.serve.client import Client, ServiceError
from triptych.serve.running import check_token
from triptych.serve.settings import Settings

TOKEN = "0123456789abcdef-secret"


def status(host: str, method: str = "GET", path: str = "/v1/shelves", **headers: str) -> int:
    """The status of a request with these headers."""
    connection = http.client.HTTPConnection(host)
    connection.putrequest(method, path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    found = connection.getresponse().status
    connection.close()
    return found


@pytest.mark.parametrize(
    "name", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", "", "a b", "[::1"]
)
def test_the_service_answers_to_names_of_this_machine_alone(service: Running, name: str) -> None:
    assert status(service.host, Host=name) in {400, 421}


@pytest.mark.parametrize("name", ["localhost", "LOCALHOST:80", "127.0.0.1:1234", "[::1]:8000"])
def test_names_of_this_machine(service: Running, name: str) -> None:
    assert status(service.host, Host=name) == 200


def test_a_page_of_another_site_cannot_send(service: Running, fruit: str) -> None:
    path = f"/v1/shelves/{fruit}"
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://["},
        {"Origin": "http://localhost:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        assert status(service.host, "DELETE", path, **headers) == 403
    assert status(service.host, "DELETE", path, Origin=service.address, Sec_Fetch_Site="same-origin") == 204


def test_every_answer_closes_the_page(service: Running) -> None:
    for path in ("/v1/shelves", "/nothing", "/healthz"):
        connection = http.client.HTTPConnection(service.host)
        connection.request("GET", path)
        headers = connection.getresponse().headers
        connection.close()
        policy = headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "server" not in headers or "uvicorn" in headers["server"]


def test_others_need_the_token(data: Path, method_file: str) -> None:
    with running(data, method_file, token=TOKEN, hosts=["shelf.example"]) as service:
        for path in ("/v1/shelves", "/metrics", "/v1/shelves/x"):
            assert status(service.host, path=path) == 401
            assert status(service.host, path=path, Authorization="Bearer " + TOKEN[:-1]) == 401
            assert status(service.host, path=path, Authorization=f"Basic {TOKEN}") == 401
            assert status(service.host, path=path, Cookie=f"triptych_token={TOKEN[1:]}") == 401
        assert status(service.host, path="/healthz") == 200
        assert status(service.host, Authorization=f"Bearer {TOKEN}") == 200
        assert status(service.host, Authorization=f"Bearer {TOKEN}", Host="shelf.example") == 200
        assert status(service.host, Authorization=f"Bearer {TOKEN}", Host="192.168.1.7:8000") == 200
        assert status(service.host, Authorization=f"Bearer {TOKEN}", Host="other.example") == 421
        with Client(service.address, TOKEN) as client:
            assert client.shelves() == []
            reply = client.ask("POST", "/v1/session", {"token": TOKEN})
            cookie = reply.headers["set-cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=strict" in cookie
            assert status(service.host, Cookie=cookie.split(";")[0]) == 200
            with pytest.raises(ServiceError, match="not the token"):
                client.ask("POST", "/v1/session", {"token": "x"})


def test_without_a_token_no_cookie_is_kept(client: Client) -> None:
    for token in ("x", "€uro"):
        reply = client.ask("POST", "/v1/session", {"token": token})
        assert reply.status == 204
        assert "set-cookie" not in reply.headers


def test_to_let_others_ask_needs_a_token() -> None:
    with pytest.raises(ValueError, match=r"--allow-host fruit\.example lets others ask"):
        check_token("127.0.0.1", None, ["fruit.example"])
    for host in ("127.0.0.1", "localhost", "::1"):
        check_token(host, None)
    for host, token in (("0.0.0.0", None), ("::", None), ("192.168.1.7", "short"), ("0.0.0.0", "é" * 20)):
        with pytest.raises(ValueError, match="token"):
            check_token(host, token)


def test_a_client_that_asks_too_often_waits(data: Path, method_file: str) -> None:
    settings = Settings(changes_per_second=0.5, reads_per_second=1)
    with running(data, method_file, settings) as service:
        found = [status(service.host) for _ in range(6)]
        assert found[:4] == [200] * 4
        assert 429 in found[4:]
        with Client(service.address) as client:
            client.create_shelf("first")
            client.create_shelf("second")
            with pytest.raises(ServiceError, match="too many requests") as caught:
                client.create_shelf("third")
        assert caught.value.retry_after == 2


def test_uploads_are_bounded(data: Path, method_file: str) -> None:
    settings = Settings(
        photo_megabytes=0.01, photos=3, questions=2, file_megabytes=0.01, memory_megabytes=0.4, shelf_photos=4,
        shelf_classes=2, shelves=2,
    )  # fmt: skip
    with running(data, method_file, settings) as service, Client(service.address) as client:
        id = client.create_shelf("fruit")["id"]
        for label in ("apple", "pear"):
            client.create_class(id, label)
        client.add_photos(id, "apple", [png(0, 0), png(0, 1)])
        client.add_photos(id, "pear", [png(1, 0)])
        large, path = b"\0" * 20_000, f"/v1/shelves/{id}/classes/apple/photos"
        boundary = {"Content-Type": "multipart/form-data; boundary=x"}
        part = b'--x\r\nContent-Disposition: form-data; name="photos"\r\n\r\n%s\r\n--x--\r\n' % large
        for content, headers, kind in [
            (large, {}, "too-large"),
            (part, boundary, "too-large"),
            (_unannounced(large), {}, "too-large"),
        ]:
            assert _failure(client, "POST", path, content, headers) == (413, kind)
        for call, found in [
            (lambda: client.add_photos(id, "apple", [png(0, n) for n in range(4)]), (413, "too-many-photos")),
            (lambda: client.predict(id, [png(0, n) for n in range(3)]), (413, "too-many-photos")),
            (lambda: client.add_photos(id, "apple", [png(0, 5), png(0, 6)]), (409, "shelf-full")),
            (lambda: client.create_class(id, "plum"), (409, "shelf-full")),
            (lambda: client.create_shelf("x") and client.create_shelf("y"), (409, "full")),
            (lambda: client.ask("POST", "/v1/shelves/load", large), (409, "full")),
            (lambda: client.ask("POST", "/v1/shelves", b" " * 200_000), (413, "too-large")),
        ]:
            with pytest.raises(ServiceError) as caught:
                call()
            assert (caught.value.status, caught.value.kind) == found
        assert client.ask("GET", "/metrics").data.count(b"triptych_upload_bytes 0") == 1
        assert list((data / id / "incoming").iterdir()) == []


def test_a_class_called_like_an_upload_is_bounded(client: Client, fruit: str) -> None:
    for name in ("x/photos", "predict"):
        client.create_class(fruit, name)
        large = b'{"name": "y"' + b" " * 200_000 + b"}"
        path = f"/v1/shelves/{fruit}/classes/{name}"
        assert _failure(client, "PATCH", path, large, {}) == (413, "too-large")
        assert _failure(client, "PATCH", path, _unannounced(large), {}) == (411, "no-length")


def test_memory_for_uploads_is_bounded(data: Path, method_file: str) -> None:
    settings = Settings(memory_megabytes=0.001)
    with running(data, method_file, settings) as service, Client(service.address) as client:
        id = client.create_shelf("fruit")["id"]
        client.create_class(id, "apple")
        path = f"/v1/shelves/{id}/classes/apple/photos"
        assert _failure(client, "POST", path, b"\0" * 5000, {}) == (503, "busy")


def test_a_slow_upload_is_ended_and_holds_nobody_up(data: Path, method_file: str) -> None:
    with running(data, method_file, Settings(silence_seconds=0.5)) as service, Client(service.address) as client:
        id = client.create_shelf("fruit")["id"]
        client.create_class(id, "apple")
        request = f"POST /v1/shelves/{id}/classes/apple/photos HTTP/1.1\r\nHost: localhost\r\n"
        slow = []
        for _ in range(50):
            one = socket.create_connection(("127.0.0.1", int(service.host.split(":")[1])))
            one.sendall((request + "Content-Type: image/png\r\nContent-Length: 1000\r\n\r\n").encode() + b"\x89PNG")
            slow.append(one)
        assert len(client.add_photos(id, "apple", [png(0, 0)])["added"]) == 1  # nobody waits for them
        for one in slow:
            one.settimeout(20)
            assert b"408" in one.recv(100)
            one.close()


def _unannounced(data: bytes) -> list[bytes]:
    """In chunks, without saying how much comes."""
    return [data[at : at + 1000] for at in range(0, len(data), 1000)]


def _failure(client: Client, method: str, path: str, content: object, headers: dict[str, str]) -> tuple[int, str]:
    if isinstance(content, list):
        connection = client._connection
        kind = {"Content-Type": "application/octet-stream"}
        connection.request(method, path, iter(content), kind | headers, encode_chunked=True)
        answer = connection.getresponse()
        problem = json.loads(answer.read())
        return answer.status, problem["type"].rpartition(":")[2]
    with pytest.raises(ServiceError) as caught:
        client.ask(method, path, content, headers)
    return caught.value.status, caught.value.kind
