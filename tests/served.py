"""A service in a thread of the tests' own process."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from triptych.serve import Shelves, opened
from triptych.serve.app import create_app
from triptych.serve.connections import server_of
from triptych.serve.running import listening
from triptych.serve.settings import Settings


@dataclass(frozen=True)
class Running:
    """A service that answers on this machine."""

    address: str
    shelves: Shelves

    @property
    def host(self) -> str:
        return self.address.split("//")[1]


@contextmanager
def running(
    data: Path, method_file: str, settings: Settings | None = None, token: str | None = None, hosts: Sequence[str] = ()
) -> Iterator[Running]:
    """A service in a thread of this process."""
    with opened(data, method_file) as shelves, listening("127.0.0.1", 0) as listener:
        settings = settings or Settings()
        server = server_of(create_app(shelves, settings, token, hosts), settings, "critical")
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            yield Running(f"http://127.0.0.1:{listener.getsockname()[1]}", shelves)
        finally:
            server.should_exit = True
            thread.join()
