"""Sort photos into folders by what they are recognised as."""

import filecmp
import hashlib
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from os import PathLike
from pathlib import Path

from triptych.folders.photos import photos_below
from triptych.recognizer import Recognizer
from triptych.system.files import as_path, copy_new, part_beside, remove_abandoned
from triptych.system.outputs import check_folder
from triptych.system.progress import track
from triptych.system.wording import printable

__all__ = ["UNREADABLE", "SortSummary", "check_copies", "folder_names", "sort_photos"]

UNREADABLE = "unreadable"

_LONGEST = 100  # bytes of a folder's name; file systems take 255
_UNSAFE = set('<>:"/\\|?*')
_HASHED = re.compile("-[0-9a-f]{8}$")  # a label that ends like this could be taken for the name of another
_DEVICES = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


@dataclass(frozen=True)
class SortSummary:
    """What came of the photos of a folder.

    Attributes:
        folders: where they are, with the number of photos sorted into each folder.
        copied: photos that were copied.
        already_there: photos whose copy an earlier run had left.
        repeated: photos that this run had copied already, from another sub-folder, under the same name.
        unreadable: photos that cannot be recognised, with the reason.
        not_images: other files of the folder, which are no images by their first bytes and were left where they are.
        unread: entries of the folder that may not be read; a warning names some.
    """

    folders: dict[str, int]
    copied: int
    already_there: int
    repeated: int
    unreadable: dict[str, str]
    not_images: int = 0
    unread: int = 0


def sort_photos(
    recognizer: Recognizer,
    folder: str | PathLike[str],
    out: str | PathLike[str],
    unknown: str | None = None,
    false_alarm: float = 0.05,
) -> SortSummary:
    """Copy the photos of a folder and its sub-folders into one folder per class.

    Nothing is overwritten: a photo whose name is taken by another gets ``-2`` after its name, ``-3`` and so on. A photo
    that was copied before is not copied again, so that the call may be repeated. What cannot be recognised goes into
    ``unreadable``; files that are no images by their first bytes stay where they are. Class names that are no names of
    folders are changed; see ``folder_names``.

    Args:
        recognizer: a fitted recogniser.
        folder: hidden files in it are left out, and so is ``out``.
        out: is made if it does not exist.
        unknown: the folder for photos of none of the classes; None to choose a class always.
        false_alarm: see ``Recognizer.predict``.

    Raises:
        ValueError: no such folder, or no photos in it; ``out`` is the same folder; a file lies where a folder is
            needed; ``unknown`` is empty or a class; unknowns cannot be told.
        OSError: a copy cannot be written.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from triptych import Recognizer
        >>> from triptych.folders.sort import sort_photos
        >>> red, blue = (Image.new("RGB", (90, 90), colour) for colour in ("red", "blue"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     blue.save(f"{folder}/1.png")
        ...     sort_photos(Recognizer().fit([red, blue], ["r", "b"]), folder, f"{folder}/sorted").folders
        {'b': 1}
    """
    folder, out = as_path(folder), as_path(out)
    check_copies(folder, out)
    names = _places(recognizer, out, unknown)
    found = photos_below(folder, without=[out])
    asked = found.names
    answers = recognizer.answers([folder / name for name in asked], unknown, false_alarm)
    sorted_into: Counter[str] = Counter()
    made: set[Path] = set()
    repeated, unreadable = 0, {}
    part = part_beside(out / "copy")
    remove_abandoned(out / "copy")
    for name, answer in zip(asked, track(answers, "sorting", total=len(asked)), strict=True):
        photo = folder / name
        place = UNREADABLE if answer.error is not None else names[str(answer.label)]
        if answer.error is not None:
            unreadable[name] = answer.error.removeprefix(f"{printable(photo)}: ")
            if not _opens(photo):
                continue
        copy, is_new = _copy(photo, out / place, part)
        repeated += copy in made
        if is_new:
            made.add(copy)
        sorted_into[place] += 1
    there = sorted_into.total() - len(made) - repeated
    folders = dict(sorted(sorted_into.items()))
    return SortSummary(folders, len(made), there, repeated, unreadable, found.not_images, found.unread)


def check_copies(folder: Path, out: Path) -> None:
    """Refuse a place for the copies before anything is loaded or read.

    Raises:
        ValueError: it is the folder whose photos are sorted, or a file lies there.
        OSError: it is not writable.

    >>> from pathlib import Path
    >>> from triptych.folders import check_copies
    >>> check_copies(Path("photos"), Path("photos"))
    Traceback (most recent call last):
    ValueError: photos: expected another folder than the one whose photos are sorted
    """
    if os.path.realpath(folder) == os.path.realpath(out):
        raise ValueError(f"{out}: expected another folder than the one whose photos are sorted")
    check_folder(out, "the copies")


def folder_names(labels: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A folder's name for each label, such that any system takes it and no two are the same on any.

    A label that is no such name (it has a slash, is empty, ``..`` or very long, is reserved, or differs from another in
    case alone) has what is unsafe replaced, and ends in a hash of the label.

    Args:
        labels: different from each other.
        taken: names that are in use already.

    Examples:
        >>> from triptych.folders.sort import folder_names
        >>> folder_names(["plum", "../plum", "Plum pie"])
        {'plum': 'plum', '../plum': '_plum-34c17129', 'Plum pie': 'Plum pie'}
    """
    safe = {label: _safe(label) for label in labels}
    uses = Counter(map(_folded, (*(label for label, name in safe.items() if name == label), *taken)))
    return {
        label: name if name == label and uses[_folded(name)] == 1 else f"{name}-{_digest(label)}"
        for label, name in safe.items()
    }


def _safe(label: str) -> str:
    name = "".join("_" if one in _UNSAFE or not one.isprintable() else one for one in label)
    name = name.strip(" .").encode()[:_LONGEST].decode(errors="ignore").rstrip(" .")
    if not name or name.split(".")[0].rstrip().lower() in _DEVICES or _HASHED.search(name):
        name = f"_{name}_"
    return name


def _folded(name: str) -> str:
    """What systems that ignore case, or how accents are composed, take a name for."""
    return unicodedata.normalize("NFC", name.casefold())


def _digest(label: str) -> str:
    return hashlib.blake2b(label.encode(errors="backslashreplace"), digest_size=4).hexdigest()


def _opens(photo: Path) -> bool:
    try:
        photo.open("rb").close()
    except OSError:
        return False
    return True


def _places(recognizer: Recognizer, out: Path, unknown: str | None) -> dict[str, str]:
    """Label -> the name of its folder in ``out``."""
    labels = [str(label) for label in recognizer.support_]
    if unknown in labels:
        raise ValueError(f"unknown is {unknown!r}, which is a class; expected another name")
    names = folder_names(labels if unknown is None else [*labels, unknown], taken=[UNREADABLE])
    _refuse_files(out / name for name in (*names.values(), UNREADABLE))
    return names


def _refuse_files(folders: Iterable[Path]) -> None:
    """Say before anything is copied that a file lies where a folder is needed."""
    for folder in folders:
        if folder.is_file():
            raise ValueError(f"{folder}: a file; move it, or name another folder for the copies")


def _copy(photo: Path, folder: Path, part: Path) -> tuple[Path, bool]:
    """The copy of a photo, and whether it is new."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        target = folder / (photo.name if number == 1 else f"{photo.stem}-{number}{photo.suffix}")
        if target.is_file() and filecmp.cmp(photo, target, shallow=False):
            return target, False
        if not os.path.lexists(target) and copy_new(photo, target, part):
            return target, True
    raise AssertionError("numbers do not end")
