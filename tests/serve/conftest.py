"""Shelves of a small method, so that nothing takes long."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import small_method
from served import Running, running
from shelved import png

from triptych import save_method
from triptych.serve import Shelf, Shelves, opened
from triptych.serve.client import Client


@pytest.fixture(scope="session")
def method_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A method that has learnt nothing and takes no time."""
    path = tmp_path_factory.mktemp("method") / "small.safetensors"
    save_method(small_method("pixel", "part"), path)
    return str(path)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def shelves(data: Path, method_file: str) -> Iterator[Shelves]:
    with opened(data, method_file) as found:
        yield found


@pytest.fixture
def shelf(shelves: Shelves) -> Shelf:
    """Two classes without photos, whose photos are kept."""
    shelf = shelves.create("fruit", keep_photos=True)
    for label in ("apple", "pear"):
        shelf.change(lambda index, label=label: index.with_class(label))
    return shelf


@pytest.fixture
def service(data: Path, method_file: str) -> Iterator[Running]:
    with running(data, method_file) as found:
        yield found


@pytest.fixture
def client(service: Running) -> Iterator[Client]:
    with Client(service.address) as found:
        yield found


@pytest.fixture
def fruit(client: Client) -> str:
    """A shelf with three photos in each of two classes; its id."""
    id = client.create_shelf("fruit", keep_photos=True)["id"]
    for kind, label in enumerate(("apple", "pear")):
        client.create_class(id, label)
        client.add_photos(id, label, [png(kind, number) for number in range(3)])
    client.state(id, client.shelf(id)["revision"], settled=True, seconds=60)
    return id
