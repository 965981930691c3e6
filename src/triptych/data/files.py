"""Files that may be photos: opened only where they are plain files, and looked at before they are read."""

import hashlib
import os
import stat
from io import BufferedIOBase
from os import PathLike

from triptych.data.errors import ImageError, NotAnImageError
from triptych.data.formats import FIRST_BYTES, FORMATS, image_format
from triptych.data.limits import current_limits
from triptych.system.files import as_path
from triptych.system.wording import printable

__all__ = ["check_photo", "content_digest", "is_image", "open_photo", "refuse_format"]

_KINDS = {
    stat.S_IFDIR: "Is a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_CHUNK = 1 << 20
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)  # the latter on Windows alone


def open_photo(path: str | PathLike[str], name: str | None = None) -> BufferedIOBase:
    """Open a file that begins as an image does.

    A pipe, a socket or a device is never opened, so that nothing waits for another process.

    Raises:
        NotAnImageError: by its first bytes; no more than these are read.
        ImageError: missing, locked, empty, too large, or no plain file.
    """
    name = name or printable(path)
    file = _open_plain(path, name)
    try:
        size = os.fstat(file.fileno()).st_size
        head = file.read(FIRST_BYTES)
        if not head:
            raise ImageError(f"{name}: the file is empty (0 bytes); replace or remove it")
        refuse_format(image_format(head), name)
        if size > (most := current_limits().megabytes) * 1e6:
            raise ImageError(
                f"{name}: {size / 1e6:.0f} MB, expected at most {most:g}; "
                "scale it down, or set TRIPTYCH_MAX_MEGABYTES higher"
            )
        file.seek(0)
    except OSError as error:
        file.close()
        raise ImageError(f"{name}: {error.strerror or error}; expected an image file") from error
    except BaseException:
        file.close()
        raise
    return file


def check_photo(path: str | PathLike[str]) -> None:
    """Refuse what cannot be opened as a photo; it is not decoded.

    Raises:
        ImageError: as ``open_photo``.
        ValueError: it is no path.

    >>> from triptych.data import check_photo
    >>> check_photo("missing.jpg")
    Traceback (most recent call last):
    triptych.data.errors.ImageError: missing.jpg: No such file or directory; expected an image file
    """
    open_photo(as_path(path)).close()


def is_image(path: str | PathLike[str]) -> bool:
    """Whether a file is an image by its first bytes. Empty and unreadable files count as images, to be reported.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from triptych.data.files import is_image
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = Path(folder, "README.md").write_text("# My photos")
    ...     is_image(Path(folder, "README.md")), is_image(Path(folder, "missing.jpg"))
    (False, True)
    """
    path = as_path(path)
    try:
        with _open_plain(path, "") as file:
            head = file.read(FIRST_BYTES)
    except (ImageError, OSError):
        return True
    return not head or image_format(head) in FORMATS


def refuse_format(found: str | None, name: str) -> None:
    """Raise NotAnImageError for what ``image_format`` takes for no image."""
    if found == "PostScript":  # Pillow would run a program to draw it
        raise NotAnImageError(f"{name}: PostScript, which is a program and no photo; convert or remove it")
    if found is None:
        raise NotAnImageError(
            f"{name}: not an image by its first bytes; expected {', '.join(FORMATS)}; replace or remove it"
        )


def content_digest(path: str | PathLike[str]) -> bytes:
    """A hash of a photo's bytes; of size and beginning where it is no photo, of its name where it cannot be read."""
    content = hashlib.blake2b(digest_size=16)
    try:
        with _open_plain(path, "") as file:
            head, size = file.read(FIRST_BYTES), os.fstat(file.fileno()).st_size
            if image_format(head) in FORMATS and size <= current_limits().megabytes * 1e6:
                while head:
                    content.update(head)
                    head = file.read(_CHUNK)
            else:
                content.update(f"{size} bytes, no photo ".encode() + head)
    except (ImageError, OSError):
        content.update(os.fspath(path).encode(errors="surrogatepass"))
    return content.digest()


def _open_plain(path: str | PathLike[str], name: str) -> BufferedIOBase:
    """Open a regular file, and nothing else: opening a pipe waits, and opening a device may do anything."""
    try:
        _refuse_special(os.stat(path).st_mode, name)
        # What was a file a moment ago may be a pipe by now; without blocking, opening it returns.
        file = os.fdopen(os.open(path, _READ), "rb")
    except (OSError, ValueError) as error:  # ValueError: a null character or a lone surrogate in the path
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "strerror", None) or printable(error)
        raise ImageError(f"{name}: {reason}; expected an image file") from error
    try:
        _refuse_special(os.fstat(file.fileno()).st_mode, name)
    except ImageError:
        file.close()
        raise
    return file


def _refuse_special(mode: int, name: str) -> None:
    if stat.S_ISREG(mode):
        return
    raise ImageError(f"{name}: {_KINDS.get(stat.S_IFMT(mode), 'no plain file')}; expected an image file")
