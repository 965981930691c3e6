"""Permissions hold for everybody but root, so root becomes somebody else for a moment."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

__all__ = ["as_nobody", "open_place"]

_NOBODY = 65534


@contextmanager
def open_place() -> Iterator[Path]:
    """A folder that everybody may read; those of pytest are its user's alone."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    try:
        yield place
    finally:
        shutil.rmtree(place)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's rights; who is not root has none to lose."""
    if not hasattr(os, "geteuid"):
        pytest.skip("a system without users")
    user = os.geteuid()
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
