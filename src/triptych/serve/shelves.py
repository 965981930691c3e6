"""All shelves of a data directory. One process at a time; ids are made here, and names never become paths."""

import hashlib
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from itertools import count
from os import PathLike
from pathlib import Path
from threading import Lock, RLock

from triptych.bank import is_bank
from triptych.interop import load_method
from triptych.methods import Method
from triptych.recognizer import Recognizer
from triptych.serve.folder import OWN, ShelfFolder
from triptych.serve.index import LONGEST_NAME, Entry, Index, Missing, check_new_name, file_name
from triptych.serve.learner import Learner
from triptych.serve.shelf import Shelf
from triptych.system.files import read_plain, write_whole
from triptych.system.locks import turn_to_write
from triptych.system.wording import composed, printable
from triptych.weights import DEFAULT

__all__ = ["Shelves", "opened"]

_ID = re.compile("[0-9a-f]{16}")
_NEW, _GONE = ".new-", ".gone-"  # before the id of a folder that is not whole
_AWAKE = 8  # shelves that stay in memory
_NUMBERED = LONGEST_NAME - 10  # characters of a name that a number follows


@contextmanager
def opened(data: str | PathLike[str], method: str = DEFAULT, device: str = "cpu") -> Iterator["Shelves"]:
    """The shelves of a data directory, which is made if it is not there; at the end all is learnt and saved.

    Args:
        data: the directory.
        method: what new shelves recognise by: see ``load_method``.
        device: where it computes.

    Raises:
        RuntimeError: another process has the directory.
        OSError: it is not writable.

    >>> import tempfile
    >>> from triptych.serve.shelves import opened
    >>> with tempfile.TemporaryDirectory() as folder, opened(folder) as shelves:
    ...     shelf = shelves.create("fruit")
    ...     shelf.change(lambda index: index.with_class("plum")).classes
    ('plum',)
    """
    folder = Path(data)
    try:
        folder.mkdir(OWN, parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"{folder}: cannot be made ({error.strerror or error}); expected a folder for shelves") from error
    with ExitStack() as held:
        try:
            held.enter_context(turn_to_write(folder / "shelves", wait=False))
        except RuntimeError as error:
            raise RuntimeError(
                f"{folder}: another process serves this folder; end it, or name another --data"
            ) from error
        shelves = Shelves(folder, method, device)
        held.callback(shelves.stop)
        yield shelves


