"""Photos in Parquet files: a column ``image`` of {bytes, path}, or of bytes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import PurePath
from typing import Any, Self

from triptych.data import ImageSource, NamedBytes, current_limits
from triptych.engines import PhotoSet
from triptych.folders.files import mark_of, refuse_hidden
from triptych.folders.stored import file_system, is_url, stored_mark
from triptych.system.files import plain_path
from triptych.system.wording import printable

__all__ = ["CellPhotos", "cell_photos", "is_parquet"]

_ROWS = 4  # that are unpacked at once
_LEAST_BYTES = 100  # that a row counts at least


@dataclass(frozen=True)
class CellPhotos(PhotoSet):
    """Cells of Parquet files.

    Attributes:
        tables: the files, each with the number of its rows.
        first: the number of the first photo, counted over all rows of all files.
        names: of each photo: file, row and, where the table says it, path.
    """

    tables: tuple[tuple[str, int], ...]
    first: int
    names: tuple[str, ...]

    def part(self, start: int, stop: int) -> Self:
        return replace(self, first=self.first + start, names=self.names[start:stop])

    def sources(self) -> Iterator[ImageSource]:
        cells = (data for place, first in self._beginnings() for data in _cells(place, first))
        return (NamedBytes(data, name) for name, data in zip(self.names, islice(cells, len(self.names)), strict=True))

    def marks(self) -> Iterator[str]:
        return (stored_mark(place) if is_url(place) else mark_of(place) for place, _ in self.tables)

    def refuse_unreachable(self) -> None:
        for place, _ in self.tables:
            if not is_url(place):
                refuse_hidden(place)

    def _beginnings(self) -> Iterator[tuple[str, int]]:
        """Each file that has some of the photos or lies behind them, and the row at which they begin."""
        skipped = self.first
        for place, rows in self.tables:
            if skipped < rows:
                yield place, skipped
            skipped = max(0, skipped - rows)


def is_parquet(place: str) -> bool:
    """Whether a place is named as a Parquet file.

    >>> from triptych.folders.cells import is_parquet
    >>> is_parquet("photos.parquet"), is_parquet("photos")
    (True, False)
    """
    return place.lower().endswith(".parquet")


def cell_photos(places: Sequence[str]) -> CellPhotos:
    """The photos of Parquet files.

    Raises:
        ValueError: a file has no column of photos, or no rows; or it unpacks to far more than it is.
        RuntimeError: it cannot be read.
    """
    names: list[str] = []
    tables = []
    for place in places:
        paths = _paths(place)
        base = PurePath(place).name
        names += [printable(f"{base}:{row} {path or ''}".strip()) for row, path in enumerate(paths)]
        tables.append((place, len(paths)))
    if not names:
        raise ValueError(f"{', '.join(map(printable, places))}: no rows; expected photos")
    return CellPhotos(tuple(tables), 0, tuple(names))


def _paths(place: str) -> list[str | None]:
    """What a table calls its photos, a row each."""
    with _table(place) as (table, size):
        unpacked = sum(table.metadata.row_group(n).total_byte_size for n in range(table.num_row_groups))
        rows = table.metadata.num_rows
        if max(unpacked, rows * _LEAST_BYTES) > size + current_limits().megabytes * 1e6:
            raise ValueError(
                f"{printable(place)}: unpacks to far more than its {size / 1e6:.3g} MB; "
                "set TRIPTYCH_MAX_MEGABYTES higher"
            )
        if "path" not in _fields(table):
            return [None] * rows
        return [cell and cell["path"] for cell in table.read(columns=["image.path"]).column("image").to_pylist()]


def _cells(place: str, first: int) -> Iterator[bytes]:
    """The photos of a table from a row on; where a cell has none, no bytes."""
    with _table(place) as (table, _):
        group = 0
        while group < table.num_row_groups and first >= (rows := table.metadata.row_group(group).num_rows):
            group, first = group + 1, first - rows
        column = "image" if "" in _fields(table) else "image.bytes"
        batches = table.iter_batches(_ROWS, row_groups=range(group, table.num_row_groups), columns=[column])
        cells = (cell for batch in batches for cell in batch.column("image").to_pylist())
        for cell in islice(cells, first, None):
            yield (cell["bytes"] if isinstance(cell, dict) else cell) or b""


def _fields(table: Any) -> set[str]:
    """The fields of a column of photos, among them bytes; "" where it holds bytes alone; none where it is no such."""
    import pyarrow as pa

    schema = table.schema_arrow
    if schema.names.count("image") != 1:
        return set()
    kind = schema.field("image").type
    fields = {kind.field(n).name: kind.field(n).type for n in range(kind.num_fields)} or {"": kind}
    data = fields.get("bytes" if kind.num_fields else "", pa.null())
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view)
    return set(fields) if any(is_kind(data) for is_kind in kinds) else set()


@contextmanager
def _table(place: str) -> Iterator[tuple[Any, int]]:
    """A Parquet file, and its size."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with _opened(place) as file:
            size = file.seek(0, 2)
            file.seek(0)
            with pq.ParquetFile(file) as table:
                if not _fields(table):
                    raise ValueError(
                        f"{printable(place)}: has the columns {', '.join(map(printable, table.schema_arrow.names))}; "
                        "expected one column image of {bytes, path} or of bytes"
                    )
                yield table, size
    except (OSError, pa.ArrowInvalid) as error:
        told = error.strerror if isinstance(error, OSError) else None
        if not told and (isinstance(error, pa.ArrowInvalid) or not is_url(place)):
            raise ValueError(f"{printable(place)}: not a Parquet file, or a damaged one; replace it") from error
        raise RuntimeError(f"{printable(place)}: cannot be read ({printable(told or error)})") from error


def _opened(place: str) -> Any:
    if not is_url(place):
        return plain_path(place).open("rb")
    storage, path = file_system(place)
    try:
        return storage.open(path, "rb")
    except Exception as error:  # each storage has errors of its own
        raise OSError(printable(error)) from error
