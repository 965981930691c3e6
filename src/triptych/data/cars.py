"""Stanford Cars as its authors ship it, in two forms; labels are in MATLAB's format.

- ``car_ims/`` and ``cars_annos.mat``: all images in one folder, which a split's tables name by file.
- ``cars_train/``, ``cars_test/`` and ``devkit/``: other names of files, and the same classes. A few-shot split is one
  of classes, so of the same tables the classes count, and all photos of each are taken from both folders.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych.data.listing import Listing, listing_of, one_of_each, split_of
from triptych.data.tables import read_csv
from triptych.system.wording import first_few, first_line, printable

__all__ = ["devkit_tables", "list_cars", "list_devkit_table"]

_LABELLED = "cars_test_annos_withlabels.mat"


def list_cars(root: Path) -> Listing | None:
    """List all of Stanford Cars, in either form; None for another folder.

    Raises:
        ValueError: its labels are missing, damaged, or of something else.
    """
    if (root / "car_ims").is_dir() and (root / "cars_annos.mat").is_file():
        return _listing(*_in_one_folder(root))
    return _listing(*_in_two_folders(root)) if _has_devkit(root) else None


def devkit_tables(root: Path) -> dict[str, Path]:
    """The tables of a split beside the form with two folders; empty for another folder.

    Raises:
        ValueError: two tables are of one split.

    >>> from pathlib import Path
    >>> from triptych.data.cars import devkit_tables
    >>> devkit_tables(Path("/proc"))
    {}
    """
    if not _has_devkit(root):
        return {}
    named = ((split_of(path.stem), path) for path in sorted(root.glob("*.csv")))
    return one_of_each(((split, path.name, path) for split, path in named if split), printable(root))


def list_devkit_table(table: Path) -> Listing:
    """List all photos of the classes that a table of ``devkit_tables`` names, by number or by name.

    Raises:
        ValueError: it names none, or another class; and as ``list_cars``.
    """
    paths, numbers, names = _in_two_folders(table.parent)
    known = {name: number for number, name in enumerate(names, start=1)}
    known |= {f"{number:03d}.{name}": number for name, number in list(known.items())}
    known |= {str(number): number for number in range(1, len(names) + 1)}
    asked = {label: known.get(label, known.get(label.lstrip("0"))) for label in read_csv(table, table.parent)[1]}
    if unknown := [printable(label) for label, number in asked.items() if number is None]:
        raise ValueError(
            f"{printable(table)}: names classes that devkit/cars_meta.mat does not have: {first_few(unknown)}; "
            f"expected numbers from 1 to {len(names)}, or their names"
        )
    wanted = set(asked.values())
    mine = [(path, number) for path, number in zip(paths, numbers, strict=True) if number in wanted]
    return _listing([path for path, _ in mine], [number for _, number in mine], names)


def _listing(paths: Sequence[Path], numbers: Sequence[int], names: Sequence[str]) -> Listing:
    classes = [f"{number:03d}.{names[number - 1]}" for number in numbers]
    return listing_of(paths, [printable(path) for path in paths], classes)


def _in_one_folder(root: Path) -> tuple[list[Path], list[int], list[str]]:
    """The images, the number of the class of each, and the names of the classes."""
    table = root / "cars_annos.mat"
    names, rows = _classes(table), _annotations(table)
    return _files(rows, "relative_im_path", root / "car_ims", table), _numbers(rows, names, table), names


def _in_two_folders(root: Path) -> tuple[list[Path], list[int], list[str]]:
    """Of ``cars_train/`` and ``cars_test/``; of the first alone, after a warning, if the test photos have no labels."""
    names = _classes(_part(root, "devkit/cars_meta.mat"))
    tables = {"cars_train": _part(root, "devkit/cars_train_annos.mat")}
    places = [place for place in (root / "devkit" / _LABELLED, root / _LABELLED) if place.is_file()]
    tables["cars_test"] = places[0] if places else _part(root, "devkit/cars_test_annos.mat")
    paths: list[Path] = []
    numbers: list[int] = []
    for part, table in tables.items():
        rows = _annotations(table)
        if part == "cars_test" and rows.dtype.names is not None and "class" not in rows.dtype.names:
            warnings.warn(
                f"{printable(root)}: left out cars_test/, as {table.name} holds no labels; put {_LABELLED} into "
                "devkit/",
                stacklevel=2,
            )
            continue
        folder = _part(root, part)
        inner = folder / part  # as some archives unpack
        paths += _files(rows, "fname", inner if inner.is_dir() else folder, table)
        numbers += _numbers(rows, names, table)
    return paths, numbers, names


def _has_devkit(root: Path) -> bool:
    return (root / "cars_train").is_dir() and (root / "devkit").is_dir()


def _part(root: Path, name: str) -> Path:
    if not (root / name).exists():
        raise ValueError(
            f"{printable(root)}: {name} of Stanford Cars is missing; expected cars_train/, cars_test/ and devkit/ with "
            f"cars_meta.mat, cars_train_annos.mat and {_LABELLED}"
        )
    return root / name


def _classes(table: Path) -> list[str]:
    return [str(name) for name in _field(table, "class_names")]


def _annotations(table: Path) -> Any:
    return _field(table, "annotations")


def _field(table: Path, name: str) -> Any:
    from scipy.io import loadmat

    try:
        content = loadmat(str(table), squeeze_me=True)
        return content[name].reshape(-1)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # its reader raises many kinds
        raise _damaged(table, error) from error


def _files(rows: Any, field: str, folder: Path, table: Path) -> list[Path]:
    try:
        return [folder / Path(str(row[field])).name for row in rows]
    except Exception as error:  # of a structure that is another's
        raise _damaged(table, error) from error


def _numbers(rows: Any, names: Sequence[str], table: Path) -> list[int]:
    try:
        numbers = [int(row["class"]) for row in rows]
        given = zip(rows, numbers, strict=True)
        if not all(row["class"] == number and 1 <= number <= len(names) for row, number in given):
            raise ValueError(f"a class that is none of 1 to {len(names)}")
        return numbers
    except Exception as error:  # of a structure that is another's
        raise _damaged(table, error) from error


def _damaged(table: Path, error: Exception) -> ValueError:
    why = first_line(error)
    return ValueError(f"{printable(table)}: damaged, or not the labels of Stanford Cars ({why:.200})")
