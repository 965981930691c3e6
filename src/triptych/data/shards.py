"""The Parquet files of a folder, of which none may be missing."""

import re
from collections.abc import Iterable
from pathlib import Path

from triptych.system.wording import first_few, printable

__all__ = ["parquet_files", "refuse_missing_shards"]

_SHARD = re.compile(r"(.*)-(\d+)-of-(\d+)(.*)")
_MOST = 100_000  # shards that a name may speak of


def parquet_files(folder: Path) -> list[Path]:
    """The Parquet files in a folder, sorted and without hidden ones.

    Raises:
        ValueError: by their names, one of them is missing.

    >>> from triptych.data import parquet_files
    >>> parquet_files(Path("nowhere"))
    []
    """
    files = sorted(path for path in folder.glob("*.parquet") if path.is_file() and not path.name.startswith("."))
    refuse_missing_shards([path.name for path in files], folder)
    return files


def refuse_missing_shards(names: Iterable[str], place: str | Path) -> None:
    """Refuse a part of the files that belong together: their names say how many there are.

    Args:
        names: of all files.
        place: where they lie, for the message.

    Raises:
        ValueError: one is missing.

    >>> from triptych.data import refuse_missing_shards
    >>> refuse_missing_shards(["train-00000-of-00002.parquet"], "photos")
    Traceback (most recent call last):
    ValueError: photos: Parquet files are missing: train-00001-of-00002; add them, or name one file
    """
    found: dict[tuple[str, str], set[int]] = {}
    for shard in filter(None, map(_SHARD.fullmatch, names)):
        found.setdefault((shard[1], shard[3]), set()).add(int(shard[2]))
    for (beginning, total), numbers in found.items():
        if len(numbers) < int(total):
            missing = sorted(set(range(min(int(total), _MOST))) - numbers)
            told = [printable(f"{beginning}-{number:0{len(total)}d}-of-{total}") for number in missing]
            raise ValueError(
                f"{printable(place)}: Parquet files are missing: {first_few(told)}; add them, or name one file"
            )
