"""The photos that lie in a folder and its sub-folders, and what else lies there."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from triptych.data import check_photo_folder, is_image, walk, warn_of_unread
from triptych.system.wording import counted, printable

__all__ = ["FolderPhotos", "beside_photos", "photos_below"]


@dataclass(frozen=True)
class FolderPhotos:
    """What there is to recognise in a folder.

    Attributes:
        names: paths in the folder, sorted.
        not_images: how many other files are no images by their first bytes.
        unread: how many entries may not be read.

    >>> from triptych.folders.photos import FolderPhotos
    >>> FolderPhotos(("1.jpg",), not_images=1, unread=0).names
    ('1.jpg',)
    """

    names: tuple[str, ...]
    not_images: int
    unread: int


def photos_below(folder: Path, without: Iterable[Path] = ()) -> FolderPhotos:
    """The photos in a folder and its sub-folders; hidden ones are left out, and a warning names what may not be read.

    Args:
        folder: where.
        without: files and folders to leave out.

    Raises:
        ValueError: no such folder, or no photos in it.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from triptych.folders.photos import photos_below
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.png", "a.png", ".hidden.png"):
    ...         Image.new("RGB", (9, 9)).save(Path(folder, name))
    ...     _ = Path(folder, "README.md").write_text("My photos")
    ...     photos_below(Path(folder))
    FolderPhotos(names=('a.png', 'b.png'), not_images=1, unread=0)
    """
    check_photo_folder(folder)
    root, left_out = folder.resolve(), [path.resolve() for path in without]
    inside = [str(path.relative_to(root)) for path in left_out if path.is_relative_to(root)]
    below = tuple(f"{name}{os.sep}" for name in inside)
    found = walk(folder)
    names = (str(path.relative_to(folder)) for path in found.files)
    wanted = [name for name in names if name not in inside and not name.startswith(below)]
    photos = tuple(sorted(name for name in wanted if is_image(folder / name)))
    warn_of_unread(folder, found.unread, stacklevel=3)
    if not photos:
        others = f", but {counted(len(wanted), 'other file')}" if wanted else ""
        raise ValueError(f"{printable(folder)}: no photos in the folder{others}; expected photos")
    return FolderPhotos(photos, len(wanted) - len(photos), len(found.unread))


def beside_photos(not_images: int, unread: int) -> str:
    """What else lies in a folder, to follow other counts.

    >>> from triptych.folders.photos import beside_photos
    >>> beside_photos(2, 0)
    '; 2 other files are no images'
    """
    others = f"; {counted(not_images, 'other file')} {'is no image' if not_images == 1 else 'are no images'}"
    locked = f"; {unread} of its entries could not be read"
    return (others if not_images else "") + (locked if unread else "")
