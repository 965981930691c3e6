"""What waits for threads, and the threads that work it off."""

import time
from collections.abc import Callable, Collection
from threading import Condition, Thread
from typing import Generic, TypeVar

__all__ = ["Inbox"]

_Item = TypeVar("_Item")


class Inbox(Generic[_Item]):
    """Items in the order in which they come, each once however often it is put, and one thread that works on them.

    Args:
        name: of the thread.
        work: what the thread does with some items; it catches its own errors.
        batch: how many it takes at once, at most.
        gather: seconds that the first of fewer waits for others, while ``more`` of them may come.
        more: whether others may come soon.

    >>> from triptych.serve.inbox import Inbox
    >>> done = []
    >>> inbox = Inbox("example", done.extend, batch=2)
    >>> inbox.put(["a", "b", "c"])
    True
    >>> inbox.end()
    >>> done
    ['a', 'b', 'c']
    """

    def __init__(
        self,
        name: str,
        work: Callable[[list[_Item]], None],
        batch: int = 1,
        gather: float = 0.0,
        more: Callable[[], bool] = lambda: True,
    ) -> None:
        self._work, self._batch, self._gather, self._more = work, batch, gather, more
        self._waiting: dict[_Item, None] = {}
        self._news, self._ending = Condition(), False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def __len__(self) -> int:
        """How many items wait."""
        return len(self._waiting)

    @property
    def ending(self) -> bool:
        """Whether it takes nothing new."""
        return self._ending

    def put(self, items: Collection[_Item], most: int | None = None) -> bool:
        """Let items wait, all or none; whether they do.

        Args:
            items: what waits.
            most: items that may wait, unless none does yet; None for any number.
        """
        with self._news:
            full = most is not None and self._waiting and len(self._waiting) + len(items) > most
            if self._ending or full:
                return False
            self._waiting |= dict.fromkeys(items)
            self._news.notify()
            return True

    def end(self) -> None:
        """Work off what waits, and end."""
        with self._news:
            self._ending = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while items := self._taken():
            self._work(items)

    def _taken(self) -> list[_Item]:
        """The next items; none at the end."""
        with self._news:
            self._news.wait_for(lambda: self._waiting or self._ending)
            until = time.monotonic() + self._gather
            while len(self._waiting) < self._batch and not self._ending and self._more():
                if (left := until - time.monotonic()) <= 0:
                    break
                self._news.wait(left)
            taken = list(self._waiting)[: self._batch]
            for item in taken:
                del self._waiting[item]
            return taken
