"""Two threads that keep shelves learnt: one answers to changes at once, the other takes its time."""

import logging
from collections.abc import Callable

from triptych.serve.inbox import Inbox
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
        self._slow = Inbox("triptych-calibrate", self._calibrate)
        self._fast = Inbox("triptych-learn", self._learn)

    def put(self, shelf: Shelf) -> None:
        """A shelf that has changed; what was wrong with an earlier state of it is forgotten."""
        self.forget(shelf.id)
        self._fast.put([shelf])

    def forget(self, id: str) -> None:
        """Tell no trouble of a shelf any more."""
        self.trouble.pop(id, None)

    def stop(self) -> None:
        """Finish what has been put, and end."""
        self._fast.end()
        self._slow.end()

    def _learn(self, shelves: list[Shelf]) -> None:
        for shelf in shelves:
            if self._done(shelf, shelf.learn):
                self._slow.put([shelf])

    def _calibrate(self, shelves: list[Shelf]) -> None:
        for shelf in shelves:
            self._done(shelf, shelf.calibrate)

    def _done(self, shelf: Shelf, work: Callable[[], None]) -> bool:
        """Do something with a shelf; whether it could be done."""
        try:
            work()
        except Exception as error:  # the thread must go on for other shelves
            self.trouble[shelf.id] = str(error) or type(error).__name__
            _log.exception("shelf %s: not learnt", shelf.id)
            return False
        self.trouble.pop(shelf.id, None)
        return True
