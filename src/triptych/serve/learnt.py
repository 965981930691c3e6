"""What is learnt of one state of a shelf, and how the next follows from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from triptych.methods import Method
from triptych.recognizer import Recognizer, assembled
from triptych.serve.folder import ShelfFolder
from triptych.serve.index import Index
from triptych.serve.learning import learnt_from
from triptych.support import Support

__all__ = ["Learnt", "calibrated", "learnt_anew", "learnt_before"]


@dataclass(frozen=True)
class Learnt:
    """What was learnt of one state of a shelf.

    Attributes:
        revision: of that state.
        method: what encodes and compares.
        support: label -> what is kept of the class.
        recognizer: None with fewer than two classes that have photos.
        calibrated: whether photos were left out; until then its probabilities are those of training.
        lost: ids of photos that could not be learnt, as their files are gone or damaged.
    """

    revision: int
    method: Method
    support: Mapping[str, Support]
    recognizer: Recognizer | None
    calibrated: bool
    lost: tuple[str, ...] = ()


def learnt_before(folder: ShelfFolder, index: Index, load: Callable[[str], Method], device: str) -> Learnt:
    """What the ``.triptych`` file of a shelf holds; of no state (-1) where that is not what lies on the shelf.

    Args:
        folder: the shelf's files.
        index: what lies on it.
        load: gives the method of a name, for a shelf without such a file.
        device: where to compute.

    Raises:
        ValueError: the file is damaged, and not all photos are there to learn them again.
    """
    recognizer = _read(folder, index, device) if folder.recognizer_file.is_file() else None
    if recognizer is None:
        return Learnt(-1, load(index.method), {}, None, False)
    support = recognizer.support_
    there = {label: kept.ids for label, kept in support.items()}
    if there == {label: index.ids(label) for label in index.classes if index.ids(label)}:
        return Learnt(index.revision, recognizer.method_, support, recognizer, recognizer.calibrate)
    return Learnt(-1, recognizer.method_, support, None, False)


def learnt_anew(before: Learnt, index: Index, photo_file: Callable[[str], bytes | None]) -> Learnt:
    """What is learnt of a state after ``before``; no photo is left out yet, so that it answers at once."""
    support, lost = learnt_from(before.method, index, before.support, photo_file)
    same = (
        before.recognizer is not None
        and list(support) == list(before.support)
        and all(support[label].ids == before.support[label].ids for label in support)
    )
    if same:  # an empty class came or went, or photos got other names
        return replace(before, revision=index.revision, support=support, lost=lost)
    recognizer = assembled(before.method, support, False) if len(support) > 1 else None
    return Learnt(index.revision, before.method, support, recognizer, False, lost)


def calibrated(learnt: Learnt, before: Recognizer | None) -> Learnt:
    """With photos left out; the results of ``before`` are reused where its photos did not change."""
    return replace(learnt, recognizer=assembled(learnt.method, learnt.support, True, before), calibrated=True)


def _read(folder: ShelfFolder, index: Index, device: str) -> Recognizer | None:
    try:
        return Recognizer.load(folder.recognizer_file, device)
    except ValueError:
        if all(map(folder.has_photo, index.photos)):
            folder.recognizer_file.unlink()  # damaged, or of an earlier version: all of it can be learnt again
            return None
        raise
