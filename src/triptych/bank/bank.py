"""The photos of very many classes, in tables of a LanceDB database."""

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from triptych.bank.place import PHOTOS, RECENT, STATE, is_remote, place_of, turn_to_change
from triptych.bank.rows import Row, schema, supports_of, to_table
from triptych.methods import Method
from triptych.support import Support
from triptych.system.extras import extra

__all__ = ["Bank"]

_BULK = 500  # rows that are not worth a stay among the recent ones
_RECENT = 1000  # rows that wait in a table of their own, so that each change touches little
_SMALL_FILES = 32  # of recent rows, before they are joined
_GROWTH = 4  # rows are indexed anew when more than this part of them is not
_INDEXED = 10_000  # rows from which an index of vectors is worth it
_STABLE = {"new_table_enable_stable_row_ids": "true"}  # numbers of rows that outlive the joining of files
_WHOLE = ["label", "id", "name", "descriptors", "thumbnail"]
_KEPT = timedelta(hours=1)  # earlier versions, for readers that are at work


class Bank:
    """Photos of very many classes, one row each.

    Rows lie in two tables. Changes go to a small one, ``recent``, whose rows move to the large one, ``photos``, a
    thousand at a time: that is what keeps a change as fast as the first. Each change of a class is one commit, so that
    a killed process leaves all of it or nothing.

    Args:
        place: a folder, or an address of object storage.

    Raises:
        RuntimeError: LanceDB is not installed.
        ValueError: no such place.
    """

    def __init__(self, place: str) -> None:
        self.place = place_of(place)
        with extra("bank", "a bank needs lancedb"):
            import lancedb
        self._database = lancedb.connect(self.place, read_consistency_interval=timedelta(0))
        self._tables: dict[str, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"place": self.place}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["place"])  # type: ignore[misc]

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Inside the block, no other process changes the bank; on object storage the caller sees to that."""
        with turn_to_change(self.place):
            yield

    @property
    def exists(self) -> bool:
        """Whether it has been made, whole."""
        return STATE in self._names()

    def create(self, size: int) -> None:
        """Begin an empty bank, of vectors with so many entries; what is there is removed.

        Until a state is written, it is not a bank yet.
        """
        for name in (STATE, RECENT, PHOTOS):
            if name in self._names():
                self._database.drop_table(name)
        self._tables.clear()
        for name in (PHOTOS, RECENT):
            self._tables[name] = self._database.create_table(name, schema=schema(size), storage_options=_STABLE)

    def drop(self) -> None:
        """Remove it, with all its photos."""
        for name in (STATE, RECENT, PHOTOS):
            if name in self._names():
                self._database.drop_table(name)
        self._tables.clear()
        if not is_remote(self.place) and not any(Path(self.place).iterdir()):
            shutil.rmtree(self.place)

    def write_state(self, data: bytes) -> None:
        """Replace what is known of all classes together, in one commit."""
        table = pa.table({"state": pa.array([data], pa.large_binary())})
        mode = "overwrite" if self.exists else "create"
        self._tables[STATE] = self._database.create_table(STATE, table, mode=mode)

    def read_state(self) -> bytes:
        """What ``write_state`` wrote.

        Raises:
            ValueError: there is none.
        """
        if not self.exists:
            raise ValueError(f"{self.place}: no bank, or one whose fit was interrupted; fit it anew")
        return self._table(STATE).search().select(["state"]).to_arrow()["state"][0].as_py()

    @property
    def state_version(self) -> int:
        """Which one ``read_state`` reads."""
        return self._table(STATE).version

    @property
    def version(self) -> tuple[int, int]:
        """Which photos it holds; another after each change."""
        return self._table(PHOTOS).version, self._table(RECENT).version

    def add(self, rows: Sequence[Row]) -> None:
        """Add photos, all of them or none; none may be there already."""
        if rows:
            self._table(RECENT if len(rows) < _BULK else PHOTOS).add(to_table(rows))
            self.tidy()

    def remove(self, label: str) -> None:
        """Remove a class."""
        self._delete(f"label = {_quoted(label)}")

    def remove_photo(self, photo: str) -> None:
        """Remove a photo."""
        self._delete(f"id = {_quoted(photo)}")

    def supports(
        self, method: Method, labels: Iterable[str], views: int, without_last: bool = False
    ) -> dict[str, Support]:
        """These classes; those that are not there are left out. See ``supports_of``."""
        wanted = list(labels)
        if not wanted:
            return {}
        rows = self._whole_rows(f"label IN {_listed(wanted)}")
        found = supports_of(method, rows, views, self.place, without_last)
        return {label: found[label] for label in wanted if label in found}

    def owners(self, photos: Iterable[str]) -> dict[str, str]:
        """id -> label, of the photos that are there."""
        wanted = list(photos)
        rows = self._rows(f"id IN {_listed(wanted)}", ["id", "label"]) if wanted else None
        return {} if rows is None else dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))

    def photos_beginning(self, start: str) -> dict[str, str]:
        """id -> label, of the photos whose ids, hexadecimal digits, begin so."""
        rows = self._rows(f"id >= {_quoted(start)} AND id < {_quoted(start + 'g')}", ["id", "label"])
        return dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))

    def count(self, label: str) -> int:
        """How many photos a class has."""
        return len(set(self._rows(f"label = {_quoted(label)}", ["id"])["id"].to_pylist()))

    def has_others(self, label: str, count: int) -> bool:
        """Whether so many classes are there beside this one."""
        known = [label]
        for _ in range(count):
            rows = self._rows(f"label NOT IN {_listed(known)}", ["label"], limit=1)
            if not len(rows):
                return False
            known.append(rows["label"][0].as_py())
        return True

    def counts(self) -> Counter[str]:
        """label -> how many photos; all labels are read."""
        rows = self._rows(None, ["label", "id"])
        pairs = set(zip(rows["label"].to_pylist(), rows["id"].to_pylist(), strict=True))
        return Counter(label for label, _ in pairs)

    def all_vectors(self) -> tuple[list[str], np.ndarray]:
        """The label and the vector of every photo, to be searched by other means."""
        rows = self._rows(None, ["label", "vector"])
        vectors = rows["vector"].combine_chunks()
        return rows["label"].to_pylist(), vectors.flatten().to_numpy().reshape(len(rows), -1)

    def __len__(self) -> int:
        return self._table(PHOTOS).count_rows() + self._table(RECENT).count_rows()

    def shortlist(self, vector: Float[Tensor, " D"], count: int, exact: bool = False) -> list[str]:
        """The labels of at most ``count`` classes with the photos that lie nearest, the nearest first.

        Args:
            vector: of the photo asked about.
            count: of classes.
            exact: compare the vectors themselves, in place of the index's, which have a byte a number.
        """
        photos, found = count * 4, []
        while True:
            rows = self._nearest(vector, photos, exact)
            found = list(dict.fromkeys(rows["label"].to_pylist()))[:count]
            if len(found) == count or len(rows) < photos:
                return found
            photos *= 4

    def tidy(self) -> None:
        """Join what many small changes have left; nothing is lost if it is interrupted.

        Recent rows move a thousand at a time, and all rows are indexed anew, their descriptors untouched, when they are
        a third more: of the work of all changes together, each photo's share stays the same.
        """
        recent, photos = self._table(RECENT), self._table(PHOTOS)
        if recent.count_rows() >= _RECENT:
            photos.add(recent.search().to_arrow())
            recent.delete("true")
        if recent.stats()["fragment_stats"]["num_fragments"] > _SMALL_FILES:
            recent.optimize(cleanup_older_than=_KEPT)
        self._index(photos)

    def _index(self, photos: Any) -> None:
        from lancedb.index import BTree, IvfSq

        rows = photos.count_rows()
        indexed = {one.columns[0]: one.num_indexed_rows or 0 for one in photos.list_indices()}
        kinds = {
            "label": (_RECENT, BTree()),
            "id": (_RECENT, BTree()),
            # One partition: vectors of so many axes lie in no clusters, and a search of some would miss the nearest.
            "vector": (_INDEXED, IvfSq(distance_type="l2", num_partitions=1)),
        }
        for column, (fewest, kind) in kinds.items():
            if rows >= fewest and _GROWTH * (rows - indexed.get(column, 0)) > rows:
                photos.create_index(column, config=kind, replace=True)

    def compact(self) -> None:
        """Give the space of removed photos back; all others are written anew."""
        for name in (RECENT, PHOTOS):
            self._table(name).optimize(cleanup_older_than=_KEPT)

    def _delete(self, where: str) -> None:
        for name in (RECENT, PHOTOS):
            table = self._table(name)
            if table.count_rows(where):
                table.delete(where)

    def _rows(self, where: str | None, columns: list[str], limit: int | None = None) -> pa.Table:
        """Rows of both tables; of the recent ones first, as rows that move are for a while in both."""
        found = []
        for name in (RECENT, PHOTOS):
            query = self._table(name).search().select(columns)
            query = query if where is None else query.where(where)
            found.append((query if limit is None else query.limit(limit)).to_arrow())
        return pa.concat_tables(found)

    def _whole_rows(self, where: str) -> pa.Table:
        """As ``_rows``; rows are found first, for a search would read all columns of rows that are not indexed yet."""
        found = []
        for name in (RECENT, PHOTOS):
            table = self._table(name)
            numbers = table.search().select(["label"]).where(where).with_row_id(True).to_arrow()["_rowid"]
            found.append(table.take_row_ids(numbers.to_pylist()).select(_WHOLE).to_arrow())
        return pa.concat_tables(found)

    def _nearest(self, vector: Float[Tensor, " D"], count: int, exact: bool) -> pa.Table:
        found = []
        for name in (RECENT, PHOTOS):
            query = self._table(name).search(vector.cpu().numpy(), vector_column_name="vector").distance_type("l2")
            query = query.bypass_vector_index() if exact else query
            found.append(query.select(["label", "_distance"]).limit(count).to_arrow())
        rows = pa.concat_tables(found)
        return rows.sort_by("_distance").slice(0, count)

    def _names(self) -> set[str]:
        return set(self._database.list_tables(limit=100).tables)

    def _table(self, name: str) -> Any:
        if name not in self._tables:
            if name not in self._names():
                raise ValueError(f"{self.place}: no bank; fit one there, or name another place")
            self._tables[name] = self._database.open_table(name)
        return self._tables[name]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _listed(texts: Sequence[str]) -> str:
    return f"({', '.join(map(_quoted, texts))})"
