"""A shelf as files in a folder of its own. Only ids become names of files.

``shelf.json``      what lies on the shelf: the truth, written last
``shelf.triptych``  what was learnt, once there are two classes
``photos/ID``       photos as they came: all, or those that are not yet learnt
``incoming/``       photos that nobody has been told of; emptied when the shelf is opened
"""

import os
import secrets
import shutil
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from triptych.serve.index import ID, Index
from triptych.system.files import read_plain, sync_folder, write_whole

__all__ = ["OWN", "ShelfFolder"]

OWN = 0o700  # of the folders of shelves, which hold people's photos: no other user of the machine may look


class ShelfFolder:
    """The files of one shelf.

    Args:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index_file = path / "shelf.json"
        self.recognizer_file = path / "shelf.triptych"
        self._photos = path / "photos"
        self._incoming = path / "incoming"

    def make(self, index: Index) -> None:
        """Make the folder with an index.

        Raises:
            FileExistsError: there is such a folder.
        """
        self.path.mkdir(OWN)
        self.open_folders()
        self.write_index(index)
        sync_folder(self.path.parent)

    def open_folders(self) -> None:
        """Make the folders for photos, and forget photos that nobody has been told of."""
        self._photos.mkdir(exist_ok=True)
        shutil.rmtree(self._incoming, ignore_errors=True)
        self._incoming.mkdir(exist_ok=True)

    def read_index(self) -> Index:
        """What lies on the shelf.

        Raises:
            ValueError: the index is missing or damaged.
        """
        try:
            data = read_plain(self.index_file)
        except OSError as error:
            raise ValueError(f"{self.index_file}: {error.strerror or error}; expected the index of a shelf") from error
        return Index.from_bytes(data, str(self.index_file))

    def write_index(self, index: Index) -> None:
        """Replace the index, whole or not at all; after it, a crash loses nothing of it."""
        write_whole(self.index_file, index.to_bytes())

    def stage(self, data: bytes) -> Path:
        """Write a photo that is not on the shelf yet, down to the disk.

        Raises:
            OSError: it cannot be written; nothing is left of it.
        """
        place = self._incoming / secrets.token_hex(16)
        try:
            with place.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            place.unlink(missing_ok=True)
            raise
        return place

    def take(self, staged: dict[str, Path]) -> None:
        """Give staged photos their places: id -> where each was staged."""
        for photo, place in staged.items():
            os.replace(place, self._place(photo))
        if staged:
            sync_folder(self._photos)

    def drop(self, staged: Iterable[Path]) -> None:
        """Forget staged photos; those that were taken are not there any more."""
        for place in staged:
            place.unlink(missing_ok=True)

    def photo(self, photo: str) -> bytes | None:
        """A photo as it came; None where its file is not kept."""
        try:
            return read_plain(self._place(photo))
        except FileNotFoundError:
            return None

    def has_photo(self, photo: str) -> bool:
        """Whether a photo's file is there."""
        return self._place(photo).is_file()

    def keep_only(self, photos: Collection[str]) -> None:
        """Remove the files of all other photos."""
        for place in self._photos.iterdir():
            if place.name not in photos:
                with suppress(OSError):
                    place.unlink()

    def _place(self, photo: str) -> Path:
        if not ID.fullmatch(photo):
            raise ValueError(f"{photo!r:.80} is no id of a photo; expected 32 hexadecimal digits")
        return self._photos / photo
