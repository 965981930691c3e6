"""The tables of a LanceDB database, and what goes wrong with them in plain words."""

import errno
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from triptych.bank.place import is_remote
from triptych.system.extras import extra

__all__ = ["Tables", "listed", "quoted"]

_OS_ERROR = re.compile(r"os error (\d+)")
_MISSING = (errno.ENOENT, errno.ENOTDIR)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
# Words of LanceDB, in small letters, for a file that is cut, changed or gone.
_DAMAGED = (
    "not found",
    "invalid magic",
    "invalid range",
    "too small",
    "not have sufficient data",
    "fill whole buffer",
    "decode",
    "decoding",
    "corrupt",
    "multiple manifest naming schemes",
)
_SOURCE = re.compile(r", /\S+\.rs:\d+:\d+")  # a place in LanceDB's own
_STABLE = {"new_table_enable_stable_row_ids": "true"}  # numbers of rows that outlive the joining of files
_KEPT = timedelta(hours=1)  # earlier versions, for readers that are at work


class Tables:
    """Named tables in one place.

    Args:
        place: a folder, or an address of object storage.

    Raises:
        RuntimeError: LanceDB is not installed.
        OSError: by any method, where the place cannot be read or written.
        ValueError: by any method, where the tables are damaged.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        os.environ.setdefault("LANCE_LOG", "off")  # its own lines about what becomes an error here
        with extra("bank", "a bank needs lancedb"):
            import lancedb
        with self.told():
            self._database = lancedb.connect(place, read_consistency_interval=timedelta(0))
        self._open: dict[str, Any] = {}

    @contextmanager
    def told(self) -> Iterator[None]:
        """Around what LanceDB does: its errors name lines of its own source, and not always the place."""
        try:
            yield
        except (RuntimeError, ValueError, OSError) as error:
            raise _in_plain_words(error, self.place) from error

    def names(self) -> set[str]:
        """Those that there are."""
        found: set[str] = set()
        with self.told():
            page = self._database.list_tables(limit=100)
            found.update(page.tables)
            while page.page_token:
                page = self._database.list_tables(limit=100, page_token=page.page_token)
                found.update(page.tables)
        return found

    def __getitem__(self, name: str) -> Any:
        """One of them, to be used inside ``told``.

        Raises:
            ValueError: there is none of this name.
        """
        if name not in self._open:
            if name not in self.names():
                raise ValueError(f"{self.place}: no bank; fit one there, or name another place")
            self._refuse_pipes(name)
            with self.told():
                self._open[name] = self._database.open_table(name)
        return self._open[name]

    def _refuse_pipes(self, name: str) -> None:
        """A named pipe in place of a file would be waited for without end."""
        folder = Path(self.place, f"{name}.lance")
        for part in (folder / "_versions", folder / "data"):
            if is_remote(self.place) or not part.is_dir():
                continue
            with os.scandir(part) as entries:  # which knows the kinds: a file may have a new name a moment later
                if not all(one.is_file() for one in entries):
                    raise ValueError(f"{part}: holds what is no file; take a copy of the bank, or fit it anew")

    def create(self, name: str, schema: pa.Schema) -> None:
        """A new one, without rows."""
        with self.told():
            self._open[name] = self._database.create_table(name, schema=schema, storage_options=_STABLE)

    def write(self, name: str, table: pa.Table) -> None:
        """All rows of one that is made, or replaced, in one commit."""
        mode = "overwrite" if name in self.names() else "create"
        with self.told():
            self._open[name] = self._database.create_table(name, table, mode=mode)

    def drop(self, names: Sequence[str]) -> None:
        """Remove them, and a folder that is empty then."""
        there = self.names()
        self._open.clear()
        with self.told():
            for name in names:
                if name in there:
                    self._database.drop_table(name)
            folder = Path(self.place)
            if not is_remote(self.place) and folder.is_dir() and not any(folder.iterdir()):
                shutil.rmtree(folder)

    def columns(self, name: str) -> dict[str, pa.DataType]:
        """The type of each."""
        table = self[name]
        with self.told():
            return {field.name: field.type for field in table.schema}

    def version(self, name: str) -> int:
        """Another one after each change."""
        table = self[name]
        with self.told():
            return int(table.version)

    def count(self, name: str, where: str | None = None) -> int:
        """How many rows there are, or how many for which this is true."""
        table = self[name]
        with self.told():
            return int(table.count_rows(where))

    def add(self, name: str, rows: pa.Table) -> None:
        """Add rows in one commit."""
        table = self[name]
        with self.told():
            table.add(rows)

    def delete(self, name: str, where: str) -> None:
        """Remove the rows for which this is true; where there are none, nothing is written."""
        table = self[name]
        with self.told():
            if table.count_rows(where):
                table.delete(where)

    def rows(self, name: str, columns: list[str] | None, where: str | None = None, limit: int | None = None) -> Any:
        """Some columns of the rows for which this is true."""
        table = self[name]
        with self.told():
            query = table.search()
            query = query if columns is None else query.select(columns)
            query = query if where is None else query.where(where)
            return (query if limit is None else query.limit(limit)).to_arrow()

    def whole_rows(self, name: str, columns: list[str], where: str) -> Any:
        """As ``rows``; they are found first, for a search would read all columns of rows that are not indexed yet."""
        table = self[name]
        with self.told():
            numbers = table.search().select(["label"]).where(where).with_row_id(True).to_arrow()["_rowid"]
            return table.take_row_ids(numbers.to_pylist()).select(columns).to_arrow()

    def nearest(self, name: str, vector: Any, columns: list[str], count: int, exact: bool) -> Any:
        """Some columns, and the distance, of the rows whose vectors lie nearest."""
        table = self[name]
        with self.told():
            query = table.search(vector, vector_column_name="vector").distance_type("l2")
            query = query.bypass_vector_index() if exact else query
            return query.select([*columns, "_distance"]).limit(count).to_arrow()

    def files(self, name: str) -> int:
        """How many its rows lie in."""
        table = self[name]
        with self.told():
            return int(table.stats()["fragment_stats"]["num_fragments"])

    def join_files(self, name: str) -> None:
        """Write its rows anew as few files; versions that readers may be at stay for a while."""
        table = self[name]
        with self.told():
            table.optimize(cleanup_older_than=_KEPT)


def quoted(text: str) -> str:
    """A text in a condition."""
    return "'" + text.replace("'", "''") + "'"


def listed(texts: Sequence[str]) -> str:
    """Several texts in a condition."""
    return f"({', '.join(map(quoted, texts))})"


def _in_plain_words(error: Exception, place: str) -> Exception:
    cause = " ".join(str(error).split())
    number = _OS_ERROR.search(cause)
    if number is not None and (system := int(number[1])) not in _MISSING:
        remedy = "; make room, or give leave to write" if system in _FULL else ""
        return OSError(f"{place}: {os.strerror(system)}{remedy}")
    if any(words in cause.lower() for words in _DAMAGED) and not is_remote(place):
        return ValueError(
            f"{place}: a damaged bank: a file of it is cut, changed or missing; take a copy, or remove it and fit it "
            "anew"
        )
    told = _SOURCE.sub("", cause)[:200]
    return OSError(f"{place}: cannot be read or written, or holds no whole bank ({told}); take a copy of it")
