"""A shelf: classes of photos that several people change, and what is learnt of them meanwhile.

A change is told when it is on the disk; learning follows. What is asked meanwhile is answered by what was learnt.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Condition, Lock

from triptych.data import ImageError, NamedBytes, NotAnImageError, Unreadable, read_photos
from triptych.methods import Method
from triptych.recognizer import Recognizer, assembled
from triptych.serve.folder import ShelfFolder
from triptych.serve.index import Index, Missing
from triptych.serve.learning import learnt_from
from triptych.support import Support

__all__ = ["Added", "ChangedMeanwhile", "Learnt", "Shelf", "Staged"]

_STEPS = 20  # that can be undone


class ChangedMeanwhile(ValueError):  # noqa: N818 (it says what happened)
    """A change of a state that is no longer the shelf's."""


@dataclass(frozen=True)
class Staged:
    """A photo that was read and is on the disk, but not on the shelf yet.

    Attributes:
        id: see ``triptych.data.same.pixel_id``.
        name: of its file.
        place: where it waits.
    """

    id: str
    name: str
    place: Path


@dataclass(frozen=True)
class Added:
    """What became of photos that were added to a class.

    Attributes:
        added: ids of new photos.
        already: ids of photos that were in this class.
        elsewhere: id -> the class, of photos that are in another; they stay there.
        index: the shelf afterwards.
    """

    added: tuple[str, ...]
    already: tuple[str, ...]
    elsewhere: Mapping[str, str]
    index: Index


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


