"""Changing a .triptych file: one process at a time, and whole or not at all."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

from triptych.bank import is_bank
from triptych.recognizer.estimator import Recognizer
from triptych.recognizer.file import check_file
from triptych.system.locks import turn_to_write

__all__ = ["changing"]


@contextmanager
def changing(path: str | PathLike[str], device: str = "cpu") -> Iterator[Recognizer]:
    """Read a file, let the caller change the recogniser, and write it back; after an error the file is as it was.

    Processes that change the same file take turns, so that no change is lost. Meanwhile an empty file lies
    beside it, ``.NAME.lock``. A bank changes in place: each call of ``add`` or ``remove`` is one change.

    Raises:
        ValueError: as ``Recognizer.load``.
        OSError: the file or its lock cannot be written.

    Examples:
        >>> import tempfile
        >>> import numpy as np
        >>> from triptych import Recognizer
        >>> from triptych.recognizer import changing
        >>> grey = [np.full((90, 90, 3), 80 * i, np.uint8) for i in range(3)]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Recognizer().fit(grey[:2], ["black", "grey"]).save(f"{folder}/tones.triptych")
        ...     with changing(f"{folder}/tones.triptych") as recognizer:
        ...         recognizer = recognizer.add(grey[2:], "light")
        ...     Recognizer.load(f"{folder}/tones.triptych").classes_.tolist()
        ['black', 'grey', 'light']
    """
    if is_bank(path):  # whose classes change in place, each whole or not at all
        yield Recognizer.load(path, device)
        return
    check_file(path)  # says what is wrong, and leaves no lock behind
    target = Path(path).resolve()  # a link keeps pointing to the file
    with turn_to_write(target):
        recognizer = Recognizer.load(target, device)
        yield recognizer
        recognizer.save(target)
