"""Files of tensors and text that never run code, and writing a file whole or not at all."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

__all__ = ["pack", "unpack", "write_whole"]

_KEY = "triptych"


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
    except (SafetensorError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: truncated, damaged or not a {format} file ({error})") from error
    if not isinstance(content, dict) or content.get("format") != format:
        raise ValueError(f"{name}: not a {format} file; expected one written by triptych")
    if not isinstance(content.get("version"), int) or content["version"] > version:
        raise ValueError(f"{name}: written by a newer triptych; update with pip install -U triptych")
    return tensors, content


def write_whole(path: str | os.PathLike[str], data: bytes) -> None:
    """Write beside the place, flush to the disk, and move there: a reader or a crash never sees half a file.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; the message names the file.
    """
    path = Path(path)
    # Opened by its name and not by mkstemp, so that the umask applies; reading the umask is not thread-safe.
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        try:
            with part.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error})") from error
