"""Changes of a recogniser by several threads."""

from collections.abc import Callable
from functools import wraps
from threading import Lock, RLock
from typing import ParamSpec, TypeVar

__all__ = ["SWAP", "one_at_a_time"]

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")
SWAP = Lock()  # held while a state takes the place of another, and never longer
_TURN = RLock()  # of the process and not of a recogniser, which must stay something to copy and to pickle


def one_at_a_time(change: Callable[_Arguments, _Result]) -> Callable[_Arguments, _Result]:
    """A method that waits for the changes of other threads, as it starts from what they leave.

    >>> from triptych.recognizer.threads import one_at_a_time
    >>> one_at_a_time(len)("abc")
    3
    """

    @wraps(change)
    def waiting(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with _TURN:
            return change(*args, **kwargs)

    return waiting
