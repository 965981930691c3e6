"""Who may ask, and how often: checked before a request reaches anything else."""

import asyncio
import hmac
import ipaddress
import time
from collections import OrderedDict
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from triptych.serve.problems import Problem, response
from triptych.serve.settings import LOOPBACK, Settings

__all__ = ["COOKIE", "POLICY", "Buckets", "Guard"]

COOKIE = "triptych_token"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}
_OPEN = ("/healthz", "/readyz", "/v1/session")  # besides the page, which holds nothing of anybody
_SAFE = {"GET", "HEAD", "OPTIONS"}
_UPLOADS = ("/photos", "/predict", "/explain", "/load")  # what they read, they bound themselves
_SMALL = 1 << 17  # bytes of any other request
_BURST = 4.0  # seconds of requests that may come at once
_CLIENTS = 4096


class Buckets:
    """How many requests each client has left; a few thousand clients are remembered.

    >>> from triptych.serve.guard import Buckets
    >>> buckets = Buckets(rate=1.0, burst=2.0)
    >>> [buckets.wait("somebody", now) for now in (0.0, 0.0, 0.0, 1.0)]
    [0.0, 0.0, 1.0, 0.0]
    """

    def __init__(self, rate: float, burst: float) -> None:
        self.rate, self.burst = rate, burst
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str, now: float) -> float:
        """Take one; seconds until there is one where there is none."""
        left, before = self._left.pop(client, (self.burst, now))
        left = min(self.burst, left + (now - before) * self.rate)
        taken = left >= 1
        self._left[client] = (left - 1 if taken else left, now)
        while len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if taken else (1 - left) / self.rate


class Guard:
    """Around an application: names of the host, origins, the token, the rate, and headers that close the page.

    Args:
        app: the application.
        settings: bounds.
        token: what clients must show; None where only this machine can ask.
        hosts: names by which the service may be called, besides those of this machine and bare addresses.
    """

    def __init__(self, app: ASGIApp, settings: Settings, token: str | None, hosts: Collection[str] = ()) -> None:
        self._app, self._token, self._settings = app, token, settings
        self._hosts = {name.lower() for name in hosts} | LOOPBACK
        rates = (settings.changes_per_second, settings.reads_per_second)
        self._changes, self._reads = (Buckets(rate, max(1.0, rate * _BURST)) for rate in rates)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._check(scope)
        except Problem as problem:
            await response(problem)(scope, receive, closed)
            return
        await self._app(scope, self._patient(receive), closed)

    def _patient(self, receive: Receive) -> Receive:
        """A client that owes a part of its request and sends nothing for long, or never ends, has gone."""
        owes, end = True, time.monotonic() + self._settings.upload_seconds

        async def received() -> Message:
            nonlocal owes
            try:
                patience = min(self._settings.silence_seconds, max(end - time.monotonic(), 0.001))
                async with asyncio.timeout(patience if owes else None):
                    message = await receive()
            except TimeoutError:
                return {"type": "http.disconnect"}
            owes = message.get("more_body", False)
            return message

        return received

    def _check(self, scope: Scope) -> None:
        headers, method = Headers(scope=scope), scope["method"]
        self._check_head(scope)
        self._check_rate(scope, method)
        self._check_host(headers)
        if method not in _SAFE:
            _check_origin(headers)
            _check_size(headers, method, scope["path"])
        path = scope["path"]
        if self._token is not None and path not in _OPEN and (path.startswith("/v1") or path == "/metrics"):
            self._check_token(headers)

    def _check_head(self, scope: Scope) -> None:
        """A head that comes in one piece is read whole, however long it is."""
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        size += sum(len(name) + len(value) for name, value in scope["headers"])
        if size > 1000 * self._settings.head_kilobytes:
            raise Problem(
                431, "head-too-large", f"a head of {size} bytes; expected at most {self._settings.head_kilobytes:g} kB"
            )

    def _check_rate(self, scope: Scope, method: str) -> None:
        client = scope["client"][0] if scope.get("client") else ""
        buckets = self._reads if method in _SAFE else self._changes
        if wait := buckets.wait(client, time.monotonic()):
            raise Problem(
                429, "too-many", "too many requests from this client; wait", {"Retry-After": f"{int(wait) + 1}"}
            )

    def _check_host(self, headers: Headers) -> None:
        """A page elsewhere may let its own name point here; then the browser calls the service by that name."""
        given = headers.getlist("host")
        name = (urlsplit(f"//{given[0]}").hostname or "") if len(given) == 1 and _is_plain(given[0]) else ""
        if name in self._hosts or (self._token is not None and _is_address(name)):
            return
        raise Problem(
            421,
            "unknown-host",
            f"the service is not called {name!r:.80}; expected an address of this machine, or a name of --allow-host",
        )

    def _check_token(self, headers: Headers) -> None:
        assert self._token is not None
        if not any(hmac.compare_digest(one.encode(), self._token.encode()) for one in _tokens(headers)):
            raise Problem(
                401, "no-token", "expected the service's token as Authorization: Bearer", {"WWW-Authenticate": "Bearer"}
            )


def _check_size(headers: Headers, method: str, path: str) -> None:
    if method == "POST" and path.endswith(_UPLOADS):  # a class may be called so
        return
    if "transfer-encoding" in headers:
        raise Problem(411, "no-length", "expected a request with Content-Length")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _SMALL:
        raise Problem(413, "too-large", f"a request of {length:.20} bytes; expected at most {_SMALL}")


def _check_origin(headers: Headers) -> None:
    """A page elsewhere can send, though not read; browsers say where what they send comes from."""
    site, origin = headers.get("sec-fetch-site", "none"), headers.get("origin")
    if site in {"cross-site", "same-site"} or (origin is not None and _place(origin) != headers["host"].lower()):
        raise Problem(403, "other-origin", "the request comes from a page of another site; open the service's own page")


def _place(origin: str) -> str | None:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _tokens(headers: Headers) -> list[str]:
    kind, _, given = headers.get("authorization", "").partition(" ")
    found = [given.strip()] if kind.lower() == "bearer" else []
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return found
    return [*found, cookie.value] if cookie is not None else found


def _is_plain(host: str) -> bool:
    try:
        parts = urlsplit(f"//{host}")
        return parts.netloc == host and parts.username is None and (parts.port or 1) > 0
    except ValueError:
        return False


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
