"""What the routes share, and the steps that several of them take."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter, to_thread

from triptych.serve.batching import Batcher
from triptych.serve.index import Index
from triptych.serve.learnt import Learnt
from triptych.serve.metrics import Metrics
from triptych.serve.problems import Problem
from triptych.serve.settings import Settings
from triptych.serve.shelf import Shelf
from triptych.serve.shelves import Shelves
from triptych.serve.uploads import Room

__all__ = ["Service", "etag", "revision_of"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
_DISK_THREADS, _EVIDENCE_THREADS, _WAITING_THREADS = 8, 2, 256


@dataclass
class Service:
    """The shelves and what stands before them."""

    shelves: Shelves
    settings: Settings
    token: str | None
    batcher: Batcher
    room: Room
    metrics: Metrics = field(default_factory=Metrics)

    @classmethod
    def of(cls, shelves: Shelves, settings: Settings, token: str | None) -> "Service":
        """With a queue and counters of its own."""
        batcher = Batcher(settings.batch, settings.gather_milliseconds / 1e3, settings.queue)
        return cls(shelves, settings, token, batcher, Room(settings.memory_megabytes * 1e6))

    def __post_init__(self) -> None:
        self.disk, self.evidence = CapacityLimiter(_DISK_THREADS), CapacityLimiter(_EVIDENCE_THREADS)
        self.waiting = CapacityLimiter(_WAITING_THREADS)

    async def on_disk(self, work: Callable[[], _Result]) -> _Result:
        """Do in a thread what waits for the disk, a few at once."""
        return await to_thread.run_sync(work, limiter=self.disk)

    async def shelf(self, id: str) -> Shelf:
        """A shelf; without a thread where it is the one that was asked for last."""
        last = self.shelves.last
        return last if last is not None and last.id == id else await self.on_disk(lambda: self.shelves.get(id))

    async def learnt(self, shelf: Shelf, revision: int | None, settled: bool = False, seconds: float = 60) -> Learnt:
        """What is learnt of a state, which is waited for; None for what there is."""
        known = shelf.in_memory
        if revision is None:
            return known if known is not None else await self.on_disk(lambda: shelf.learnt)
        if revision > shelf.index.revision:
            told = (
                f"the shelf is at revision {shelf.index.revision}, not {revision}; read it again, or leave revision out"
            )
            raise Problem(409, "no-such-revision", told)
        if known is not None and known.revision >= revision and not settled:
            return known
        return await to_thread.run_sync(lambda: shelf.wait(revision, seconds, settled), limiter=self.waiting)

    def check_disk(self) -> None:
        """Refuse uploads before the disk is full.

        Raises:
            Problem: too little of it is free.
        """
        with suppress(OSError):
            if shutil.disk_usage(self.shelves.folder).free < self.settings.free_megabytes * 1e6:
                raise Problem(507, "disk-full", "the disk is all but full; make room and try again")

    def bounded(self, index: Index) -> Index:
        """A state, if it is within the bounds of a shelf.

        Raises:
            Problem: too many classes or photos.
        """
        settings = self.settings
        if len(index.classes) > settings.shelf_classes:
            raise Problem(409, "shelf-full", f"a shelf holds at most {settings.shelf_classes} classes")
        if len(index.photos) > settings.shelf_photos:
            raise Problem(409, "shelf-full", f"a shelf holds at most {settings.shelf_photos} photos")
        return index


def etag(index: Index) -> str:
    """The ETag of a state of a shelf."""
    return f'"{index.revision}"'


def revision_of(if_match: str | None) -> int | None:
    """The revision that an If-Match names; None where any will do.

    Raises:
        Problem: it is none that this service gave.

    >>> from triptych.serve.service import revision_of
    >>> revision_of('"12"'), revision_of("*"), revision_of(None)
    (12, None, None)
    """
    if if_match is None or if_match.strip() == "*":
        return None
    given = if_match.strip().strip('"')
    if not (given.isascii() and given.isdigit() and len(given) < 20):
        raise Problem(412, "changed-meanwhile", f"If-Match is {if_match!r:.80}; expected the ETag of the shelf")
    return int(given)
