"""Files of tensors and JSON content, which never run code."""

import json
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, BinaryIO

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from triptych.system.files import plain_path
from triptych.system.memory import machine_memory

__all__ = ["check_packed", "pack", "read_packed", "unpack"]

_KEY = "triptych"
_LONGEST_HEADER = 100_000_000  # of safetensors' own
_NO_HEADER = "it does not begin with a header in JSON, as such files do"
_CALLED = {"triptych-recognizer": "a .triptych file", "triptych-method": "a method file"}  # in messages


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
        raise _damaged(name, format, "its header or its numbers cannot be read") from error
    _check_format(content, format, name)
    if type(content.get("version")) is not int or content["version"] < 1:
        raise ValueError(f"{name}: damaged: its version is {content.get('version')!r:.40}; expected a whole number")
    if content["version"] > version:
        raise ValueError(f"{name}: written by a newer triptych; update triptych")
    return tensors, content


def read_packed(path: str | os.PathLike[str], format: str) -> bytes:
    """All of a file that ``pack`` wrote; its beginning is looked at before the rest is read.

    A pipe or a device is not opened: reading it could wait for ever, or never end.

    Raises:
        ValueError: the file is not as long as its header says, of another format, or larger than memory.
        OSError: missing, not readable, or no plain file.

    >>> from triptych.system.packed import read_packed
    >>> read_packed("/dev/null", "triptych-method")
    Traceback (most recent call last):
    OSError: [Errno 22] no plain file: '/dev/null'
    """
    with _open_packed(path, format) as file:
        file.seek(0)
        return file.read()


def check_packed(path: str | os.PathLike[str], format: str) -> None:
    """Look at the beginning of a file as ``read_packed`` does, and raise what it raises."""
    _open_packed(path, format).close()


def _open_packed(path: str | os.PathLike[str], format: str) -> BinaryIO:
    path = plain_path(path)
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
        raise _damaged(name, format, _NO_HEADER if size else "it is empty (0 bytes)")
    try:
        header = json.loads(file.read(length))
        content = json.loads((header.pop("__metadata__", None) or {}).get(_KEY, "{}"))
        whole = 8 + length + max((int(one["data_offsets"][1]) for one in header.values()), default=0)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise _damaged(name, format, _NO_HEADER) from error
    if whole != size:
        raise _damaged(name, format, f"it has {size} bytes, and its header tells of {whole}")
    _check_format(content, format, name)


def _check_format(content: Any, format: str, name: str) -> None:
    found = content.get("format") if isinstance(content, dict) else None
    if found != format:
        what = f"{_called(found)}, and not" if isinstance(found, str) and found in _CALLED else "not"
        raise ValueError(f"{name}: {what} {_called(format)}; expected one written by triptych")


def _damaged(name: str, format: str, why: str) -> ValueError:
    return ValueError(
        f"{name}: truncated, damaged or not {_called(format)}: {why}; expected one that triptych wrote, whole"
    )


def _called(format: str) -> str:
    return _CALLED.get(format, f"a {format} file")
