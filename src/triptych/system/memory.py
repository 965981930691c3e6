"""Memory that the C library keeps, or gives back to the system; and how much there is."""

import ctypes
import os
import sys

__all__ = ["keep_freed_memory", "machine_memory", "return_freed_memory"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h of glibc


def keep_freed_memory() -> None:
    """Ask glibc to keep what is freed, as activations of 100 MB come and go at each step: a third of its time.

    It holds for the whole process, so only commands and training ask for it. Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)


def return_freed_memory() -> None:
    """Ask glibc to give back what is freed: it keeps freed memory for each thread apart, and no thread uses another's.

    It takes milliseconds, which is little after hundreds of megabytes. Other C libraries are left alone.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def machine_memory() -> int | None:
    """Bytes of memory that the machine has; None where the system does not tell.

    >>> from triptych.system.memory import machine_memory
    >>> machine_memory() is None or machine_memory() > 1e6
    True
    """
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
