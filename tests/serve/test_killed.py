"""A killed process loses no photo that it has acknowledged."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from shelved import settled

from triptych.serve import opened

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
            told.add(child.stdout.readline().strip())
            time.sleep(rng.uniform(0.05, 2.0))
            child.kill()
            told |= {line.strip() for line in child.stdout if len(line) == 33}
    with opened(data, method_file) as shelves:
        found = shelves.get(shelf.id)
        learnt = settled(found)
        assert len(told) > 20
        assert told <= set(found.index.photos)
        assert learnt.lost == ()
        assert {photo for kept in learnt.support.values() for photo in kept.ids} == set(found.index.photos)
