"""Files of tensors and text that never run code, and writing a file whole or not at all."""

import errno
import json
import os
import secrets
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from triptych.system.memory import machine_memory

__all__ = [
    "as_path",
    "check_packed",
    "copy_new",
    "pack",
    "part_beside",
    "read_packed",
    "read_plain",
    "remove_abandoned",
    "sync_folder",
    "turn_to_write",
    "unpack",
    "write_whole",
    "writing_whole",
]

_KEY = "triptych"
_LONGEST_HEADER = 100_000_000  # of safetensors' own
_SHORT = 2.0  # seconds to wait without a word
_ABANDONED = 3600.0  # seconds after which nobody is writing a part any more


def as_path(value: Any) -> Path:
    """A path that a caller gave.

    Raises:
        ValueError: it is something else.

    >>> from triptych.system.files import as_path
    >>> as_path(5)
    Traceback (most recent call last):
    ValueError: expected a path, got int: 5
    """
    if not isinstance(value, str | os.PathLike) or isinstance(os.fspath(value), bytes):
        raise ValueError(f"expected a path, got {type(value).__name__}: {value!r:.80}")
    return Path(value)


def pack(tensors: Mapping[str, Tensor], format: str, version: int, content: Mapping[str, Any]) -> bytes:
    """Tensors and JSON content as the bytes of a .safetensors file; the same input gives the same bytes."""
    # One entry, as safetensors writes several in random order.
    header = json.dumps({"format": format, "version": version, **content}, sort_keys=True)
    return save(dict(tensors), {_KEY: header})


def unpack(data: bytes, format: str, version: int, name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What ``pack`` wrote; ``name`` is what errors call it.

    Raises:
        ValueError: the bytes are truncated or damaged, of another format, or of a later version than ``version``.
    """
    try:
        tensors = load(data)
        metadata = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")]).get("__metadata__", {})
        content = json.loads(metadata.get(_KEY, "{}"))
    except (SafetensorError, KeyError, ValueError, RecursionError) as error:  # KeyError: a type of numbers of another
        raise ValueError(f"{name}: truncated, damaged or not a {format} file ({error})") from error
    _check_format(content, format, name)
    if not isinstance(content.get("version"), int) or content["version"] > version:
        raise ValueError(f"{name}: written by a newer triptych; update with pip install -U triptych")
    return tensors, content


def read_packed(path: str | os.PathLike[str], format: str) -> bytes:
    """All of a file that ``pack`` wrote; its beginning is looked at before the rest is read.

    A pipe or a device is not opened: reading it could wait for ever, or never end.

    Raises:
        ValueError: the file is not as long as its header says, of another format, or larger than memory.
        OSError: missing, not readable, or no plain file.

    >>> from triptych.system.files import read_packed
    >>> read_packed("/dev/null", "triptych-method")
    Traceback (most recent call last):
    OSError: [Errno 22] no plain file: '/dev/null'
    """
    with _open_packed(path, format) as file:
        file.seek(0)
        return file.read()


def read_plain(path: str | os.PathLike[str]) -> bytes:
    """All of a file. A pipe or a device is not opened: reading it could wait for ever, or never end.

    Raises:
        OSError: missing, not readable, or no plain file.

    >>> from triptych.system.files import read_plain
    >>> read_plain("/dev/null")
    Traceback (most recent call last):
    OSError: [Errno 22] no plain file: '/dev/null'
    """
    return _plain(path).read_bytes()


def _plain(path: str | os.PathLike[str]) -> Path:
    path = as_path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "no plain file", str(path))
    return path


def check_packed(path: str | os.PathLike[str], format: str) -> None:
    """Look at the beginning of a file as ``read_packed`` does, and raise what it raises."""
    _open_packed(path, format).close()


def _open_packed(path: str | os.PathLike[str], format: str) -> BinaryIO:
    path = _plain(path)
    with ExitStack() as held:
        file = held.enter_context(path.open("rb"))
        size = os.fstat(file.fileno()).st_size
        _check_header(file, size, format, str(path))
        memory = machine_memory()
        if memory is not None and size > memory / 2:  # it is held twice while it is read
            raise ValueError(
                f"{path}: {size / 1e9:.1f} GB, more than half of the memory of this machine; expected a smaller file"
            )
        held.pop_all()
        return file


def _check_header(file: BinaryIO, size: int, format: str, name: str) -> None:
    """Refuse, by its first bytes, what is no file of tensors, is cut short, or is of another format."""
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ValueError(f"{name}: truncated, damaged or not a {format} file")
    try:
        header = json.loads(file.read(length))
        content = json.loads((header.pop("__metadata__", None) or {}).get(_KEY, "{}"))
        ends = [one["data_offsets"][1] for one in header.values()]
        whole = all(isinstance(end, int) for end in ends) and 8 + length + max(ends, default=0) == size
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, RecursionError):
        whole, content = False, None
    if not whole:
        raise ValueError(f"{name}: truncated, damaged or not a {format} file")
    _check_format(content, format, name)


def _check_format(content: Any, format: str, name: str) -> None:
    if not isinstance(content, dict) or content.get("format") != format:
        raise ValueError(f"{name}: not a {format} file; expected one written by triptych")


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
        OSError: as ``write_whole``.
    """
    path = as_path(path)
    try:
        stream = path.exists() and not path.is_file() and not path.is_dir()
        with path.open("wb") if stream else _replacing(path) as file:
            yield file
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error})") from error


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    part = part_beside(path)
    remove_abandoned(path)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


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


@contextmanager
def turn_to_write(path: str | os.PathLike[str], wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, ``.NAME.lock`` beside it; its holder's death frees it.

    The lock's file stays where processes wait: removing it would let two in at once.

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
        if not wait:
            with suppress(OSError):  # Windows removes no open file
                os.unlink(lock.lock_file)
        lock.release()


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