class Shelves:
    """See ``opened``, which makes them.

    Attributes:
        damaged: id -> why a shelf cannot be read; its files are left as they are.
        last: the shelf that was asked for last, if it is still there.
    """

    def __init__(self, folder: Path, method: str, device: str) -> None:
        self.folder, self._method, self._device = folder, method, device
        self._methods: dict[str, Method] = {}
        self._loading, self._turn = Lock(), RLock()
        self._learner = Learner()
        self._shelves: dict[str, Shelf] = {}
        self._awake: dict[str, Shelf] = {}  # the one asked for last comes last
        self.damaged: dict[str, str] = {}
        self.last: Shelf | None = None
        for place in sorted(folder.iterdir()):
            if place.name.startswith((_NEW, _GONE)):
                _remove(place)
            elif _ID.fullmatch(place.name) and place.is_dir():
                self._found(place)

    def __len__(self) -> int:
        return len(self._shelves)

    def __iter__(self) -> Iterator[Shelf]:
        """By name."""
        with self._turn:
            return iter(sorted(self._shelves.values(), key=lambda shelf: (shelf.index.name, shelf.id)))

    def get(self, id: str) -> Shelf:
        """A shelf.

        Raises:
            Missing: there is none of that id.
            ValueError: it cannot be read.
        """
        with self._turn:
            if id in self.damaged:
                raise ValueError(f"shelf {id} cannot be read: {self.damaged[id]}")
            if id not in self._shelves:
                raise Missing(f"no shelf {id!r:.80}; the list of shelves has their ids")
            shelf = self._awake[id] = self._awake.pop(id, self._shelves[id])
            for other in list(self._awake)[:-_AWAKE]:
                if self._awake[other].rest():
                    del self._awake[other]
            self.last = shelf
            return shelf

    def create(self, name: str, keep_photos: bool = True) -> Shelf:
        """A new shelf without classes.

        Raises:
            ValueError: the name is none.
            OSError: the disk is full, or cannot be written.
        """
        check_new_name(name, "a shelf")
        return self._made(Index(name, keep_photos, self._method), None)

    def load(self, file: str | PathLike[str], name: str | None = None) -> Shelf:
        """A new shelf of what a ``.triptych`` file knows.

        Args:
            file: where it lies.
            name: of the shelf. By default that of the file, and then the shelf that was made of this file, or that
                holds the same photos, is given again. Where another shelf has that name, a warning says so.

        Raises:
            ValueError: it cannot be read, is a bank, or two of its classes would be written the same.
            OSError: the disk is full, or cannot be written.
        """
        if is_bank(file):
            raise ValueError(f"{file}: a bank; a shelf is made of a .triptych file")
        recognizer = Recognizer.load(file, self._device)
        data = read_plain(file)
        called = file_name(Path(file).stem).strip() or "shelf" if name is None else name
        index = _index_of(recognizer, called, self._method, hashlib.sha256(data).hexdigest())
        with self._turn:  # else two that load one file at once would both find none
            if name is None:
                if known := next((one for one in self if _is_of(one.index, index)), None):
                    return known
                index = replace(index, name=self._free_name(file, called))
            return self._made(index, data)

    def delete(self, id: str, revision: int | None = None) -> None:
        """Remove a shelf with all that is on it.

        Raises:
            Missing: there is none of that id.
            ChangedMeanwhile: it is in another state than ``revision``.
        """
        with self._turn:
            shelf = self.get(id)
            shelf.close(revision)
            gone = self.folder / f"{_GONE}{id}"
            shelf.folder.path.rename(gone)
            del self._shelves[id], self._awake[id]
            self.last = None
            self._learner.forget(id)
        shutil.rmtree(gone, ignore_errors=True)

    def trouble(self, id: str) -> str | None:
        """Why the last state of a shelf could not be learnt or saved."""
        return self._learner.trouble.get(id)

    def warm(self) -> None:
        """Load what new shelves recognise by, so that the first photo does not wait for it.

        Raises:
            ValueError: there is no such method.
        """
        self._load(self._method)

    def stop(self) -> None:
        """Finish learning and saving, and end."""
        self._learner.stop()

    def _free_name(self, file: str | PathLike[str], name: str) -> str:
        """A name of no shelf: this one, or this one with a number."""
        taken = {one.index.name for one in self}
        free = next(one for n in count(1) if (one := name if n == 1 else f"{name[:_NUMBERED]} ({n})") not in taken)
        if free != name:
            warnings.warn(
                f"{printable(file)}: holds other photos than the shelf {name!r}, which stays as it is; the file is on "
                f"a new shelf, {free!r}",
                stacklevel=3,
            )
        return free

    def _found(self, place: Path) -> None:
        try:
            self._shelves[place.name] = self._shelf(place)
        except (ValueError, OSError) as error:
            self.damaged[place.name] = str(error)

    def _made(self, index: Index, recognizer: bytes | None) -> Shelf:
        """A shelf in a folder that is whole from the moment that it has its name."""
        id = secrets.token_hex(8)
        begun = ShelfFolder(self.folder / f"{_NEW}{id}")
        try:
            begun.make(index)
            if recognizer is not None:
                write_whole(begun.recognizer_file, recognizer)
            place = begun.path.rename(self.folder / id)
        except BaseException:
            shutil.rmtree(begun.path, ignore_errors=True)
            raise
        with self._turn:
            shelf = self._shelves[id] = self._shelf(place)
            return shelf

    def _shelf(self, place: Path) -> Shelf:
        return Shelf(place.name, ShelfFolder(place), self._load, self._device, self._learner.put)

    def _load(self, name: str) -> Method:
        """A method, which all shelves share."""
        with self._loading:
            if name not in self._methods:
                self._methods[name] = load_method(name, self._device)
            return self._methods[name]


def _is_of(shelf: Index, file: Index) -> bool:
    """Whether a shelf was made of a file, or holds the photos that the file holds."""
    return shelf.source == file.source or (set(shelf.classes), shelf.photos) == (set(file.classes), file.photos)


def _remove(place: Path) -> None:
    """A folder, or an uploaded file; what cannot be removed now is tried again at the next start."""
    if place.is_dir():
        shutil.rmtree(place, ignore_errors=True)
    else:
        with suppress(OSError):
            place.unlink()


def _index_of(recognizer: Recognizer, name: str, method: str, source: str) -> Index:
    """What a recogniser knows, as a shelf; its labels become texts."""
    known = recognizer.knowledge_
    labels = [composed(str(label)) for label in known.order]
    if len(set(labels)) < len(labels):
        raise ValueError(f"two classes of the file would be called the same: {', '.join(sorted(labels))}")
    photos = {
        photo: Entry(label, file_name(called))
        for label, kept in zip(labels, known.supports, strict=True)
        for photo, called in zip(kept.ids, kept.names, strict=True)
    }
    return Index(name, False, method, tuple(labels), photos, source=source)
