"""Optional dependencies: imported where they are used, and a missing one says how to install it."""

from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["extra"]


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Around the import of what an extra of the package brings.

    Args:
        name: of the extra.
        purpose: what needs which library, for the message.

    Raises:
        RuntimeError: the library is missing, or something that it needs is.

    >>> from triptych.system.extras import extra
    >>> with extra("plot", "drawing needs matplotlib"):
    ...     import no_such_library
    Traceback (most recent call last):
    RuntimeError: drawing needs matplotlib (No module named 'no_such_library'): pip install 'triptych[plot]'
    """
    try:
        yield
    except ImportError as error:
        raise RuntimeError(f"{purpose} ({error}): pip install 'triptych[{name}]'") from error
