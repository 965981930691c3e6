"""Answers to photos on their way into a table: a line each, so that a killed run goes on from there."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

from triptych.data import reading_conditions
from triptych.engines import Engine, PhotoSet, Question
from triptych.folders.tables import SET, Row
from triptych.recognizer import QUERY_BATCH, Answer, Recognizer, plain_label
from triptych.system.batches import in_batches

__all__ = ["appending", "header_of", "journal_rows", "record_answers", "resume"]

_NONE = type(None)
_TOLD: Mapping[str, Any] = {  # what a row has, of a photo that was recognised
    "label": str | int | float,
    "probability": float,
    "nearest": str | int | float,
    "in_support": bool,
    "error": _NONE,
}
_REFUSED: Mapping[str, Any] = {
    "label": _NONE,
    "probability": _NONE,
    "nearest": _NONE,
    "in_support": _NONE,
    "error": str,
}


def header_of(recognizer: Recognizer, photos: PhotoSet, question: Question, engine: Engine) -> Row:
    """What the answers depend on. Engines with the same answers bit for bit share their journals.

    Cameras number their photos alike, so that names do not tell a folder from another.
    """
    unknown = question.unknown
    listing = hashlib.blake2b(digest_size=16)
    for text in chain(photos.names, photos.marks()):
        listing.update(os.fsencode(text) + b"\0")
    return {
        "format": "triptych-answers",
        "version": 3,
        "recognizer": recognizer.fingerprint(),
        "photos": len(photos.names),
        "listing": listing.hexdigest(),
        "conditions": reading_conditions(),
        "unknown": None if unknown is None else plain_label(unknown),
        "false_alarm": None if unknown is None else question.false_alarm,
        "coverage": question.coverage,
        **({} if engine.exact else {"engine": engine.name}),
    }


@contextmanager
def appending(journal: Path) -> Iterator[BinaryIO]:
    """A journal, which is made if it does not exist.

    Raises:
        OSError: it cannot be written; the message names it.
    """
    try:
        with journal.open("a+b") as file:
            yield file
    except OSError as error:
        raise OSError(f"{journal}: cannot be written ({error.strerror or error})") from error


def resume(file: BinaryIO, header: Row, photos: Sequence[str], journal: Path) -> int:
    """How many photos a journal answers already; what a kill has torn is cut off.

    Only whole batches count, so that the rest is compared in the batches of an uninterrupted run: the same bits.

    Raises:
        ValueError: its header is not ``header``.
    """
    expected = json.dumps(header).encode() + b"\n"
    file.seek(0)
    first = file.readline(len(expected))
    if first != expected:
        if not expected.startswith(first):
            raise ValueError(
                f"{journal}: holds answers of another recogniser, folder, photo, setting, engine or version; remove it "
                "to start anew, or name another file for the answers"
            )
        file.truncate(0)
        file.write(expected)
        return 0
    done = whole = 0
    place = end = len(expected)
    for line, name in zip(file, photos, strict=False):
        if not _answers(line, _text(name), with_sets=header["coverage"] is not None):
            break
        done, place = done + 1, place + len(line)
        if done % QUERY_BATCH == 0 or done == len(photos):
            whole, end = done, place
    file.truncate(end)
    return whole


def _answers(line: bytes, image: str, with_sets: bool) -> bool:
    """Whether a line of a journal is a whole answer to a photo: none that is torn, or that something else wrote."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return False
    if not isinstance(row, dict) or not line.endswith(b"\n") or row.get("image") != image:
        return False
    told = row.get("error") is None
    kinds = {**(_TOLD if told else _REFUSED), **({SET: list if told else _NONE} if with_sets else {})}
    whole = row.keys() == {"image", *kinds} and all(isinstance(row[name], kind) for name, kind in kinds.items())
    return whole and (not told or 0 <= row["probability"] <= 1)


def record_answers(file: BinaryIO, answers: Iterator[Answer], photos: Sequence[str], with_sets: bool) -> None:
    """Append the answers, a batch at a time."""
    for batch in in_batches(zip(photos, answers, strict=True), QUERY_BATCH):
        file.write("".join(json.dumps(_row(name, answer, with_sets)) + "\n" for name, answer in batch).encode())
        file.flush()


def _row(name: str, answer: Answer, with_sets: bool) -> Row:
    read = answer.error is None
    sets = {SET: list(map(plain_label, answer.prediction_set or ())) if read else None} if with_sets else {}
    return {
        "image": _text(name),
        "label": plain_label(answer.label) if read else None,
        "probability": answer.probability if read else None,
        "nearest": plain_label(answer.nearest) if read else None,
        "in_support": answer.in_support if read else None,
        "error": None if answer.error is None else _text(answer.error.removeprefix(f"{answer.image}: ")),
        **sets,
    }


def _text(name: str) -> str:
    """The name of a file, which may be any bytes, as text."""
    return name.encode(errors="backslashreplace").decode()


def journal_rows(journal: Path) -> Iterator[Row]:
    """The rows of a journal that is complete."""
    with journal.open("rb") as file:
        file.readline()  # the header
        for line in file:
            yield json.loads(line)
