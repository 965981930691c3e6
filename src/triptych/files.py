"""Writing a file whole or not at all."""

import os
import tempfile
from pathlib import Path

__all__ = ["write_whole"]


def write_whole(path: str | Path, data: bytes) -> None:
    """Write beside the place, flush to the disk, and move there: a reader or a crash never sees half a file.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; the message names the file.
    """
    path = Path(path)
    try:
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(part, 0o666 & ~_umask())
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error})") from error


def _umask() -> int:
    # The only way to read it is to set it; mkstemp made the file private, a result is not.
    mask = os.umask(0)
    os.umask(mask)
    return mask
