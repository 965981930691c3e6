"""Recognise any number of photos into a file; a run that was killed goes on where it stopped."""

import time
import warnings
from collections.abc import Hashable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from triptych.engines import Engine, LocalEngine, Question
from triptych.folders.journal import appending, header_of, journal_rows, record_answers, resume
from triptych.folders.places import photos_at
from triptych.folders.tables import WRITERS, Row, formulas
from triptych.recognizer import Recognizer, plain_label
from triptych.system.files import as_path, writing_whole
from triptych.system.kinds import TABLE
from triptych.system.locks import turn_to_write
from triptych.system.outputs import check_replaced
from triptych.system.progress import track
from triptych.system.wording import counted, printable

__all__ = ["BatchSummary", "predict_folder"]


@dataclass(frozen=True)
class BatchSummary:
    """What came of a folder.

    Attributes:
        file: where the answers are.
        photos: how many there are.
        unknown: of them, called unknown.
        unreadable: of them; their rows say why.
        resumed: of them, answered by earlier runs that did not end.
        seconds: this run took.
        photos_per_second: that this run recognised.
        not_images: other files of the folder, which are no images by their first bytes and were left out.
        unread: entries of the folder that may not be read; a warning names some.
    """

    file: str
    photos: int
    unknown: int
    unreadable: int
    resumed: int
    seconds: float
    photos_per_second: float
    not_images: int = 0
    unread: int = 0


def predict_folder(
    recognizer: Recognizer,
    folder: str | PathLike[str],
    out: str | PathLike[str],
    unknown: Hashable | None = None,
    false_alarm: float = 0.05,
    overwrite: bool = False,
    coverage: float | None = None,
    engine: Engine | None = None,
) -> BatchSummary:
    """Recognise all photos of a folder and its sub-folders; of all of them, memory holds the names alone.

    The file gets a row per photo, in the order of their names, with the columns image (its path in the folder),
    label, probability (of the class in nearest), nearest (the most probable class, also where the label is
    ``unknown``), in_support (it is one of the photos that were learnt from), error (why it cannot be read) and, with
    ``coverage``, prediction_set (see ``Recognizer.predict_sets``). Files that are no images by their first bytes
    get none. The file appears when it is complete. Until then the answers are in ``NAME.partial`` beside it: called
    again with the same arguments, the function goes on from there, and ends with the file of a run that was never
    interrupted.

    Args:
        recognizer: a fitted recogniser.
        folder: hidden files in it are left out, and so are the answers themselves. Also Parquet files, or an address
            of object storage; see ``photos_at``.
        out: a .csv, .jsonl or .parquet file.
        unknown: what to answer for photos of none of the classes; None to choose a class always.
        false_alarm: see ``Recognizer.predict``.
        overwrite: replace ``out`` if it is a table of answers.
        coverage: how often the set of each photo holds its class; None for no sets.
        engine: what computes; by default this process. See ``triptych.engines``.

    Raises:
        ValueError: no such place, or no photos there; a file that exists, or has another ending; ``NAME.partial``
            holds answers of another recogniser, folder, photo, setting, engine or version; unknowns or sets cannot be
            told.
        RuntimeError: another process is writing the same file, or photos cannot be fetched.
        OSError: the file cannot be written.

    Examples:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from triptych import Recognizer
        >>> from triptych.folders.predict import predict_folder
        >>> red, blue = (Image.new("RGB", (90, 90), colour) for colour in ("red", "blue"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     blue.save(f"{folder}/1.png")
        ...     summary = predict_folder(Recognizer().fit([red, blue], ["r", "b"]), folder, f"{folder}/answers.csv")
        ...     Path(f"{folder}/answers.csv").read_text().splitlines()[1].split(",")[:2]
        ['1.png', 'b']
    """
    start = time.perf_counter()
    out, engine, question = as_path(out), engine or LocalEngine(), Question(unknown, false_alarm, coverage)
    _check_place(out)
    journal = out.with_name(f"{out.name}.partial")
    found = photos_at(folder, without=(out, journal))
    names = found.photos.names
    header = header_of(recognizer, found.photos, question, engine)
    engine.check(recognizer, question)
    with turn_to_write(out, wait=False):
        if out.exists() and not overwrite:
            raise ValueError(f"{out}: exists already; remove it, or name another file for the answers")
        check_replaced(out, TABLE)
        with appending(journal) as file:
            done = resume(file, header, names, journal)
            asked = found.photos.part(done, len(names))
            began = time.perf_counter()
            answers = engine.answers(recognizer, asked, question) if asked.names else iter(())
            record_answers(file, track(answers, "recognising", len(asked.names)), asked.names, coverage is not None)
            rate = len(asked.names) / (time.perf_counter() - began)
        labels = [plain_label(label) for label in (*recognizer.support_, *([] if unknown is None else [unknown]))]
        counts = {"unknown": 0, "unreadable": 0, "formulas": 0}
        with writing_whole(out) as file:
            WRITERS[out.suffix.lower()](
                file, _counted(journal_rows(journal), unknown, counts), labels, coverage is not None
            )
        journal.unlink()
    _warn_of_formulas(out, counts.pop("formulas"))
    seconds = time.perf_counter() - start
    counts |= {"not_images": found.not_images, "unread": found.unread}
    return BatchSummary(str(out), len(names), resumed=done, seconds=seconds, photos_per_second=rate, **counts)


def _check_place(out: Path) -> None:
    if out.suffix.lower() not in WRITERS:
        raise ValueError(f"{out}: expected the name of a file that ends in {', '.join(WRITERS)}")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: expected a file in a folder that exists")


def _warn_of_formulas(out: Path, cells: int) -> None:
    if cells and out.suffix.lower() == ".csv":
        warnings.warn(
            f"{printable(out)}: {counted(cells, 'cell')} would be a formula to a spreadsheet, as names of photos or "
            "classes begin with = + - or @; import them as text, or name a .jsonl or .parquet file",
            stacklevel=3,
        )


def _counted(rows: Iterable[Row], unknown: Any, counts: dict[str, int]) -> Iterator[Row]:
    for row in rows:
        counts["unreadable"] += row["error"] is not None
        counts["formulas"] += formulas(row)
        counts["unknown"] += row["error"] is None and unknown is not None and row["label"] == unknown
        yield row
