"""A worker of a cluster: it loads the recogniser once, and answers one run of photos after the other."""

import os
import pickle
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych import __version__
from triptych.bank import absolute, is_bank
from triptych.engines.engine import PhotoSet, Question
from triptych.recognizer import Answer, Banked, Recognizer
from triptych.system.devices import usable_device

__all__ = ["COLUMN", "Job", "Worker", "answers_of", "packed"]

COLUMN = "run"  # of a batch: a run of photos on the way to a worker, its answers on the way back
_TOLD: tuple[type[Exception], ...] = (ValueError, OSError, RuntimeError, MemoryError)
_ATTEMPTS = 4  # at a run of photos: whatever ends that many workers would end any other


@dataclass(frozen=True)
class Job:
    """What a worker needs to know.

    Attributes:
        recognizer: its file, or the place of its bank; see ``packed``.
        question: what is asked.
        device: where to compute.
        folder: that the command was called in: names of photos may be relative to it.
        version: of the package that sends the job.
    """

    recognizer: bytes | str
    question: Question
    device: str
    folder: str
    version: str = __version__


class Worker:
    """What Ray Data makes one of in each process of a pool.

    Args:
        fetch: gives the job.
        begun: counts the attempts at the run with a number, and says how many there were, with this one.
    """

    def __init__(self, fetch: Callable[[], Job], begun: Callable[[int], int]) -> None:
        self._job, self._begun = fetch(), begun
        self._recognizer: Recognizer | None = None

    def __call__(self, batch: Any) -> Any:
        """Answer the runs of a batch, a table of Arrow."""
        import pyarrow as pa

        answers = [self._packed(*pickle.loads(one)) for one in batch[COLUMN].to_pylist()]
        return pa.table({COLUMN: pa.array(answers, pa.large_binary())})

    def _packed(self, number: int, photos: PhotoSet) -> bytes:
        """The answers to a run, or why there are none: what is raised here, Ray tells in its own words."""
        try:
            return pickle.dumps(self._answers(number, photos))
        except _TOLD as error:
            kind = next(kind for kind in _TOLD if isinstance(error, kind))
            return pickle.dumps(kind(str(error)))

    def _answers(self, number: int, photos: PhotoSet) -> list[Answer]:
        if self._begun(number) > _ATTEMPTS:
            first, last = photos.names[0], photos.names[-1]
            raise RuntimeError(f"{_ATTEMPTS} workers died of the photos {first} to {last}; find the one and remove it")
        if self._recognizer is None:
            self._recognizer = self._load()
            photos.refuse_unreachable()
        return list(self._job.question.ask(self._recognizer, photos.sources()))

    def _load(self) -> Recognizer:
        job = self._job
        if job.version != __version__:
            raise RuntimeError(
                f"{socket.gethostname()} has triptych {__version__}, and {job.version} asks; install the same on all "
                "machines"
            )
        with suppress(OSError):  # a machine without that folder may read other places
            os.chdir(job.folder)
        device = str(usable_device(job.device))
        if isinstance(job.recognizer, str):
            if not is_bank(job.recognizer):
                raise RuntimeError(
                    f"{socket.gethostname()} does not see the bank {job.recognizer}; put it where all machines see it"
                )
            return Recognizer.load(job.recognizer, device)
        with tempfile.TemporaryDirectory() as place:
            file = Path(place) / "shelf.triptych"
            file.write_bytes(job.recognizer)
            return Recognizer.load(file, device)


def answers_of(packed: bytes) -> list[Answer]:
    """The answers that a worker sent back.

    Raises:
        ValueError, OSError, RuntimeError, MemoryError: as the worker did.
    """
    found = pickle.loads(packed)
    if isinstance(found, Exception):
        raise found
    return found


def packed(recognizer: Recognizer) -> bytes | str:
    """A recogniser as its file holds it; of one in a bank the place, which each worker reads by itself."""
    known = recognizer.known_
    if isinstance(known, Banked):
        return absolute(known.bank.place)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "shelf.triptych"
        recognizer.save(file)
        return file.read_bytes()
