"""Two threads that keep shelves learnt: one answers to changes at once, the other takes its time."""

import logging
from collections.abc import Callable
from threading import Condition, Thread

from triptych.serve.shelf import Shelf

__all__ = ["Learner"]

_log = logging.getLogger(__name__)


class Learner:
    """Learns what has changed, then calibrates and saves it.

    >>> from triptych.serve.learner import Learner
    >>> learner = Learner()
    >>> learner.stop()
    """

    def __init__(self) -> None:
        self.trouble: dict[str, str] = {}  # id of a shelf -> why it could not be learnt or saved
        self._slow = _Worker("triptych-calibrate", self._doing(Shelf.calibrate))
        self._fast = _Worker("triptych-learn", self._doing(Shelf.learn, self._slow.put))

    def put(self, shelf: Shelf) -> None:
        """A shelf that has changed; what was wrong with an earlier state of it is forgotten."""
        self.forget(shelf.id)
        self._fast.put(shelf)

    def forget(self, id: str) -> None:
        """Tell no trouble of a shelf any more."""
        self.trouble.pop(id, None)

    def stop(self) -> None:
        """Finish what has been put, and end."""
        self._fast.stop()
        self._slow.stop()

    def _doing(self, work: Callable[[Shelf], None], after: Callable[[Shelf], None] | None = None) -> Callable:
        def do(shelf: Shelf) -> None:
            try:
                work(shelf)
            except Exception as error:  # the thread must go on for other shelves
                self.trouble[shelf.id] = str(error) or type(error).__name__
                _log.exception("shelf %s: not learnt", shelf.id)
                return
            self.trouble.pop(shelf.id, None)
            if after is not None:
                after(shelf)

        return do


class _Worker:
    """A thread that works on shelves, each once however often it was put meanwhile."""

    def __init__(self, name: str, work: Callable[[Shelf], None]) -> None:
        self._work = work
        self._waiting: dict[str, Shelf] = {}
        self._news, self._ending = Condition(), False
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, shelf: Shelf) -> None:
        with self._news:
            self._waiting[shelf.id] = shelf
            self._news.notify()

    def stop(self) -> None:
        with self._news:
            self._ending = True
            self._news.notify()
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._news:
                self._news.wait_for(lambda: self._waiting or self._ending)
                if not self._waiting:
                    return
                shelf = self._waiting.pop(next(iter(self._waiting)))
            self._work(shelf)
