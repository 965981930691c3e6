"""A killed process, or a full disk, loses no photo that was acknowledged."""

import itertools
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import Queue

import numpy as np
import pytest
from PIL import Image
from shelved import png, settled

from triptych.serve import opened
from triptych.serve.client import Client, ServiceError

_UPLOADS = """
import itertools, sys
sys.path += sys.argv[4:]
from shelved import png, put
from triptych.serve import opened
with opened(sys.argv[1], sys.argv[2]) as shelves:
    shelf = shelves.get(sys.argv[3])
    first = 1 + max([int(entry.name.split("-")[1][:-4]) for entry in shelf.index.photos.values()], default=-1)
    for number in itertools.count(first):
        for kind, label in enumerate(("apple", "pear")):
            for photo in put(shelf, label, [png(kind, number)]).added:
                print(photo, flush=True)
        if number % 5 == 4:
            photo = shelf.index.ids("apple")[0]
            shelf.change(lambda index: index.with_moved([photo], "pear"))
"""


@pytest.mark.slow
@pytest.mark.parametrize("keep", [True, False])
def test_no_acknowledged_photo_is_lost(data: Path, method_file: str, keep: bool) -> None:
    rng = np.random.default_rng(keep)
    with opened(data, method_file) as shelves:
        shelf = shelves.create("fruit", keep)
        for label in ("apple", "pear"):
            shelf.change(lambda index, label=label: index.with_class(label))
    told: set[str] = set()
    for _ in range(4):
        arguments = [str(data), method_file, shelf.id, *sys.path]
        with subprocess.Popen([sys.executable, "-c", _UPLOADS, *arguments], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            told |= {child.stdout.readline().strip() for _ in range(rng.integers(6, 30))}
            child.kill()
            told |= {line.strip() for line in child.stdout if len(line) == 33}
    with opened(data, method_file) as shelves:
        found = shelves.get(shelf.id)
        learnt = settled(found)
        assert len(told) > 20
        assert told <= set(found.index.photos)
        assert learnt.lost == ()
        assert {photo for kept in learnt.support.values() for photo in kept.ids} == set(found.index.photos)


@contextmanager
def served(
    data: Path, method_file: str, first: Callable[[], None] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``triptych serve`` as a process of its own, and its address; ``first`` is called in it."""
    options = f"-m triptych.cli serve --port 0 --data {data} --method {method_file} --changes-per-second 100000"
    command = [sys.executable, *options.split(), "--reads-per-second", "100000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=first) as child:
        try:
            assert child.stdout is not None
            yield child, child.stdout.readline().split()[2].rstrip("/")
        finally:
            child.kill()


def upload(address: str, shelf: str, label: str, kind: int, first: int, told: Queue[str]) -> None:
    """Upload until the service is gone, and tell the id of each photo that it acknowledged."""
    with Client(address) as client:
        for number in itertools.count(first):
            try:
                (photo,) = client.add_photos(shelf, label, [png(kind, number)])["added"]
            except OSError:
                return
            told.put(photo)


@pytest.mark.slow
def test_a_service_killed_in_a_loop_of_uploads_has_every_acknowledged_photo(data: Path, method_file: str) -> None:
    rng, told, shelf = np.random.default_rng(0), set[str](), ""
    for turn in range(2):
        with served(data, method_file) as (child, address), ThreadPoolExecutor(2) as pool:
            with Client(address) as client:
                if not shelf:
                    shelf = client.create_shelf("fruit")["id"]
                    for label in ("apple", "pear"):
                        client.create_class(shelf, label)
                there = {one["id"] for kind in client.shelf(shelf)["classes"] for one in kind["photos"]}
                assert told <= there
            news: Queue[str] = Queue()
            clients = [
                pool.submit(upload, address, shelf, label, kind, 1000 * turn, news)
                for kind, label in enumerate(("apple", "pear"))
            ]
            told |= {news.get() for _ in range(rng.integers(12, 40))}
            child.kill()
            for one in clients:
                one.result(60)
            while not news.empty():
                told.add(news.get())
    with opened(data, method_file) as shelves:
        found = shelves.get(shelf)
        assert settled(found).lost == ()
        assert len(told) > 20
        assert told <= set(found.index.photos)
        assert all(found.folder.has_photo(one) for one in told)


@pytest.mark.slow
def test_a_photo_for_which_there_is_no_room_changes_nothing(data: Path, method_file: str, tmp_path: Path) -> None:
    most = 100_000  # bytes of a file; the system refuses to write more, as a full disk does

    def small() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    noise.save(tmp_path / "large.png")
    with served(data, method_file, small) as (_, address), Client(address) as client:
        shelf = client.create_shelf("fruit")["id"]
        client.create_class(shelf, "apple")
        kept = client.add_photos(shelf, "apple", [png(0, 0)])["added"]
        before = client.shelf(shelf)
        with pytest.raises(ServiceError, match="the disk is full; nothing was changed") as caught:
            client.add_photos(shelf, "apple", [png(0, 1), tmp_path / "large.png"])
        assert caught.value.status == 507
        assert client.shelf(shelf) == before
        assert list((data / shelf / "incoming").iterdir()) == []
        kept += client.add_photos(shelf, "apple", [png(0, 1)])["added"]  # it goes on
        assert [one["id"] for one in client.shelf(shelf)["classes"][0]["photos"]] == kept
