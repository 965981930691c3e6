"""Reading plain files alone, and writing a file whole or not at all."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO

from triptych.system.wording import printable

__all__ = [
    "as_path",
    "check_named",
    "copy_new",
    "expect_free",
    "is_stream",
    "part_beside",
    "plain_path",
    "read_named",
    "read_plain",
    "remove_abandoned",
    "sync_folder",
    "write_whole",
    "writing_whole",
]

_MOST_MB = 200  # of a file that a caller named
_ABANDONED = 3600.0  # seconds after which nobody is writing a part any more
_free: set[str] = set()  # places where nothing lay when a command asked, and that it has not written yet


def as_path(value: Any) -> Path:
    """A path that a caller gave.

    Raises:
        ValueError: it is something else, or what no file system takes for a name.

    >>> from triptych.system.files import as_path
    >>> as_path(5)
    Traceback (most recent call last):
    ValueError: expected a path, got int: 5
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise ValueError(f"expected a path, got {type(value).__name__}: {value!r:.80}")
    try:
        os.lstat(value)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ValueError(f"{printable(value):.60}...: {error.strerror}; give a shorter one") from error
    except ValueError as error:
        what = "a null character" if "\0" in os.fspath(value) else "half of a character"
        raise ValueError(f"expected a path, got one with {what}: {value!r:.80}") from error
    return Path(value)


def is_stream(path: Path) -> bool:
    """Whether something is there that is neither a file nor a folder: a pipe or a device.

    >>> from pathlib import Path
    >>> from triptych.system.files import is_stream
    >>> is_stream(Path("/dev/null")), is_stream(Path("README.md"))
    (True, False)
    """
    return path.exists() and not path.is_file() and not path.is_dir()


def read_plain(path: str | os.PathLike[str]) -> bytes:
    """All of a file. A pipe or a device is not opened: reading it could wait for ever, or never end.

    Raises:
        OSError: missing, not readable, or no plain file.

    >>> from triptych.system.files import read_plain
    >>> read_plain("/dev/null")
    Traceback (most recent call last):
    OSError: [Errno 22] no plain file: '/dev/null'
    """
    return plain_path(path).read_bytes()


def check_named(path: str | os.PathLike[str], expected: str) -> None:
    """Refuse a file that a caller named and that is not there, without opening it.

    Args:
        path: the file.
        expected: what it should be, for the message.

    Raises:
        ValueError: missing, a folder, a pipe or a device.

    >>> from triptych.system.files import check_named
    >>> check_named("none.triptych", "a .triptych file")
    Traceback (most recent call last):
    ValueError: none.triptych: no such file; expected a .triptych file
    """
    path = as_path(path)
    if not os.path.isfile(path):
        what = "a folder" if os.path.isdir(path) else "no plain file" if os.path.lexists(path) else "no such file"
        raise ValueError(f"{printable(path)}: {what}; expected {expected}")


def read_named(path: str | os.PathLike[str], expected: str) -> bytes:
    """All of a file that a caller named.

    Args:
        path: the file.
        expected: what it should be, for the message.

    Raises:
        ValueError: missing, not readable, no plain file, or above 200 MB.

    >>> from triptych.system.files import read_named
    >>> read_named("none.json", "a file that triptych episodes wrote")
    Traceback (most recent call last):
    ValueError: none.json: no such file; expected a file that triptych episodes wrote
    """
    check_named(path, expected)
    try:
        if (size := os.stat(path).st_size) > _MOST_MB * 10**6:
            raise ValueError(f"{printable(path)}: {size / 1e6:.0f} MB; expected {expected}, of at most {_MOST_MB} MB")
        return read_plain(path)
    except OSError as error:
        raise ValueError(f"{printable(path)}: {error.strerror or error}; expected {expected}") from error


def plain_path(path: str | os.PathLike[str]) -> Path:
    """The path of a file that can be read to its end: no pipe and no device.

    Raises:
        OSError: it is one of these.

    >>> from triptych.system.files import plain_path
    >>> plain_path("README.md").name
    'README.md'
    """
    path = as_path(path)
    if is_stream(path):
        raise OSError(errno.EINVAL, "no plain file", str(path))
    return path


def expect_free(path: Path, free: bool) -> None:
    """Let the next ``writing_whole`` at a place refuse to replace what somebody puts there until then, or not.

    >>> from triptych.system.files import expect_free
    >>> expect_free(Path("x.json"), False)
    """
    (_free.add if free else _free.discard)(os.path.abspath(path))


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write beside the place, flush to the disk, and move there: a reader or a crash never sees half a file.

    After it, a crash loses nothing of it.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; the message names the file.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from triptych.system.files import write_whole
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_whole(f"{folder}/x", b"whole")
    ...     [path.name for path in Path(folder).iterdir()]
    ['x']
    """
    with writing_whole(path) as file:
        file.write(data)


@contextmanager
def writing_whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """``write_whole`` bit by bit: the file is there when the block ends, and nothing is when it raises.

    A device or a pipe is written to as it stands: a file in its place would break what reads it.

    Raises:
        ValueError: something was put where ``expect_free`` was told of nothing.
        OSError: as ``write_whole``.
    """
    path = as_path(path)
    try:
        with _stream(path) if is_stream(path) else _replacing(path) as file:
            yield file
    except OSError as error:
        reason = "nothing reads from it; name a file" if error.errno == errno.ENXIO else error.strerror or error
        raise OSError(f"{path}: cannot be written ({reason})") from error


def _stream(path: Path) -> BinaryIO:
    """A device or a pipe to write to. A pipe that nothing reads from is an error: opening it could wait for ever."""
    if os.name == "nt":
        return path.open("wb")
    file = os.fdopen(os.open(path, os.O_WRONLY | os.O_NONBLOCK), "wb")
    os.set_blocking(file.fileno(), True)
    return file


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    part = part_beside(path)
    remove_abandoned(path)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        _move(part, path)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(path.parent)


def _move(part: Path, path: Path) -> None:
    if os.path.abspath(path) not in _free:
        return os.replace(part, path)
    if not _move_new(part, path):
        raise ValueError(f"{printable(path)}: was made meanwhile, and is kept; use --overwrite, or name another file")
    return expect_free(path, False)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk, where the system can.

    >>> from pathlib import Path
    >>> from triptych.system.files import sync_folder
    >>> sync_folder(Path())
    """
    with suppress(OSError):  # Windows opens no folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def copy_new(source: Path, target: Path, part: Path) -> bool:
    """Copy a file with its times, whole or not at all; False if there is something in its place.

    Args:
        source: the file.
        target: its copy.
        part: what the copy is called until it is whole; in the same file system.

    Raises:
        OSError: the source cannot be read, or the copy not written; the message names both.
    """
    try:
        try:
            shutil.copyfile(source, part)
            if not _move_new(part, target):
                return False
            shutil.copystat(source, target)  # not before: a part as old as its source looks abandoned
            return True
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"{source}: cannot be copied to {target} ({error.strerror or error})") from error


def _move_new(part: Path, target: Path) -> bool:
    try:
        os.link(part, target)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        if os.path.lexists(target):
            return False
        os.rename(part, target)
    return True


def part_beside(path: Path) -> Path:
    """What a file is called until it is whole."""
    # A name and not mkstemp, so that the umask applies; reading the umask is not thread-safe.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")


def remove_abandoned(path: Path) -> None:
    """Remove the parts that killed processes have left beside a file."""
    long_ago = time.time() - _ABANDONED
    for part in path.parent.glob(f".{escape(path.name)}.*.part"):
        with suppress(OSError):  # another process may have removed it
            if part.stat().st_mtime < long_ago:
                part.unlink()
