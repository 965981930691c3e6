"""One client's connection, in bounds of time: a client that is slow, or sends nothing, makes room for others."""

import asyncio
import time
from typing import Any, ClassVar

import h11
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from triptych.serve.settings import Settings

__all__ = ["Connection", "server_of"]

_GRACE = 60  # seconds to finish in
_TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_FULL = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"


def server_of(app: ASGIApp, settings: Settings, log_level: str = "warning") -> uvicorn.Server:
    """A server of an application within bounds."""
    config = uvicorn.Config(
        app,
        http=_within(settings),
        ws="none",
        log_level=log_level,
        access_log=False,
        server_header=False,
        h11_max_incomplete_event_size=int(1000 * settings.head_kilobytes),
        timeout_keep_alive=settings.idle_seconds,  # type: ignore[arg-type]  # any number will do
        timeout_graceful_shutdown=_GRACE,
    )
    return uvicorn.Server(config)


def _within(settings: Settings) -> type["Connection"]:
    return type("BoundedConnection", (Connection,), {"settings": settings})


class Connection(H11Protocol):
    """A connection of ``server_of``, which gives it its bounds.

    The head of a request must come in time, and what is answered must be taken in time. With too many connections the
    one that has waited longest without asking is closed.
    """

    settings: ClassVar[Settings] = Settings()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.silent_since = time.monotonic()
        self._head: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    @property
    def asks(self) -> bool:
        """Whether it has sent the head of a request that is not answered yet; a body that is owed after it is none."""
        return self.conn.our_state in {h11.SEND_RESPONSE, h11.SEND_BODY}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take it, and give it a time to ask."""
        super().connection_made(transport)
        if len(self.connections) > self.settings.connections:
            silent = [one for one in self.connections if isinstance(one, Connection) and one.may_go(self)]
            if not silent:
                self._end(_FULL)
                return
            min(silent, key=lambda one: one.silent_since).transport.abort()
        self._expect_head()

    def may_go(self, other: "Connection") -> bool:
        """Whether it can be closed for another: it has taken its answer, or has had long enough for it."""
        if self is other or self.asks:
            return False
        if self.transport.get_write_buffer_size():
            return time.monotonic() - self.silent_since > self.settings.silence_seconds
        return not self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        """Read on; a head that has begun, or a body that is owed after the answer, must end."""
        super().data_received(data)
        if self.asks:
            self._head = _stopped(self._head)
            self.silent_since = time.monotonic()
        elif self._head is None:
            self._expect_head()

    def on_response_complete(self) -> None:
        """It is silent from now on."""
        self.silent_since = time.monotonic()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """The client takes nothing: not for long."""
        super().pause_writing()
        loop = asyncio.get_running_loop()
        self._reading = loop.call_later(self.settings.silence_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        super().resume_writing()
        self._reading = _stopped(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over."""
        self._head, self._reading = _stopped(self._head), _stopped(self._reading)
        super().connection_lost(exc)

    def _expect_head(self) -> None:
        self._head = asyncio.get_running_loop().call_later(self.settings.head_seconds, self._end, _TOO_SLOW)

    def _end(self, why: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(why)
            self.transport.close()


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """No timer any more."""
    if timer is not None:
        timer.cancel()
    return None
