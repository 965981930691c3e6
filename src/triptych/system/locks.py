"""Turns at writing a file, between processes."""

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

__all__ = ["turn_to_write"]

_SHORT = 2.0  # seconds to wait without a word


@contextmanager
def turn_to_write(path: str | os.PathLike[str], wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, ``.NAME.lock`` beside it, which goes with it; its holder's death frees it.

    Args:
        path: the file.
        wait: until another process gives it back, after a warning; else it is an error.

    Raises:
        RuntimeError: another process holds it, and ``wait`` is false.
        OSError: the folder is not writable; the message names the file.
    """
    path = Path(path)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=_SHORT if wait else 0)
    except Timeout:
        if not wait:
            raise RuntimeError(f"{path}: another process is writing it; wait until it has ended") from None
        warnings.warn(f"{path}: waiting for another process that is changing it", stacklevel=4)
        lock.acquire()
    except OSError as error:
        raise OSError(f"{path}: cannot be locked ({error.strerror or error})") from error
    try:
        yield
    finally:
        # Who waits for a removed file begins anew with the next one: filelock looks, once it holds the lock.
        with suppress(OSError):  # Windows removes no open file
            os.unlink(lock.lock_file)
        lock.release()
