"""A shelf: classes of photos that several people change, and what is learnt of them meanwhile.

A change is told when it is on the disk; learning follows. What is asked meanwhile is answered by what was learnt.
"""

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Lock

from triptych.data import ImageError, NamedBytes, NotAnImageError, Unreadable, read_photos
from triptych.methods import Method
from triptych.recognizer import Recognizer
from triptych.serve.changes import Added, ChangedMeanwhile, Staged
from triptych.serve.folder import ShelfFolder
from triptych.serve.index import Index, Missing
from triptych.serve.learnt import Learnt, calibrated, learnt_anew, learnt_before

__all__ = ["Shelf"]

_STEPS = 20  # that can be undone


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
    def in_memory(self) -> Learnt | None:
        """What was learnt until now; None where ``learnt`` would have to read it."""
        return self._learnt

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
            self._tell(learnt_anew(before, index, self.folder.photo))

    def calibrate(self) -> None:
        """Leave photos out, and save. If the shelf changes meanwhile, the result is dropped."""
        with self._saving:
            learnt = self.learnt
            if learnt.recognizer is None or learnt.revision != self._index.revision:
                return
            if not learnt.calibrated:
                learnt = calibrated(learnt, self._calibrated)
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
        learnt = learnt_before(self.folder, self._index, self._load, self._device)
        if learnt.recognizer is not None:
            self._saved = learnt.revision
            self._calibrated = learnt.recognizer if learnt.calibrated else None
        return learnt

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
