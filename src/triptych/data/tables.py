"""Labelled photos in tables: CSV files that name photos, and Parquet files that hold them."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from triptych.data.limits import current_limits
from triptych.data.listing import Listing, listing_of, plain_name
from triptych.system.wording import printable

__all__ = ["PATH_COLUMNS", "list_csv", "list_parquet", "path_column", "read_csv"]

_ROWS = 4  # of a Parquet file that are unpacked at once
_LEAST_BYTES = 100  # that a row counts at least: no photo is smaller, and a list of rows takes memory too

_ADDRESS = re.compile("[A-Za-z][A-Za-z0-9+.-]+://")

PATH_COLUMNS = ("path", "image", "filename")


class _BombError(Exception):
    """A small file that would fill the memory."""


def list_csv(table: Path, base: Path) -> Listing:
    """List the photos that a CSV file names; see ``read_csv``."""
    paths, labels = read_csv(table, base)
    return listing_of(paths, [printable(path) for path in paths], labels)


def read_csv(table: Path, base: Path) -> tuple[list[Path], list[str]]:
    """The photos and labels of a CSV file with the columns path (or image, or filename) and label, in any case.

    Args:
        table: the file, in UTF-8. Spaces around a path or a label do not count.
        base: the folder that its paths are relative to.

    Raises:
        ValueError: it cannot be read, has other columns, no rows, or a row without a path or a label.
    """
    name = printable(table)
    try:
        if (size := table.stat().st_size) > (most := current_limits().megabytes) * 1e6:
            raise ValueError(f"{name}: {size / 1e6:.0f} MB, expected a CSV file of at most {most:g} MB")
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            given = list(reader.fieldnames or ())
            reader.fieldnames = [name.strip().lower() for name in given]
            column = path_column(reader.fieldnames)
            if column is None or "label" not in reader.fieldnames:
                columns = printable(", ".join(map(repr, given))) or "none"
                raise ValueError(
                    f"{name}: expected the columns path (or image, or filename) and label, separated by commas, got "
                    f"{columns}"
                )
            for wanted in (column, "label"):
                if reader.fieldnames.count(wanted) > 1:
                    raise ValueError(f"{name}: has two columns {wanted}; expected one")
            rows = [_row(name, number, row, column) for number, row in enumerate(reader, start=1)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"{name}: not a CSV file in UTF-8 ({_fault(error)}); save it as such, with the columns path and label"
        ) from error
    except OSError as error:
        raise ValueError(f"{name}: cannot be read ({error.strerror or error})") from error
    if not rows:
        raise ValueError(f"{name}: no rows below the columns; add one with path and label for each photo")
    return [base / path for path, _ in rows], [label for _, label in rows]


def path_column(columns: Sequence[str]) -> str | None:
    """Which of some columns, in lower case, holds the photos.

    >>> path_column(["label", "filename"])
    'filename'
    """
    return next((name for name in PATH_COLUMNS if name in columns), None)


def list_parquet(files: Sequence[Path]) -> Listing:
    """List the photos of Parquet files with a column image {bytes, path} and a column label.

    Raises:
        ValueError: they have other columns, no rows, or a label that names no class.
    """
    sources: list[bytes] = []
    names: list[str] = []
    values: list[Any] = []
    class_names: list[str] | None = None
    for file in files:
        images, labels, known = _read_parquet(file)
        if values and known != class_names:
            raise ValueError(
                f"{printable(file)}: names its classes otherwise than {printable(files[0])}; expected the same names "
                "in the metadata of all files"
            )
        sources += [image["bytes"] for image in images]
        names += [printable(f"{file.name}:{row} {image.get('path') or ''}".strip()) for row, image in enumerate(images)]
        values += labels
        class_names = known
    if not values:
        raise ValueError(f"{', '.join(map(printable, files))}: the table has no rows; expected one for each photo")
    present = _present(values, class_names, names)
    called = {value: plain_name(class_names[int(value)] if class_names else str(value)) for value in present}
    classes = tuple(dict.fromkeys(called.values()))
    numbers = {name: number for number, name in enumerate(classes)}
    index = {value: numbers[name] for value, name in called.items()}
    return Listing(sources, names, np.array([index[value] for value in values], dtype=np.int64), classes)


def _fault(error: Exception) -> str:
    return f"byte {error.start + 1} is none" if isinstance(error, UnicodeDecodeError) else str(error)


def _row(table: str, number: int, row: dict[str | None, str | list[str] | None], column: str) -> tuple[str, str]:
    if None in row:
        raise ValueError(
            f"{table}: row {number} has more cells than there are columns; put quotes around a text with a comma"
        )
    path, label = (str(row[name] or "").strip() for name in (column, "label"))
    if _ADDRESS.match(path):
        raise ValueError(f"{table}: row {number}: {printable(path)} is an address; expected a file of this machine")
    if not path or not label:
        raise ValueError(f"{table}: row {number} has no path or no label; fill in or remove it")
    return path, label


def _read_parquet(file: Path) -> tuple[list[dict], list[Any], list[str] | None]:
    """Images, labels, and the names of classes where labels are their numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(file) as table:
            metadata = table.schema_arrow.metadata
            if not {"image", "label"} <= set(table.schema_arrow.names):
                raise ValueError(f"it has the columns {', '.join(table.schema_arrow.names)}")
            images, labels = _cells(table, file)
    except _BombError as error:
        raise ValueError(f"{printable(file)}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        by_library = isinstance(error, pa.ArrowException) or (isinstance(error, OSError) and not error.strerror)
        why = "its data cannot be read" if by_library else printable(error)
        raise ValueError(
            f"{printable(file)}: not a Parquet file with image {{bytes, path}} and label columns ({why})"
        ) from error
    return images, labels, _class_names(metadata, file)


def _cells(table: Any, file: Path) -> tuple[list[dict], list[Any]]:
    """The columns, a few rows at a time: a small file can say of many rows that each is the same large photo."""
    images: list[dict] = []
    labels: list[Any] = []
    size = file.stat().st_size
    left = size + current_limits().megabytes * 1e6
    _refuse_bomb(_unpacked(table) > left, size)  # before a page of them is unpacked
    for batch in table.iter_batches(_ROWS, columns=["image", "label"]):
        for image in batch.column("image").to_pylist():
            if not isinstance(image, dict):
                raise TypeError(f"got {type(image).__name__} for an image")
            if not isinstance(image.get("bytes"), bytes):
                raise TypeError(f"no bytes in the image {image.get('path')!r}")
            images.append(image)
        left -= max(batch.nbytes, _LEAST_BYTES * batch.num_rows)
        _refuse_bomb(left < 0, size)
        labels += batch.column("label").to_pylist()
    return images, labels


def _unpacked(table: Any) -> int:
    """Bytes of the pages of a Parquet file, as it says itself."""
    told = table.metadata
    return sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))


