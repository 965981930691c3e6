"""The service as a process: one that listens, and ends in good order."""

import signal
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import FrameType

from triptych.serve.settings import LOOPBACK, Settings
from triptych.serve.shelves import opened
from triptych.system.extras import extra
from triptych.weights import DEFAULT

__all__ = ["LEAST_TOKEN", "check_token", "listening", "serve"]

LEAST_TOKEN = 16  # characters
_BACKLOG = 512  # connections that wait


def serve(
    data: Path,
    file: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
    token: str | None = None,
    hosts: Collection[str] = (),
    method: str = DEFAULT,
    device: str = "cpu",
    settings: Settings = Settings(),  # noqa: B008 (frozen)
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve the shelves of a data directory until the process is told to end.

    Args:
        data: the directory; one process at a time.
        file: a ``.triptych`` file to have on a shelf.
        host: where to listen.
        port: 0 for any.
        token: what clients must show; needed unless ``host`` is this machine's own.
        hosts: names of the service besides addresses.
        method: what new shelves recognise by.
        device: where to compute.
        settings: bounds.
        ready: is called with the address once it listens.

    Raises:
        RuntimeError: the extra is not installed, or another process has the directory.
        ValueError: no token where one is needed.
        OSError: the address is taken.
    """
    check_token(host, token, hosts)
    with extra("serve", "the service needs FastAPI and uvicorn"):
        import uvicorn  # noqa: F401 (where it is missing, that is told here)

        from triptych.serve.app import create_app
        from triptych.serve.connections import server_of
    with closing(listening(host, port)) as listener, opened(data, method, device) as shelves, _ending():
        shelves.warm()
        shown = "" if file is None else f"#{shelves.load(file).id}"
        server = server_of(create_app(shelves, settings, token, hosts), settings)
        ready(f"{_address(host, listener)}/{shown}")
        server.run(sockets=[listener])


def check_token(host: str, token: str | None, hosts: Collection[str] = ()) -> None:
    """Refuse to serve others without a token.

    Raises:
        ValueError: none, or one that can be guessed.

    >>> from triptych.serve.running import check_token
    >>> check_token("0.0.0.0", None)
    Traceback (most recent call last):
    ValueError: --host 0.0.0.0 lets others ask: set a token of 16 characters or more in TRIPTYCH_TOKEN or --token-file
    """
    if (host not in LOOPBACK or hosts) and token is None:
        option = f"--host {host}" if host not in LOOPBACK else f"--allow-host {next(iter(hosts))}"
        raise ValueError(
            f"{option} lets others ask: set a token of {LEAST_TOKEN} characters or more in TRIPTYCH_TOKEN "
            "or --token-file"
        )
    if token is not None and (len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable()):
        raise ValueError(f"the token has {len(token)} characters; expected {LEAST_TOKEN} plain ones or more")


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens; its answers are sent at once.

    Raises:
        OSError: the address is taken, or none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        made = socket.create_server((host.strip("[]"), port), family=family, backlog=_BACKLOG)
    except OSError as error:
        why = error.strerror or error
        raise OSError(f"{host}:{port}: cannot listen ({why}); choose another --port or --host") from error
    # asyncio switches Nagle's delay of 40 ms off only where it sees that the socket is of TCP.
    return socket.socket(family, made.type, socket.IPPROTO_TCP, made.detach())


def _address(host: str, listener: socket.socket) -> str:
    return f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"


@contextmanager
def _ending() -> Iterator[None]:
    """Being told to end is no error; what was begun is finished."""

    def end(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, before)
