"""Clients that cost little: they share the processor with the service that they measure."""

import json
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from urllib.request import urlopen

__all__ = ["Asker", "Target"]

_HEAD = "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
_LONG = 120.0  # seconds


@dataclass(frozen=True)
class Target:
    """A server under load.

    Attributes:
        address: such as "http://127.0.0.1:8000".
        path: what is asked.
        process: its first process.
    """

    address: str
    path: str
    process: int

    def answered(self) -> int | None:
        """Photos that it says it has answered; None where it does not say."""
        try:
            with urlopen(f"{self.address}/metrics", timeout=_LONG) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return None
        return next((int(line.split()[1]) for line in lines if line.startswith("triptych_answered_photos_total")), None)


@dataclass
class Asker:
    """One client.

    Attributes:
        took: seconds of each answer.
        busy: how often it was told to wait.
        lost: questions without an answer.
        wrong: answers to another question.
    """

    target: Target
    number: int
    took: list[float] = field(default_factory=list)
    busy: int = 0
    lost: int = 0
    wrong: int = 0

    def until(self, end: float, photos: Sequence[str]) -> "Asker":
        """Ask about one photo, in base64, after the other until it is ``end`` on the clock."""
        turn = 0
        connection = self._connected()
        while time.perf_counter() < end:
            turn += 1
            name, start = f"{self.number}-{turn}", time.perf_counter()
            try:
                connection.sendall(self._request(name, photos[(self.number + turn) % len(photos)]))
                status, wait, body = _response(connection)
            except OSError:
                self.lost += 1
                connection.close()
                connection = self._connected()
                continue
            if status == 503:
                self.busy += 1
                time.sleep(wait)
                continue
            self.lost += status != 200
            if status == 200:
                self.took.append(time.perf_counter() - start)
                answers = json.loads(body)["answers"]
                self.wrong += [answer["image"] for answer in answers] != [name]
        connection.close()
        return self

    def _connected(self) -> socket.socket:
        parts = urlsplit(self.target.address)
        connection = socket.create_connection((parts.hostname or "", parts.port or 80), _LONG)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _request(self, name: str, photo: str) -> bytes:
        body = f'{{"photos": [{{"name": "{name}", "data": "{photo}"}}]}}'
        host = urlsplit(self.target.address).netloc
        return (_HEAD.format(path=self.target.path, host=host, length=len(body)) + body).encode()


def _response(connection: socket.socket) -> tuple[int, float, bytes]:
    """Status, seconds to wait, and body of a response with a length; nothing may come after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    length = int(headers["content-length"])
    while len(body) < length:
        body += _received(connection)
    if len(body) > length:
        raise OSError("an answer to no question")
    return int(lines[0].split()[1]), float(headers.get("retry-after", 0)), body


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise OSError("the connection was closed")
    return data
