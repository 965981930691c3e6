"""Answers as a table: CSV, JSON lines or Parquet, written row by row."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, BinaryIO

from triptych.system.batches import in_batches

__all__ = ["COLUMNS", "SET", "WRITERS", "Row", "formulas"]

Row = dict[str, Any]

COLUMNS = ("image", "label", "probability", "nearest", "in_support", "error")
SET = "prediction_set"  # one more column, where sets were asked for: a list, which CSV holds as JSON

_FORMULA = re.compile(r"[=+\-@\t\r]")
_CHUNK = 10_000  # rows of a Parquet row group, held at a time


def formulas(row: Row) -> int:
    """How many texts of a row a spreadsheet takes for formulas, by how they begin.

    They are written as they are. A quote before them would be a part of the name for everything that is no
    spreadsheet: ``triptych fit`` on such a table would learn other classes, from photos that do not exist.

    >>> from triptych.folders.tables import formulas
    >>> formulas({"image": "-1.jpg", "label": "=1+1", "nearest": "-7", "probability": -0.5})
    2
    """
    texts = [value for value in row.values() if isinstance(value, str) and _FORMULA.match(value)]
    return sum(not _is_number(text) for text in texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _write_csv(file: BinaryIO, rows: Iterable[Row], labels: Sequence[Any], sets: bool = False) -> None:
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    writer = csv.DictWriter(text, [*COLUMNS, *([SET] if sets else [])])
    writer.writeheader()
    for row in rows:
        some = row.get(SET) is not None
        writer.writerow({**row, SET: json.dumps(row[SET], ensure_ascii=False)} if some else row)
    text.detach()  # flushes, and leaves the file open


def _write_json_lines(file: BinaryIO, rows: Iterable[Row], labels: Sequence[Any], sets: bool = False) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")


def _write_parquet(file: BinaryIO, rows: Iterable[Row], labels: Sequence[Any], sets: bool = False) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {type(label) for label in labels}
    numbers = {bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    kind = numbers.get(kinds.pop(), pa.string()) if len(kinds) == 1 else pa.string()
    types = (pa.string(), kind, pa.float64(), kind, pa.bool_(), pa.string())
    schema = pa.schema([*zip(COLUMNS, types, strict=True), *([(SET, pa.list_(kind))] if sets else [])])
    with pq.ParquetWriter(file, schema) as writer:
        for chunk in in_batches(rows, _CHUNK):
            if kind == pa.string():
                chunk = [_as_text(row) for row in chunk]
            writer.write_table(pa.Table.from_pylist(chunk, schema))


def _as_text(row: Row) -> Row:
    """A row whose labels are text."""
    likely = row.get(SET)
    named = {name: None if row[name] is None else str(row[name]) for name in ("label", "nearest")}
    return {**row, **named, SET: None if likely is None else [str(one) for one in likely]}


# Ending -> (file, rows, all labels that may occur, whether rows have sets) -> None. A column of Parquet has one type:
# labels that differ in theirs become text.
WRITERS: dict[str, Callable[[BinaryIO, Iterable[Row], Sequence[Any], bool], None]] = {
    ".csv": _write_csv,
    ".jsonl": _write_json_lines,
    ".parquet": _write_parquet,
}
