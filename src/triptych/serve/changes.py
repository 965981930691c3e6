"""What becomes of a change of a shelf."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from triptych.serve.index import Index

__all__ = ["Added", "ChangedMeanwhile", "Staged"]


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
