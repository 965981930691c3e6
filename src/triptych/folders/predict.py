"""Recognise a folder of any size into a file; a run that was killed goes on where it stopped."""

import hashlib
import json
import os
import time
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from triptych.data import is_image, walk, warn_of_unread
from triptych.folders.tables import SET, WRITERS, Row
from triptych.recognizer import QUERY_BATCH, Answer, Recognizer, plain_label
from triptych.system.files import as_path, turn_to_write, writing_whole
from triptych.system.progress import track
from triptych.system.wording import counted, printable

__all__ = ["BatchSummary", "FolderPhotos", "beside_photos", "photos_below", "predict_folder"]


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


@dataclass(frozen=True)
class FolderPhotos:
    """What there is to recognise in a folder.

    Attributes:
        names: paths in the folder, sorted.
        not_images: how many other files are no images by their first bytes.
        unread: how many entries may not be read.

    >>> from triptych.folders.predict import FolderPhotos
    >>> FolderPhotos(("1.jpg",), not_images=1, unread=0).names
    ('1.jpg',)
    """

    names: tuple[str, ...]
    not_images: int
    unread: int


def predict_folder(
    recognizer: Recognizer,
    folder: str | PathLike[str],
    out: str | PathLike[str],
    unknown: Hashable | None = None,
    false_alarm: float = 0.05,
    overwrite: bool = False,
    coverage: float | None = None,
) -> BatchSummary:
    """Recognise all photos of a folder and its sub-folders; of all of them, memory holds the names alone.

    The file gets a row per photo, in the order of their names, with the columns image (its path in the folder),
    label, probability, in_support (it is one of the photos that were learnt from), error (why it cannot be read) and,
    with ``coverage``, prediction_set (see ``Recognizer.predict_sets``). Files that are no images by their first bytes
    get none. The file appears when it is complete. Until then the answers are in ``NAME.partial`` beside it: called
    again with the same arguments, the function goes on from there, and ends with the file of a run that was never
    interrupted.

    Args:
        recognizer: a fitted recogniser.
        folder: hidden files in it are left out, and so are the answers themselves.
        out: a .csv, .jsonl or .parquet file.
        unknown: what to answer for photos of none of the classes; None to choose a class always.
        false_alarm: see ``Recognizer.predict``.
        overwrite: replace ``out`` if it exists.
        coverage: how often the set of each photo holds its class; None for no sets.

    Raises:
        ValueError: no such folder, or no photos in it; a file that exists, or has another ending; ``NAME.partial``
            holds answers of another recogniser, folder or setting; unknowns or sets cannot be told.
        RuntimeError: another process is writing the same file.
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
    folder, out = as_path(folder), as_path(out)
    if out.suffix not in WRITERS:
        raise ValueError(f"{out}: expected the name of a file that ends in {', '.join(WRITERS)}")
    if not out.parent.is_dir():
        raise ValueError(f"{out}: expected a file in a folder that exists")
    journal = out.with_name(f"{out.name}.partial")
    found = photos_below(folder, without=(out, journal))
    photos = found.names
    header = _header(recognizer, photos, unknown, false_alarm, coverage)
    recognizer.answers((), unknown, false_alarm, coverage)  # what cannot be told is an error before there is a file
    with turn_to_write(out, wait=False):
        if out.exists() and not overwrite:
            raise ValueError(f"{out}: exists already; remove it, or name another file for the answers")
        with _appending(journal) as file:
            done = _continue(file, header, photos, journal)
            asked = photos[done:]
            answers = recognizer.answers((folder / name for name in asked), unknown, false_alarm, coverage)
            began = time.perf_counter()
            _record(file, track(answers, "recognising", total=len(asked)), folder, asked, coverage)
            rate = len(asked) / (time.perf_counter() - began)
        labels = [plain_label(label) for label in (*recognizer.support_, *([] if unknown is None else [unknown]))]
        counts = {"unknown": 0, "unreadable": 0}
        with writing_whole(out) as file:
            WRITERS[out.suffix](file, _counted(_rows(journal), unknown, counts), labels, coverage is not None)
        journal.unlink()
    seconds = time.perf_counter() - start
    counts |= {"not_images": found.not_images, "unread": found.unread}
    return BatchSummary(str(out), len(photos), resumed=done, seconds=seconds, photos_per_second=rate, **counts)


def photos_below(folder: Path, without: Iterable[Path] = ()) -> FolderPhotos:
    """The photos in a folder and its sub-folders; hidden ones are left out, and a warning names what may not be read.

    Args:
        folder: where.
        without: files and folders to leave out.

    Raises:
        ValueError: no such folder, or no photos in it.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from triptych.folders.predict import photos_below
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.png", "a.png", ".hidden.png"):
    ...         Image.new("RGB", (9, 9)).save(Path(folder, name))
    ...     _ = Path(folder, "README.md").write_text("My photos")
    ...     photos_below(Path(folder))
    FolderPhotos(names=('a.png', 'b.png'), not_images=1, unread=0)
    """
    if not os.path.isdir(folder):
        raise ValueError(f"{printable(folder)}: no such folder; expected a folder of photos")
    root, left_out = folder.resolve(), [path.resolve() for path in without]
    inside = [str(path.relative_to(root)) for path in left_out if path.is_relative_to(root)]
    below = tuple(f"{name}{os.sep}" for name in inside)
    found = walk(folder)
    names = (str(path.relative_to(folder)) for path in found.files)
    wanted = [name for name in names if name not in inside and not name.startswith(below)]
    photos = tuple(sorted(name for name in wanted if is_image(folder / name)))
    warn_of_unread(folder, found.unread, stacklevel=3)
    if not photos:
        others = f", but {counted(len(wanted), 'other file')}" if wanted else ""
        raise ValueError(f"{printable(folder)}: no photos in the folder{others}; expected photos")
    return FolderPhotos(photos, len(wanted) - len(photos), len(found.unread))


def beside_photos(not_images: int, unread: int) -> str:
    """What else lies in a folder, to follow other counts.

    >>> from triptych.folders.predict import beside_photos
    >>> beside_photos(2, 0)
    '; 2 other files are no images'
    """
    others = f"; {counted(not_images, 'other file')} {'is no image' if not_images == 1 else 'are no images'}"
    locked = f"; {unread} of its entries could not be read"
    return (others if not_images else "") + (locked if unread else "")


def _header(
    recognizer: Recognizer, photos: Sequence[str], unknown: Any, false_alarm: float, coverage: float | None
) -> Row:
    """What the answers depend on."""
    listing = hashlib.blake2b(digest_size=16)
    for name in photos:
        listing.update(os.fsencode(name) + b"\0")
    return {
        "format": "triptych-answers",
        "version": 1,
        "recognizer": recognizer.fingerprint(),
        "photos": len(photos),
        "listing": listing.hexdigest(),
        "unknown": None if unknown is None else plain_label(unknown),
        "false_alarm": None if unknown is None else false_alarm,
        "coverage": coverage,
    }


@contextmanager
def _appending(journal: Path) -> Iterator[BinaryIO]:
    try:
        with journal.open("a+b") as file:
            yield file
    except OSError as error:
        raise OSError(f"{journal}: cannot be written ({error.strerror or error})") from error


def _continue(file: BinaryIO, header: Row, photos: Sequence[str], journal: Path) -> int:
    """How many photos a journal answers already; what a kill has torn is cut off.

    Only whole batches count, so that the rest is compared in the batches of an uninterrupted run: the same bits.
    """
    expected = json.dumps(header).encode() + b"\n"
    file.seek(0)
    first = file.readline(len(expected))
    if first != expected:
        if not expected.startswith(first):
            raise ValueError(
                f"{journal}: holds answers of another recogniser, folder or setting; remove it to start anew, "
                "or name another file for the answers"
            )
        file.truncate(0)
        file.write(expected)
        return 0
    done = whole = 0
    place = end = len(expected)
    for line, name in zip(file, photos, strict=False):
        if _image(line) != _text(name):
            break
        done, place = done + 1, place + len(line)
        if done % QUERY_BATCH == 0 or done == len(photos):
            whole, end = done, place
    file.truncate(end)
    return whole


def _image(line: bytes) -> str | None:
    """What a line of a journal answers; None if it is torn."""
    try:
        return json.loads(line)["image"] if line.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError):
        return None


def _record(
    file: BinaryIO, answers: Iterator[Answer], folder: Path, photos: Sequence[str], coverage: float | None
) -> None:
    """Append the answers, a batch at a time."""
    named = zip(photos, answers, strict=True)
    while batch := list(islice(named, QUERY_BATCH)):
        file.write("".join(json.dumps(_row(name, answer, folder, coverage)) + "\n" for name, answer in batch).encode())
        file.flush()


def _row(name: str, answer: Answer, folder: Path, coverage: float | None) -> Row:
    read = answer.error is None
    sets = {} if coverage is None else {SET: None if not read else list(map(plain_label, answer.prediction_set or ()))}
    return {
        "image": _text(name),
        "label": plain_label(answer.label) if read else None,
        "probability": answer.probability if read else None,
        "in_support": answer.in_support if read else None,
        "error": None if answer.error is None else _text(answer.error.removeprefix(f"{printable(folder / name)}: ")),
        **sets,
    }


def _text(name: str) -> str:
    """The name of a file, which may be any bytes, as text."""
    return name.encode(errors="backslashreplace").decode()


def _rows(journal: Path) -> Iterator[Row]:
    with journal.open("rb") as file:
        file.readline()  # the header
        for line in file:
            yield json.loads(line)


def _counted(rows: Iterable[Row], unknown: Any, counts: dict[str, int]) -> Iterator[Row]:
    for row in rows:
        counts["unreadable"] += row["error"] is not None
        counts["unknown"] += row["error"] is None and unknown is not None and row["label"] == unknown
        yield row
