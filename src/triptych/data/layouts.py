"""Layouts in which the authors of fine-grained and few-shot data sets ship them.

- CUB-200-2011 (``images/``, ``images.txt``, ``classes.txt``) and Stanford Dogs (``Images/``, ``Annotation/``): class
  folders below the folder of images. They have no few-shot split of their own: ``train.csv``, ``val.csv`` and
  ``test.csv`` beside that folder name one, with the columns filename and label.
- Stanford Cars: see ``triptych.data.cars``.
- CIFAR-FS (``data/CLASS/``, ``splits/NAME/train.txt``): splits are lists of classes.
"""

from pathlib import Path

from triptych.data.folders import walk
from triptych.data.listing import SPLITS, Listing, listing_of
from triptych.data.tables import read_csv
from triptych.system.wording import first_few, printable

__all__ = ["class_lists", "image_folder", "list_class_list", "list_table_of_folder", "whole_folder"]

_IMAGES = ("images", "Images", "car_ims")
# The folder of images, and what lies beside it.
_WHOLE = (("images", ("images.txt", "classes.txt")), ("Images", ("Annotation",)), ("Images", ("lists",)))


def image_folder(root: Path) -> Path | None:
    """The folder of images that tables of a data set are about.

    >>> from pathlib import Path
    >>> from triptych.data.layouts import image_folder
    >>> image_folder(Path("/proc"))
    """
    return next((root / name for name in _IMAGES if (root / name).is_dir()), None)


def list_table_of_folder(table: Path, images: Path) -> Listing:
    """List the photos that a table names, by their place in the folder of images or in that of their class there.

    Raises:
        ValueError: as ``read_csv``.
    """
    paths, labels = read_csv(table, images)
    found = [_placed(path, images, label) for path, label in zip(paths, labels, strict=True)]
    return listing_of(found, [printable(path) for path in found], labels)


def whole_folder(root: Path) -> Path | None:
    """The class folders of a data set that is shipped without a few-shot split; None for another folder."""
    for name, beside in _WHOLE:
        if (root / name).is_dir() and all((root / one).exists() for one in beside):
            return root / name
    return None


def class_lists(root: Path) -> dict[str, Path]:
    """The splits of a data set that are lists of classes, and the file of each; empty for another folder.

    Raises:
        ValueError: there are several such splits.
    """
    if not (root / "data").is_dir() or not (root / "splits").is_dir():
        return {}
    folders = sorted(path.parent for path in root.glob("splits/*/train.txt"))
    if len(folders) > 1:
        names = first_few([folder.name for folder in folders])
        raise ValueError(f"{printable(root)}: several splits ({names}); expected one folder in splits/")
    return {split: file for split in SPLITS for folder in folders if (file := folder / f"{split}.txt").is_file()}


def list_class_list(file: Path) -> Listing:
    """List the photos of the classes that a file of ``class_lists`` names, one a line, each a folder in ``data/``.

    Raises:
        ValueError: it names none, or one that has no folder of photos.
    """
    data = file.parents[2] / "data"
    try:
        names = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{printable(file)}: no text in UTF-8; expected the name of a class a line") from error
    except OSError as error:
        reason = error.strerror or error
        raise ValueError(
            f"{printable(file)}: cannot be read ({reason}); expected the name of a class a line"
        ) from error
    if not names:
        raise ValueError(f"{printable(file)}: names no class; expected the name of a class a line")
    if len(set(names)) < len(names):
        raise ValueError(f"{printable(file)}: names a class twice; expected each class once")
    if outside := [name for name in names if name == ".." or Path(name).name != name]:
        raise ValueError(
            f"{printable(file)}: {printable(outside[0])!r:.80} is no name of a folder in {printable(data)}"
        )
    found = {name: walk(data / name).files if (data / name).is_dir() else () for name in names}
    if missing := [printable(name) for name, files in found.items() if not files]:
        raise ValueError(f"{printable(file)}: classes without photos in {printable(data)}: {first_few(missing)}")
    paths = [path for files in found.values() for path in files]
    return listing_of(paths, [printable(path) for path in paths], [name for name in names for _ in found[name]])


def _placed(path: Path, images: Path, label: str) -> Path:
    """Where a photo lies: tables name files alone, and their authors ship them by class."""
    if path.exists() or Path(label).name != label:
        return path
    by_class = images / label / path.relative_to(images)
    return by_class if by_class.exists() else path
