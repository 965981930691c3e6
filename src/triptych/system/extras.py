"""Optional dependencies: imported where they are used, and a missing one says how to install it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["extra", "how_to_install"]


def how_to_install(name: str) -> str:
    """What installs an extra of the package: from a clone of the repository, and from a package index.

    >>> from triptych.system.extras import how_to_install
    >>> how_to_install("plot")
    "pip install '.[plot]' in a clone of triptych, else pip install 'triptych[plot]'"
    """
    return f"pip install '.[{name}]' in a clone of triptych, else pip install 'triptych[{name}]'"


@contextmanager
def extra(name: str, purpose: str) -> Iterator[None]:
    """Around the import of what an extra of the package brings.

    Args:
        name: of the extra.
        purpose: what needs which library, for the message.

    Raises:
        RuntimeError: the library is missing, or something that it needs is.
        MemoryError: it is there, and there is no memory for it.

    >>> from triptych.system.extras import extra
    >>> with extra("plot", "drawing needs matplotlib"):
    ...     import no_such_library
    Traceback (most recent call last):
    RuntimeError: drawing needs matplotlib (No module named 'no_such_library'): pip install '.[plot]' in a clone ...
    """
    if name == "onnx":
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # asked at import; nothing is sent unasked
    try:
        yield
    except ImportError as error:
        if "failed to map segment" in str(error):  # the loader's words for too little memory
            raise MemoryError(str(error)) from error
        raise RuntimeError(f"{purpose} ({error}): {how_to_install(name)}") from error
