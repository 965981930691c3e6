"""Connections of clients that are slow, silent or many: none of them stops others."""

import socket
import time
from pathlib import Path
from threading import Thread

import pytest
from served import Running, running
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from triptych.serve.client import Client, ServiceError
from triptych.serve.connections import server_of
from triptych.serve.running import listening
from triptych.serve.settings import Settings

LONG = 20.0
TOKEN = "0123456789abcdef-secret"
BEGUN = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"


def connected(service: Running) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(service.host.split(":")[1])), LONG)


def rest(connection: socket.socket) -> bytes:
    """What comes until the service closes the connection, or is silent."""
    found = b""
    try:
        while data := connection.recv(1 << 16):
            found += data
    except (ConnectionError, TimeoutError):
        pass
    return found


def test_a_head_that_is_too_long_is_refused(data: Path, method_file: str) -> None:
    with running(data, method_file, Settings(head_kilobytes=4)) as service, connected(service) as connection:
        connection.sendall(BEGUN + b"X: " + b"x" * 10_000)
        assert rest(connection).startswith(b"HTTP/1.1 400")


def test_a_head_that_is_too_long_is_refused_in_one_piece_too(data: Path, method_file: str) -> None:
    with running(data, method_file, Settings(head_kilobytes=4)) as service, Client(service.address) as client:
        for headers in ({"X": "x" * 5000}, {f"X-{number}": "x" for number in range(900)}):
            with pytest.raises(ServiceError, match=r"a head of \d+ bytes; expected at most 4 kB") as caught:
                client.ask("GET", "/healthz", None, headers)
            assert caught.value.status == 431
        assert client.ask("GET", "/healthz").status == 200


def test_slow_heads_end_and_do_not_stop_others(data: Path, method_file: str) -> None:
    settings = Settings(head_seconds=1.5, connections=20)
    with running(data, method_file, settings) as service:
        slow = [connected(service) for _ in range(30)]
        for one in slow:
            one.sendall(BEGUN[:10])
        with Client(service.address) as client:
            for _ in range(5):
                assert client.ask("GET", "/healthz").data == b"ok"  # although they are more than may be
        start = time.monotonic()
        while time.monotonic() - start < 1:  # each byte on its own does not buy time
            for one in slow:
                try:
                    one.sendall(b"x")
                except OSError:
                    continue
            time.sleep(0.1)
        told = [rest(one) for one in slow]
        assert set(told) == {b"", b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"}
        for one in slow:
            one.close()


def test_a_connection_that_never_asks_is_closed(data: Path, method_file: str) -> None:
    with running(data, method_file, Settings(head_seconds=0.3)) as service, connected(service) as connection:
        assert rest(connection).startswith(b"HTTP/1.1 408")


def test_a_silent_connection_is_closed_after_its_answer(data: Path, method_file: str) -> None:
    with running(data, method_file, Settings(idle_seconds=0.3)) as service, connected(service) as connection:
        connection.sendall(BEGUN + b"\r\n")
        start = time.monotonic()
        assert rest(connection).endswith(b"ok")
        assert time.monotonic() - start < LONG / 2


def test_where_all_are_asking_the_next_is_told_to_come_again(data: Path, method_file: str) -> None:
    head = (
        b"POST /v1/shelves HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    with running(data, method_file, Settings(connections=3)) as service:
        busy = [connected(service) for _ in range(3)]
        for one in busy:
            one.sendall(head)
        time.sleep(0.3)
        with connected(service) as late:
            assert rest(late).startswith(b"HTTP/1.1 503")
        for one in busy:
            one.close()


def test_a_client_that_takes_nothing_is_left(data: Path, method_file: str) -> None:
    many, silence = 200, 0.5
    with running(data, method_file, Settings(silence_seconds=silence)) as service:
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(LONG)
            connection.connect(("127.0.0.1", int(service.host.split(":")[1])))
            asked = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * many
            connection.sendall(asked)
            time.sleep(silence + 2)
            assert rest(connection).count(b"HTTP/1.1 200") < many
        with Client(service.address) as client:
            assert client.ask("GET", "/healthz").data == b"ok"


def test_a_body_that_never_ends_is_left(data: Path, method_file: str) -> None:
    head = (
        b"POST /v1/shelves HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    settings = Settings(silence_seconds=10, upload_seconds=0.6)
    with running(data, method_file, settings) as service, connected(service) as connection:
        connection.sendall(head)
        start = time.monotonic()
        connection.settimeout(0.1)
        told = b""
        while not told and time.monotonic() - start < LONG:
            try:
                connection.sendall(b" ")
                told = connection.recv(100)
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - start < 8


def test_a_body_that_is_owed_after_the_answer_holds_nothing(data: Path, method_file: str) -> None:
    head = b"POST /v1/shelves/0/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    settings = Settings(head_seconds=1, idle_seconds=1)
    with running(data, method_file, settings, TOKEN) as service, connected(service) as connection:
        connection.sendall(head)
        told, start = connection.recv(1 << 16), time.monotonic()
        assert told.startswith(b"HTTP/1.1 401")
        connection.settimeout(0.1)
        while told and time.monotonic() - start < LONG:  # each byte on its own does not buy time
            try:
                connection.sendall(b"x")
                told = connection.recv(1 << 16)
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert time.monotonic() - start < LONG / 2


def test_one_that_was_refused_makes_room_though_it_sends(data: Path, method_file: str) -> None:
    head = b"POST /v1/shelves/0/photos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n"
    with running(data, method_file, Settings(connections=1), TOKEN) as service, connected(service) as connection:
        connection.sendall(head)
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 401")
        connection.sendall(b"x")
        with Client(service.address) as client:
            assert client.ask("GET", "/healthz").data == b"ok"


@pytest.mark.parametrize(("silence", "gives_way"), [(LONG, False), (0.1, True)])
def test_who_has_not_taken_all_of_an_answer_keeps_its_place_for_a_while(silence: float, gives_way: bool) -> None:
    answer = b"x" * 50_000  # fewer than make the service wait

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        await PlainTextResponse(answer)(scope, receive, send)

    server = server_of(app, Settings(connections=1, silence_seconds=silence), "critical")
    with listening("127.0.0.1", 0) as listener, socket.socket() as slow:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.settimeout(LONG)
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            slow.connect(listener.getsockname())
            slow.sendall(BEGUN + b"\r\n")
            time.sleep(0.5)  # it is answered, and has taken nothing
            with socket.create_connection(listener.getsockname(), LONG) as late:
                late.sendall(BEGUN + b"Connection: close\r\n\r\n")
                assert rest(late).startswith(b"HTTP/1.1 200" if gives_way else b"HTTP/1.1 503")
            slow.settimeout(1)
            assert rest(slow).endswith(answer) != gives_way
        finally:
            server.should_exit = True
            thread.join()