class Shelf:
    """One shelf. Threads may share it.

    Args:
        id: its id.
        folder: its files, which nobody else changes.
        load: gives the method of a name, for a shelf without a ``.triptych`` file.
        device: where it computes.
        changed: is called with the shelf after each change, so that somebody calls ``learn`` and ``calibrate``.

    Raises:
        ValueError: its index cannot be read.
    """

    def __init__(
        self,
        id: str,
        folder: ShelfFolder,
        load: Callable[[str], Method],
        device: str,
        changed: Callable[["Shelf"], None],
    ) -> None:
        self.id, self.folder, self._device = id, folder, device
        self._load, self._changed = load, changed
        self._index = folder.read_index()
        folder.open_folders()
        self._history: deque[Index] = deque(maxlen=_STEPS)
        self._turn = Lock()  # of those who change the index and the files
        self._learning, self._saving = Lock(), Lock()
        self._news = Condition()
        self._learnt: Learnt | None = None
        self._calibrated: Recognizer | None = None  # the last one, whose leave-one-out results may still hold
        self._saved = -1  # the revision that the .triptych file is of
        self._closed = False

    @property
    def index(self) -> Index:
        """What lies on it now."""
        return self._index

    @property
    def undoable(self) -> int:
        """How many changes can be undone."""
        return len(self._history)

    def change(self, edit: Callable[[Index], Index], revision: int | None = None) -> Index:
        """Change what lies on it; the change is on the disk when this returns.

        Args:
            edit: gives the new state of the present one; its errors pass through, and nothing has changed then.
            revision: the state that the caller has seen; None if that does not matter.

        Raises:
            ChangedMeanwhile: the shelf is in another state than ``revision``.
            OSError: the disk is full, or cannot be written.
        """
        with self._turn:
            return self._changing(edit, revision)

    def undo(self, revision: int | None = None) -> Index:
        """Take back the last change. Without the photos' files, a removal is for good and ends what can be undone.

        Raises:
            ValueError: nothing can be undone.
        """
        with self._turn:
            if not self._history:
                raise ValueError("there is nothing to undo")
            before = self._history.pop()  # first, so that the undoing pushes no older step out
            try:
                index = self._changing(lambda now: before.after(now.revision), revision)
            except BaseException:
                self._history.append(before)
                raise
            if self._history:
                self._history.pop()  # the undoing
            return index

    def stage(self, photo: NamedBytes) -> Staged:
        """Read a photo and bring it to the disk, so that ``add`` only has to give it its place.

        Raises:
            ImageError: it cannot be read.
            Missing: the shelf is gone.
            OSError: the disk is full, or cannot be written.
        """
        self._check(None)
        read = next(read_photos([photo], self.learnt.method.preprocess))
        if isinstance(read, Unreadable):
            raise (ImageError if read.is_image else NotAnImageError)(read.error)
        return Staged(read.id, photo.name, self.folder.stage(photo.data))

    def add(self, label: str, staged: Sequence[Staged], revision: int | None = None) -> Added:
        """Add staged photos to a class. Each is on the disk, and on the shelf for good, when this returns.

        Raises:
            Missing: no such class.
            ChangedMeanwhile: as in ``change``.
            OSError: the disk is full, or cannot be written.
        """
        photos = {one.id: one for one in staged}
        try:
            with self._turn:
                before = self._index.photos
                fresh = [photo for photo in photos if photo not in before]
                self._check(revision)
                self._index.check_class(label)
                self.folder.take({photo: photos[photo].place for photo in fresh})
                names = {photo: photos[photo].name for photo in fresh}
                index = self._changing(lambda now: now.with_photos(label, names), revision)
        finally:
            self.discard(staged)
        known = [photo for photo in photos if photo in before]
        return Added(
            added=tuple(fresh),
            already=tuple(photo for photo in known if before[photo].label == label),
            elsewhere={photo: before[photo].label for photo in known if before[photo].label != label},
            index=index,
        )

    def discard(self, staged: Sequence[Staged]) -> None:
        """Forget photos that were staged and not added."""
        self.folder.drop(one.place for one in staged)

    @property
    def learnt(self) -> Learnt:
        """What was learnt until now; the first call reads the ``.triptych`` file.

        Raises:
            ValueError: the file is damaged, and not all photos are there to learn them again.
        """
        found = self._learnt
        if found is None:
            with self._learning:
                found = self._learnt = self._learnt or self._opened()
            self._changed(self)
        return found

    @property
    def settled(self) -> bool:
        """Whether all is learnt, calibrated and saved."""
        learnt = self._learnt
        if learnt is None or learnt.revision != self._index.revision:
            return False
        return learnt.recognizer is None or (learnt.calibrated and self._saved == self._index.revision)

    def learn(self) -> None:
        """Learn what lies on it now; encodes photos that are new."""
        before = self.learnt
        with self._learning:
            before, index = self._learnt or before, self._index
            if before.revision == index.revision or self._closed:
                return
            support, lost = learnt_from(before.method, index, before.support, self.folder.photo)
            self._tell(_assembled(before, index.revision, support, lost))

    def calibrate(self) -> None:
        """Leave photos out, and save. If the shelf changes meanwhile, the result is dropped."""
        with self._saving:
            learnt = self.learnt
            if learnt.recognizer is None or learnt.revision != self._index.revision:
                return
            if not learnt.calibrated:
                learnt = replace(
                    learnt,
                    recognizer=assembled(learnt.method, learnt.support, True, self._calibrated),
                    calibrated=True,
                )
                with self._learning:
                    if self._learnt is None or self._learnt.revision != learnt.revision:
                        return
                    self._tell(learnt)
            self._calibrated = learnt.recognizer
            self._save(learnt)

    def wait(self, revision: int, timeout: float, settled: bool = False) -> Learnt:
        """What was learnt of a state, or of a later one; what there is when the time is over.

        Args:
            revision: of the state.
            timeout: in seconds.
            settled: wait until all is calibrated and saved, too.
        """

        def done() -> bool:
            learnt = self._learnt
            return learnt is not None and learnt.revision >= revision and (self.settled or not settled)

        found = self.learnt  # wakes it up
        with self._news:
            self._news.wait_for(done, timeout)
        return self._learnt or found

    def rest(self) -> bool:
        """Give back the memory of what is learnt, if all of it is on the disk; whether it is."""
        if not self._learning.acquire(blocking=False):
            return False
        try:
            with self._turn:
                if self._learnt is not None and not self.settled:
                    return False
                self._learnt = self._calibrated = None
                return True
        finally:
            self._learning.release()

    def close(self, revision: int | None = None) -> None:
        """Change and learn nothing any more: the files are about to go.

        Raises:
            ChangedMeanwhile: it is in another state than ``revision``.
        """
        with self._turn:
            self._check(revision)
            self._closed = True

    def _changing(self, edit: Callable[[Index], Index], revision: int | None) -> Index:
        self._check(revision)
        before = self._index
        index = edit(before)
        if index is before:
            return before
        self.folder.write_index(index)
        self._index = index
        gone = before.photos.keys() - index.photos.keys()
        self._history.append(before)
        forgetful = before.keep_photos and not index.keep_photos
        if forgetful or (gone and not (index.keep_photos and all(map(self.folder.has_photo, gone)))):
            self._history.clear()  # what is gone could not be learnt again
        if forgetful or gone:
            self._tidy()
        self._changed(self)
        return index

    def _check(self, revision: int | None) -> None:
        if self._closed:
            raise Missing(f"shelf {self.id} is gone")
        if revision is not None and revision != self._index.revision:
            raise ChangedMeanwhile(
                f"the shelf has changed: it is at revision {self._index.revision}, expected {revision}; read it again"
            )

    def _opened(self) -> Learnt:
        """What the .triptych file holds, whatever lies on the shelf by now."""
        index, file = self._index, self.folder.recognizer_file
        recognizer = self._read_file() if file.is_file() else None
        if recognizer is None:
            return Learnt(-1, self._load(index.method), {}, None, False)
        support = recognizer.support_
        there = {label: kept.ids for label, kept in support.items()}
        if there == {label: index.ids(label) for label in index.classes if index.ids(label)}:
            self._saved = index.revision
            self._calibrated = recognizer if recognizer.calibrate else None
            return Learnt(index.revision, recognizer.method_, support, recognizer, recognizer.calibrate)
        return Learnt(-1, recognizer.method_, support, None, False)

    def _read_file(self) -> Recognizer | None:
        try:
            return Recognizer.load(self.folder.recognizer_file, self._device)
        except ValueError:
            if all(map(self.folder.has_photo, self._index.photos)):
                return None  # damaged, or of an earlier version: all of it can be learnt again
            raise

    def _save(self, learnt: Learnt) -> None:
        assert learnt.recognizer is not None
        if learnt.revision == self._saved or self._closed:
            return
        learnt.recognizer.save(self.folder.recognizer_file)
        with self._turn:
            self._saved = learnt.revision
            self._tidy()
        with self._news:
            self._news.notify_all()

    def _tidy(self) -> None:
        """Remove files of photos that nobody can ask for, or that must not be kept once they are learnt."""
        index, learnt = self._index, self._learnt
        if learnt is not None and not index.keep_photos and self._saved == index.revision == learnt.revision:
            self.folder.keep_only(learnt.lost)
            return
        states = [index, *self._history] if index.keep_photos else [index]
        self.folder.keep_only({photo for state in states for photo in state.photos})

    def _tell(self, learnt: Learnt) -> None:
        with self._news:
            self._learnt = learnt
            self._news.notify_all()


def _assembled(before: Learnt, revision: int, support: Mapping[str, Support], lost: tuple[str, ...]) -> Learnt:
    """With a recogniser that answers at once: no photo is left out for it."""
    same = (
        before.recognizer is not None
        and list(support) == list(before.support)
        and all(support[label].ids == before.support[label].ids for label in support)
    )
    if same:  # an empty class came or went, or something got another name
        return replace(before, revision=revision, support=support, lost=lost)
    recognizer = assembled(before.method, support, False) if len(support) > 1 else None
    return Learnt(revision, before.method, support, recognizer, False, lost)