def _refuse_bomb(is_one: bool, size: int) -> None:
    if is_one:
        raise _BombError(f"unpacks to far more than its {size / 1e6:.3g} MB; set TRIPTYCH_MAX_MEGABYTES higher")


def _present(values: list[Any], class_names: list[str] | None, names: list[str]) -> list[Any]:
    """The distinct labels in order; a label that names no class (null, or the hub's -1) is refused."""
    known = range(len(class_names)) if class_names else None
    blank = {value for value in set(values) if isinstance(value, str) and not value.strip()}
    for name, value in zip(names, values, strict=True):
        if (
            not isinstance(value, int | float | str)
            or value != value
            or (known and value not in known)
            or value in blank
        ):
            raise ValueError(f"{name}: the label {value!r} names no class; label or remove the image")
    if len({isinstance(value, str) for value in values}) > 1:
        raise ValueError(f"{names[0]}: labels of several kinds, texts and numbers; expected one kind in all files")
    return sorted(set(values))


def _class_names(metadata: dict[bytes, bytes] | None, file: Path) -> list[str] | None:
    try:
        names = json.loads((metadata or {})[b"huggingface"])["info"]["features"]["label"]["names"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"{printable(file)}: the names of its classes are no list of texts")
    if len(set(map(plain_name, names))) < len(names):
        raise ValueError(f"{printable(file)}: names a class twice; expected each class once")
    return names
