"""Where Triptych may write: one rule.

An existing file is replaced only where Triptych wrote it and it is of the same kind. A command asks before any work is
done, and wants ``--overwrite`` too. In Python, ``save`` replaces the same kind at once.
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from triptych.system.environment import SETTINGS
from triptych.system.files import as_path, expect_free, is_stream
from triptych.system.kinds import Kind

__all__ = [
    "check_folder",
    "check_output",
    "check_own_folder",
    "check_replaced",
    "check_run_folder",
    "check_spared",
    "has_checkpoint",
]

_ADDRESS = re.compile(r"hf:|[A-Za-z][A-Za-z0-9+.-]+:/")  # a path has lost one of the two slashes


def check_output(path: Path, kind: Kind, read: Iterable[Path] = (), overwrite: bool = False) -> None:
    """Refuse a place that a command must not write to, or cannot.

    An existing file is replaced only where Triptych wrote it, it is of the same kind, and ``overwrite`` says so.
    What is put there while the command works is kept too. Nothing is written over or inside what the command reads.
    Character devices and the shell's pipes are written to
    and never replaced; disks and named pipes are refused.

    Args:
        path: where the result shall go.
        kind: what it is.
        read: files that the command reads, and folders of photos.
        overwrite: replace a file of the same kind.

    Raises:
        ValueError: one of these; the message says how to mend it.
        OSError: the folder is not writable.

    >>> from pathlib import Path
    >>> from triptych.system.kinds import RECOGNIZER
    >>> from triptych.system.outputs import check_output
    >>> check_output(Path("fruit.jpg"), RECOGNIZER)
    Traceback (most recent call last):
    ValueError: fruit.jpg: expected a name that ends in .triptych, as a recogniser is written
    """
    as_path(path)
    if path.is_dir():
        raise ValueError(f"{path}: a folder; expected a file, such as {path / f'x{next(iter(kind.beginnings))}'}")
    if not path.parent.is_dir():
        raise ValueError(f"{path}: expected a file in a folder that exists")
    if is_stream(path):
        return _check_stream(path, kind)
    if path.suffix.lower() not in kind.beginnings:
        endings = _either(list(kind.beginnings))
        if path.name.lower() in kind.beginnings:
            raise ValueError(f"{path}: expected a name before the ending, such as x{path.name}")
        raise ValueError(f"{path}: expected a name that ends in {endings}, as {kind.with_article} is written")
    check_spared(path, read)
    if path.exists():
        check_replaced(path, kind)
        if not overwrite:
            raise ValueError(f"{path}: exists already; replace it with --overwrite, or name another file")
    _check_writable(path, path.parent)
    expect_free(path, not overwrite and not os.path.lexists(path))
    return None


def check_replaced(path: Path, kind: Kind) -> None:
    """Refuse to write over a file of another kind, or of the same kind that something else wrote.

    Raises:
        ValueError: such a file lies there, or no system takes the name.
        OSError: it cannot be read.

    >>> from pathlib import Path
    >>> from triptych.system.kinds import PICTURE
    >>> from triptych.system.outputs import check_replaced
    >>> check_replaced(Path(__file__), PICTURE)
    Traceback (most recent call last):
    ValueError: ...: exists and is no picture that triptych wrote; name another file
    """
    as_path(path)
    if not path.is_file():
        return
    try:
        ours = kind.wrote(path)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({error.strerror or error})") from error
    if not ours:
        raise ValueError(f"{path}: exists and is no {kind.name} that triptych wrote; name another file")


def check_folder(path: Path, what: str) -> None:
    """Refuse a place where no folder can be made and filled.

    Args:
        path: the folder; it need not exist, nor those that it lies in.
        what: the folder is for, for the message.

    Raises:
        ValueError: a file lies there, or in its way.
        OSError: it is not writable.

    >>> from pathlib import Path
    >>> from triptych.system.outputs import check_folder
    >>> check_folder(Path(__file__), "the copies")
    Traceback (most recent call last):
    ValueError: ...: a file; expected a folder for the copies
    """
    as_path(path)
    if _ADDRESS.match(str(path)):
        raise ValueError(f"{path}: looks like an address; expected a folder of this machine for {what}")
    place = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
    if not place.is_dir():
        raise ValueError(f"{place}: a file; expected a folder for {what}")
    _check_writable(path, place)


def check_own_folder(path: Path, kinds: Mapping[str, Kind], what: str) -> list[str]:
    """Refuse a folder with other things in it than those that are written there, and one that is not writable.

    Returns the names of its files, if it is there.

    Args:
        path: the folder; it need not exist.
        kinds: the name of each file that is written -> of which kind it is.
        what: they are together, for the message.

    Raises:
        ValueError: it holds something else, or a file of such a name that Triptych did not write; or it is a file.
        OSError: it is not writable.

    >>> from pathlib import Path
    >>> from triptych.system.kinds import RECORD
    >>> from triptych.system.outputs import check_own_folder
    >>> check_own_folder(Path("nowhere"), {"record.json": RECORD}, "an evaluation")
    []
    """
    check_folder(path, what)
    names = sorted(one.name for one in path.iterdir()) if path.is_dir() else []
    if others := [name for name in names if name not in kinds or not (path / name).is_file()]:
        raise ValueError(f"{path}: holds other things than {what} ({others[0]}); name a folder of its own")
    for name in names:
        check_replaced(path / name, kinds[name])
    return names


def check_run_folder(path: Path, read: Iterable[Path] = (), resume: bool = False) -> None:
    """Refuse a folder that a training run must not fill, or cannot.

    Args:
        path: the run's folder; it need not exist.
        read: what the run reads.
        resume: go on with the run that lies there.

    Raises:
        ValueError: it holds something else, or a run while ``resume`` is false, or lies inside what is read.
        OSError: it is not writable.

    >>> from pathlib import Path
    >>> from triptych.system.outputs import check_run_folder
    >>> check_run_folder(Path(__file__))
    Traceback (most recent call last):
    ValueError: ...: a file; expected a folder for the run
    """
    check_folder(path, "the run")
    check_spared(path, read)
    others = sorted(one.name for one in path.iterdir() if not one.name.startswith(".")) if path.is_dir() else []
    if others and not any(map(_is_run, _stages(path))) and not (resume and has_checkpoint(path)):
        raise ValueError(f"{path}: holds other things than a run ({others[0]}); name a folder of its own")
    if not resume and has_checkpoint(path):
        raise ValueError(f"{path}: a run already lies here; continue it with --resume, or choose another --out")


def has_checkpoint(path: Path) -> bool:
    """Whether a training run in a folder can be continued.

    >>> from pathlib import Path
    >>> from triptych.system.outputs import has_checkpoint
    >>> has_checkpoint(Path("nowhere"))
    False
    """
    return any((stage / "checkpoint.pt").exists() for stage in _stages(path))


def check_spared(path: Path, read: Iterable[Path]) -> None:
    """Refuse to write over or inside what is read.

    Raises:
        ValueError: the path is such a place.

    >>> from pathlib import Path
    >>> from triptych.system.outputs import check_spared
    >>> check_spared(Path("/proc/record.json"), [Path("/proc")])
    Traceback (most recent call last):
    ValueError: /proc/record.json: lies inside /proc, whose photos are read; name a place outside
    """
    as_path(path)
    places = {_real(path), _real(path.parent) / path.name}
    for source in read:
        if not source.exists():
            continue
        if not source.is_dir():
            if _real(source) in places or (path.exists() and path.samefile(source)):
                raise ValueError(f"{path}: is read by this command and would be lost; name another file to write")
        elif any(place.is_relative_to(folder) for folder in _folders(source) for place in places):
            raise ValueError(f"{path}: lies inside {source}, whose photos are read; name a place outside")


def _check_writable(path: Path, folder: Path) -> None:
    """Try to make a file in a folder: permissions do not say what its file system refuses."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{path}: cannot be written (no file can be made in {folder}: {reason})") from error


def _stages(run: Path) -> tuple[Path, Path]:
    """Where the stages of a training run lie."""
    return run, run / "pretrain"


def _is_run(folder: Path) -> bool:
    """Whether a stage of training has begun in a folder."""
    settings = folder / SETTINGS
    return settings.is_file() and b'"stage"' in settings.read_bytes()


def _check_stream(path: Path, kind: Kind) -> None:
    mode = path.stat().st_mode
    waits = stat.S_ISFIFO(mode) and _real(path).exists()  # a named pipe may have no reader, for ever
    if not kind.streams or waits or not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode)):
        raise ValueError(f"{path}: a device or a named pipe, which cannot hold {kind.with_article}; name a file")


def _folders(root: Path) -> Iterator[Path]:
    """Where the files below a folder lie: itself, and where the links among its sub-folders lead."""
    waiting, seen = [_real(root)], set()
    while waiting:
        folder = waiting.pop()
        if folder in seen:
            continue
        seen.add(folder)
        yield folder
        for place, names, _ in os.walk(folder):
            waiting += [_real(link) for name in names if (link := Path(place, name)).is_symlink()]


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # unlike Path.resolve it takes links that lead in a circle


def _either(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
