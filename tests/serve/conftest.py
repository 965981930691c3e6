"""Shelves of a small method, so that nothing takes long."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import small_method

from triptych import save_method
from triptych.serve import Shelf, Shelves, opened


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
