"""How many threads the linear algebra behind NumPy and SciPy uses."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import RLock

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]

_turn = RLock()  # the number is the whole process's: two blocks that overlap would put back the wrong one


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Within, NumPy and SciPy multiply on one thread; for many small products, such as those of an iterative solver.

    OpenBLAS's threads wait for each other by spinning. On a machine that does other work too, a logistic regression of
    1,200 photos takes 20 times the processor time with two threads. Blocks in several threads take turns. OpenBLAS
    listens to the main thread alone: in another one its number stays.

    >>> from triptych.system.blas import one_blas_thread
    >>> with one_blas_thread():
    ...     pass
    """
    with _turn, _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()  # it looks for them once, in a few milliseconds
