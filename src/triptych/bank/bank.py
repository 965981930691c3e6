"""The photos of very many classes, in tables of a LanceDB database."""

import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from torch import Tensor

from triptych.bank.place import PHOTOS, RECENT, STATE, place_of, turn_to_change
from triptych.bank.rows import Row, schema, supports_of, to_table
from triptych.bank.tables import Tables, listed, quoted
from triptych.methods import Method
from triptych.support import Support

__all__ = ["Bank"]

_BULK = 500  # rows that are not worth a stay among the recent ones
_RECENT = 1000  # rows that wait in a table of their own, so that each change touches little
_SMALL_FILES = 32  # of recent rows, before they are joined
_GROWTH = 4  # rows are indexed anew when more than this part of them is not
_INDEXED = 10_000  # rows from which an index of vectors is worth it
_STATE = pa.schema([("fitted", pa.string()), ("state", pa.large_binary())])
_WHOLE = ["label", "id", "name", "descriptors", "thumbnail"]


class Bank:
    """Photos of very many classes, one row each.

    Rows lie in two tables. Changes go to a small one, ``recent``, whose rows move to the large one, ``photos``, a
    thousand at a time: that is what keeps a change as fast as the first. Each change of a class is one commit, so that
    a killed process leaves all of it or nothing.

    Args:
        place: a folder, or an address of object storage.

    Raises:
        RuntimeError: LanceDB is not installed.
        OSError: by any method, where the place cannot be read or written.
        ValueError: no such place; by any method, where the bank is damaged.
    """

    def __init__(self, place: str) -> None:
        self.place = place_of(place)
        self._tables = Tables(self.place)

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
        return STATE in self._tables.names()

    def create(self, size: int) -> None:
        """Begin an empty bank, of vectors with so many entries; what is there is removed.

        Until a state is written, it is not a bank yet.
        """
        self.drop()
        for name in (PHOTOS, RECENT):
            self._tables.create(name, schema(size))

    def refuse_foreign(self) -> None:
        """Refuse a place with tables of other programs, which must not be removed.

        Raises:
            ValueError: there is such a table.
        """
        photos = set(schema(1).names)
        ours = {STATE: set(_STATE.names), RECENT: photos, PHOTOS: photos}
        for name, columns in ours.items():
            if name in self._tables.names() and set(self._tables.columns(name)) != columns:
                raise ValueError(
                    f"{self.place}: holds a table {name} that Triptych did not write; name a folder of its own"
                )

    def check(self, size: int) -> None:
        """Refuse tables that are not those of vectors with so many entries, or without photos.

        Raises:
            ValueError: there is such a table, or no photo.
        """
        expected = {field.name: field.type for field in schema(size)}
        for name in (RECENT, PHOTOS):
            if self._tables.columns(name) != expected:
                raise ValueError(f"{self.place}: a damaged bank: its table {name} has other columns; fit it anew")
        if not len(self):
            raise ValueError(f"{self.place}: a damaged bank: its photos are gone; take a copy, or fit it anew")

    def drop(self) -> None:
        """Remove it, with all its photos."""
        self._tables.drop((STATE, RECENT, PHOTOS))

    def write_state(self, data: bytes) -> None:
        """Replace what is known of all classes together, in one commit."""
        fitted = self.state_version[0] if self.exists else secrets.token_hex(8)
        self._tables.write(STATE, pa.table({"fitted": [fitted], "state": [data]}, _STATE))

    def read_state(self) -> bytes:
        """What ``write_state`` wrote.

        Raises:
            ValueError: there is none.
        """
        self._check_whole()
        return self._of_state("state")

    @property
    def state_version(self) -> tuple[str, int]:
        """Which fit, as another may take its place, and which state ``read_state`` reads; the errors are the same."""
        self._check_whole()
        return self._of_state("fitted"), self._tables.version(STATE)

    @property
    def version(self) -> tuple[int, int]:
        """Which photos it holds; another after each change."""
        return self._tables.version(PHOTOS), self._tables.version(RECENT)

    def add(self, rows: Sequence[Row]) -> None:
        """Add photos, all of them or none; none may be there already."""
        if rows:
            self._tables.add(RECENT if len(rows) < _BULK else PHOTOS, to_table(rows))
            self.tidy()

    def remove(self, label: str) -> None:
        """Remove a class."""
        self._delete(f"label = {quoted(label)}")

    def remove_photo(self, photo: str) -> None:
        """Remove a photo."""
        self._delete(f"id = {quoted(photo)}")

    def supports(
        self, method: Method, labels: Iterable[str], views: int, without_last: bool = False
    ) -> dict[str, Support]:
        """These classes; those that are not there are left out. See ``supports_of``."""
        wanted = list(labels)
        if not wanted:
            return {}
        rows = self._whole_rows(f"label IN {listed(wanted)}")
        found = supports_of(method, rows, views, self.place, without_last)
        return {label: found[label] for label in wanted if label in found}

    def owners(self, photos: Iterable[str]) -> dict[str, str]:
        """id -> label, of the photos that are there."""
        wanted = list(photos)
        rows = self._rows(f"id IN {listed(wanted)}", ["id", "label"]) if wanted else None
        return {} if rows is None else dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))

    def photos_beginning(self, start: str) -> dict[str, str]:
        """id -> label, of the photos whose ids, hexadecimal digits, begin so."""
        rows = self._rows(f"id >= {quoted(start)} AND id < {quoted(start + 'g')}", ["id", "label"])
        return dict(zip(rows["id"].to_pylist(), rows["label"].to_pylist(), strict=True))

    def count(self, label: str) -> int:
        """How many photos a class has."""
        return len(set(self._rows(f"label = {quoted(label)}", ["id"])["id"].to_pylist()))

    def has_others(self, label: str, count: int) -> bool:
        """Whether so many classes are there beside this one."""
        known = [label]
        for _ in range(count):
            rows = self._rows(f"label NOT IN {listed(known)}", ["label"], limit=1)
            if not len(rows):
                return False
            known.append(rows["label"][0].as_py())
        return True

    def counts(self) -> Counter[str]:
        """label -> how many photos; all labels are read."""
        rows = self._rows(None, ["label", "id"])
        pairs = set(zip(rows["label"].to_pylist(), rows["id"].to_pylist(), strict=True))
        return Counter(label for label, _ in pairs)

    def listing(self) -> dict[str, dict[str, str]]:
        """label -> id -> name of the file, of all photos."""
        rows = self._rows(None, ["label", "id", "name"])
        found: dict[str, dict[str, str]] = {}
        for label, photo, name in sorted(zip(*(column.to_pylist() for column in rows.columns), strict=True)):
            found.setdefault(label, {})[photo] = name
        return found

    def all_vectors(self) -> tuple[list[str], np.ndarray]:
        """The label and the vector of every photo, to be searched by other means."""
        rows = self._rows(None, ["label", "vector"])
        vectors = rows["vector"].combine_chunks()
        return rows["label"].to_pylist(), vectors.flatten().to_numpy().reshape(len(rows), -1)

    def __len__(self) -> int:
        return self._tables.count(PHOTOS) + self._tables.count(RECENT)

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
        if self._tables.count(RECENT) >= _RECENT:
            self._move_recent()
        if self._tables.files(RECENT) > _SMALL_FILES:
            self._tables.join_files(RECENT)
        with self._tables.told():
            self._index(self._tables[PHOTOS])

    def _move_recent(self) -> None:
        """Move all recent rows to the large table, but for those that an interrupted move has left there."""
        rows = self._tables.rows(RECENT, None)
        there = self._tables.rows(PHOTOS, ["id"], f"id IN {listed(rows['id'].to_pylist())}")
        self._tables.add(PHOTOS, rows.filter(pc.invert(pc.is_in(rows["id"], there["id"]))))
        self._tables.delete(RECENT, "true")

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

    def _of_state(self, column: str) -> Any:
        if self._tables.columns(STATE) != dict(zip(_STATE.names, _STATE.types, strict=True)):
            raise ValueError(f"{self.place}: no bank of this version of triptych; remove it, and fit it anew")
        found = self._tables.rows(STATE, [column])[column]
        if len(found) != 1 or found.null_count:
            raise ValueError(f"{self.place}: a damaged bank, without its state; take a copy, or fit it anew")
        return found[0].as_py()

    def _check_whole(self) -> None:
        if not self.exists:
            raise ValueError(f"{self.place}: no bank, or one whose fit was interrupted; fit it anew")

    def compact(self) -> None:
        """Give the space of removed photos back; all others are written anew."""
        for name in (RECENT, PHOTOS):
            self._tables.join_files(name)

    def _delete(self, where: str) -> None:
        for name in (RECENT, PHOTOS):
            self._tables.delete(name, where)

    def _rows(self, where: str | None, columns: list[str], limit: int | None = None) -> pa.Table:
        """Rows of both tables; of the recent ones first, as rows that move are for a while in both."""
        return self._joined(self._tables.rows(name, columns, where, limit) for name in (RECENT, PHOTOS))

    def _whole_rows(self, where: str) -> pa.Table:
        return self._joined(self._tables.whole_rows(name, _WHOLE, where) for name in (RECENT, PHOTOS))

    def _nearest(self, vector: Float[Tensor, " D"], count: int, exact: bool) -> pa.Table:
        asked = vector.cpu().numpy()
        found = (self._tables.nearest(name, asked, ["label"], count, exact) for name in (RECENT, PHOTOS))
        return self._joined(found).sort_by("_distance").slice(0, count)

    def _joined(self, tables: Iterable[pa.Table]) -> pa.Table:
        rows = pa.concat_tables(tables)
        if any(column.null_count for column in rows.columns):
            raise ValueError(f"{self.place}: a damaged bank: a photo lacks a part; take a copy, or fit it anew")
        return rows
