"""Folders of photos: what lies below one, and class folders."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from triptych.data.files import is_image
from triptych.data.listing import Listing, listing_of, one_of_each, split_of
from triptych.system.files import as_path
from triptych.system.wording import counted, first_few, printable

__all__ = [
    "IMAGE_ENDINGS",
    "FilesBelow",
    "check_photo_folder",
    "files_below",
    "is_class_folder",
    "list_folder",
    "split_folders",
    "walk",
    "warn_of_unread",
]

IMAGE_ENDINGS = {".jpg", ".jpeg", ".jfif", ".png", ".gif", ".webp", ".tif", ".tiff", ".bmp", ".jp2", ".ppm", ".pgm"}
IMAGE_ENDINGS |= {".qoi", ".tga", ".avif", ".heic", ".heif"}
# How the names of folders begin that are no classes: .git, __MACOSX, and the thumbnails and bins of NAS systems.
_HIDDEN = (".", "__", "@eaDir", "@Recycle", "#recycle")
_EXPECTED = "a folder with one sub-folder of photos per class, or a CSV file with the columns path and label"


@dataclass(frozen=True)
class FilesBelow:
    """What lies in a folder and its sub-folders, without what is hidden.

    Attributes:
        files: sorted.
        unread: what may not be read or followed, and why, one message each.

    >>> from triptych.data.folders import FilesBelow
    >>> FilesBelow(files=(), unread=("photos/locked: Permission denied",)).unread[0]
    'photos/locked: Permission denied'
    """

    files: tuple[Path, ...]
    unread: tuple[str, ...]


def walk(folder: str | PathLike[str]) -> FilesBelow:
    """List a folder and its sub-folders.

    Links are followed. A folder that several ways lead to is listed once, by its own way if it has one below
    ``folder``. A link that leads to a folder above it is not followed.

    >>> import tempfile
    >>> from triptych.data.folders import walk
    >>> with tempfile.TemporaryDirectory() as place:
    ...     Path(place, "1.jpg").touch()
    ...     Path(place, "again").symlink_to(place)
    ...     [path.name for path in walk(Path(place)).files]
    ['1.jpg']
    """
    folder = as_path(folder)
    files: list[str] = []
    unread: list[str] = []
    seen: set[tuple[int, int]] = set()
    above = _identities_above(folder)
    own, links = [str(folder)], list[str]()
    while own or links:
        here = own.pop() if own else links.pop(0)
        try:
            identity = _identity(here)
            if identity in seen:
                continue
            if identity in above:
                unread.append(f"{printable(here)}: leads back to a folder above it")
                continue
            seen.add(identity)
            _sort_entries(here, files, own, links, unread)
        except OSError as error:
            unread.append(f"{printable(here)}: {error.strerror or error}")
        links.sort()
    return FilesBelow(tuple(sorted(map(Path, files))), tuple(sorted(unread)))


def check_photo_folder(folder: str | PathLike[str]) -> None:
    """Refuse what is no folder.

    Raises:
        ValueError: there is none of that name.

    >>> from triptych.data import check_photo_folder
    >>> check_photo_folder("nowhere")
    Traceback (most recent call last):
    ValueError: nowhere: no such folder; expected a folder of photos
    """
    if not os.path.isdir(as_path(folder)):
        raise ValueError(f"{printable(folder)}: no such folder; expected a folder of photos")


def files_below(folder: str | PathLike[str]) -> list[Path]:
    """The files of a folder and its sub-folders, sorted, without what is hidden; a warning names what may not be read.

    >>> import tempfile
    >>> from triptych.data.folders import files_below
    >>> with tempfile.TemporaryDirectory() as place:
    ...     for name in ("2.jpg", "1.jpg", ".hidden"):
    ...         Path(place, name).touch()
    ...     [path.name for path in files_below(Path(place))]
    ['1.jpg', '2.jpg']
    """
    found = walk(folder)
    warn_of_unread(folder, found.unread, stacklevel=3)
    return list(found.files)


def warn_of_unread(folder: str | PathLike[str], unread: Sequence[str], stacklevel: int) -> None:
    """Say what of a folder may not be read."""
    if unread:
        warnings.warn(
            f"{printable(folder)}: left out {len(unread)} of its entries, which cannot be read: {first_few(unread)}",
            stacklevel=stacklevel,
        )


def list_folder(root: str | PathLike[str], to_learn: bool = False) -> Listing:
    """List a folder with one sub-folder per class; sub-folders of a class folder belong to the class.

    Photos beside the class folders, hidden folders of photos, and what below the class folders may not be read, are
    left out with a warning.

    Args:
        root: the folder.
        to_learn: leave class folders without files out, with a warning, while two others remain. To evaluate they
            are an error: a figure must not lose a class.

    Raises:
        ValueError: there are no class folders, some that cannot be read, or some without files; the message names
            all of them.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from triptych.data import list_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("lemon/1.jpg", "plum/1.jpg", "plum/2.jpg"):
    ...         path = Path(folder, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         _ = path.write_bytes(b"")
    ...     listing = list_folder(path.parent.parent)
    >>> listing.classes, listing.labels
    (('lemon', 'plum'), array([0, 1, 1]))
    """
    root = as_path(root)
    folders, beside = _sub_folders(root)
    hidden = _hidden_classes(root, beside)
    if not folders:
        others = f" but {hidden}" if hidden else ""
        if any(Path(name).suffix == ".csv" for name in beside):
            others += "; its tables are of a folder images/, which is missing"
        raise ValueError(f"{printable(root)}: no class folders in it{others}; expected {_EXPECTED}")
    found = {folder: walk(folder) for folder in folders}
    _refuse_parquet(root, found)
    if locked := [folder for folder in folders if found[folder].unread and not found[folder].files]:
        reasons = first_few([reason for folder in locked for reason in found[folder].unread])
        names = ", ".join(printable(folder.name) for folder in locked)
        raise ValueError(f"{printable(root)}: class folders that cannot be read: {names} ({reasons})")
    _warn_of_photos_beside(root, beside)
    if len(folders) == 1 and any(map(is_class_folder, folders[0].iterdir())):  # the folder above a data set
        warnings.warn(f"{printable(folders[0])} is one class; name it if its sub-folders are the classes", stacklevel=2)
    if hidden:
        warnings.warn(f"{printable(root)}: left out {hidden}; rename what is a class", stacklevel=2)
    if without := [printable(folder.name) for folder in folders if not found[folder].files]:
        told = f"class folders without files: {', '.join(without)}"
        if not to_learn or len(folders) - len(without) < 2:
            raise ValueError(f"{printable(root)}: {told}; put photos in them or remove them")
        warnings.warn(f"{printable(root)}: left out {told}", stacklevel=2)
    nowhere = [
        f"{printable(root / name)}: a link that leads nowhere" for name in beside if not os.path.exists(root / name)
    ]
    warn_of_unread(root, nowhere + [reason for one in found.values() for reason in one.unread], stacklevel=3)
    sources = [path for folder in folders for path in found[folder].files]
    class_names = [folder.name for folder in folders for _ in found[folder].files]
    return listing_of(sources, [printable(path) for path in sources], class_names)


def is_class_folder(path: Path) -> bool:
    """Whether it is a folder, and none of those that systems hide photos in.

    >>> from triptych.data.folders import is_class_folder
    >>> is_class_folder(Path("/proc")), is_class_folder(Path("__MACOSX"))
    (True, False)
    """
    return os.path.isdir(path) and not path.name.startswith(_HIDDEN)


def split_folders(root: Path) -> dict[str, Path]:
    """The folders train/, val/ and test/ (or validation/, ...) of a data set; empty for another folder.

    A single such name among others may be the name of a class.

    Raises:
        ValueError: two folders are of one split.

    >>> import tempfile
    >>> from triptych.data.folders import split_folders
    >>> with tempfile.TemporaryDirectory() as place:
    ...     for name in ("train", "validation"):
    ...         Path(place, name).mkdir()
    ...     [(split, path.name) for split, path in split_folders(Path(place)).items()]
    [('train', 'train'), ('val', 'validation')]
    """
    folders, _ = _sub_folders(root)
    splits = [(split, f"{path.name}/", path) for path in folders if (split := split_of(path.name))]
    return one_of_each(splits, printable(root)) if len(splits) > 1 or len(splits) == len(folders) else {}


def _refuse_parquet(root: Path, found: Mapping[Path, FilesBelow]) -> None:
    """Refuse folders of Parquet files in place of class folders: the hub keeps the files of a data set in data/."""
    for below in found.values():
        tables = [path for path in below.files if path.suffix == ".parquet"]
        if tables and not any(_is_photo_name(path.name) for path in below.files):
            raise ValueError(f"{printable(root)}: Parquet files lie in {printable(tables[0].parent)}; name that folder")


def _sub_folders(root: Path) -> tuple[list[Path], list[str]]:
    """The folders in a folder, sorted and without hidden ones, and the names of what else lies there."""
    try:
        entries = sorted(root.iterdir())
    except OSError as error:
        raise ValueError(f"{printable(root)}: cannot be read ({error.strerror or error})") from error
    folders = list(filter(is_class_folder, entries))
    return folders, [path.name for path in entries if path not in set(folders)]


def _warn_of_photos_beside(root: Path, beside: Sequence[str]) -> None:
    """Warn of photos that lie in no class folder; other files, such as notes and tables, may well lie there."""
    photos = [printable(name) for name in beside if _is_photo_name(name) and (root / name).is_file()]
    if photos:
        warnings.warn(
            f"{printable(root)}: left out {counted(len(photos), 'photo')} beside the class folders: "
            f"{first_few(photos)}; put each into the folder of its class",
            stacklevel=3,
        )


def _hidden_classes(root: Path, names: Sequence[str]) -> str:
    """The hidden folders that photos lie in, for a message; "" where there are none."""
    found = [printable(name) for name in names if name.startswith(_HIDDEN) and _has_photos(root / name)]
    return f"{counted(len(found), 'hidden folder')} of photos ({first_few(found)})" if found else ""


def _has_photos(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            return any(_is_photo_name(one.name) and one.is_file() and is_image(one.path) for one in entries)
    except OSError:  # a file, or not to be read
        return False


def _is_photo_name(name: str) -> bool:
    return Path(name).suffix.lower() in IMAGE_ENDINGS and not name.startswith(".")


def _sort_entries(here: str, files: list[str], own: list[str], links: list[str], unread: list[str]) -> None:
    """Put each entry of a folder where it belongs. Hidden files and folders are thumbnails and the like, no photos."""
    with os.scandir(here) as entries:
        for entry in entries:
            try:
                if entry.is_dir():
                    if not entry.name.startswith(_HIDDEN):
                        (links if entry.is_symlink() else own).append(entry.path)
                elif entry.name.startswith("."):
                    continue
                elif entry.is_file():
                    files.append(entry.path)
                else:
                    what = "no plain file" if os.path.exists(entry.path) else "a link that leads nowhere"
                    unread.append(f"{printable(entry.path)}: {what}")
            except OSError as error:  # the target of a link may not be looked at
                unread.append(f"{printable(entry.path)}: {error.strerror or error}")


def _identity(path: str | Path) -> tuple[int, int]:
    """The same for all ways to a folder."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _identities_above(folder: Path) -> set[tuple[int, int]]:
    plain = Path(os.path.abspath(folder))  # without "..": new/../new is not above itself
    return set(_stat_all({*plain.parents, *folder.resolve().parents})) - set(_stat_all({folder}))


def _stat_all(folders: set[Path]) -> Iterator[tuple[int, int]]:
    for folder in folders:
        try:
            yield _identity(folder)
        except OSError:  # may not be looked at, and so not be walked either
            continue
