"""What lies on a shelf: its classes, and which photo is in which. Plain data that is never changed, only replaced."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from triptych.system.wording import composed

__all__ = ["ID", "LONGEST_NAME", "Entry", "Index", "Missing", "check_name", "check_new_name", "file_name"]

ID = re.compile("[0-9a-f]{32}")  # of photos: see triptych.data.same
LONGEST_NAME = 200  # characters
_FORMAT, _VERSION = "triptych-shelf", 1
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# What shows nothing by itself, so that two names look the same; joiners only at an end.
_UNSEEN = re.compile(
    "[\xad\u034f\u061c\u115f\u1160\u180e\u200b\u200e\u200f\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0]"
    "|^[\u200c\u200d]|[\u200c\u200d]$"
)


class Missing(LookupError):  # noqa: N818 (an answer as much as an error)
    """What was asked for is not there. The message says what."""


@dataclass(frozen=True)
class Entry:
    """A photo on a shelf.

    Attributes:
        label: its class.
        name: what its file was called.
    """

    label: str
    name: str


@dataclass(frozen=True)
class Index:
    """What lies on a shelf.

    Attributes:
        name: of the shelf, for people.
        keep_photos: whether the photos' files stay beside what is learnt from them.
        method: what shelves without a ``.triptych`` file recognise by.
        classes: in the order in which they were made; a class may be empty.
        photos: id -> photo.
        revision: grows with every change.
        source: a hash of the file that the shelf was made from, or "".

    >>> index = Index("fruit", True, "some-method").with_class("plum").with_photos("plum", {"0" * 32: "1.jpg"})
    >>> index.ids("plum") == ("0" * 32,), index.revision
    (True, 2)
    """

    name: str
    keep_photos: bool
    method: str
    classes: tuple[str, ...] = ()
    photos: Mapping[str, Entry] = None  # type: ignore[assignment]
    revision: int = 0
    source: str = ""

    def __post_init__(self) -> None:
        check_name(self.name, "a shelf")
        for name in self.classes:
            check_name(name, "a class")
        if self.photos is None:
            object.__setattr__(self, "photos", {})

    def ids(self, label: str) -> tuple[str, ...]:
        """The photos of a class, sorted as recognisers sort them."""
        return tuple(sorted(photo for photo, entry in self.photos.items() if entry.label == label))

    def with_settings(self, name: str | None = None, keep_photos: bool | None = None) -> Self:
        """Under another name, or with its photos kept or not; None leaves what is."""
        changes = {"name": name, "keep_photos": keep_photos}
        new = {key: value for key, value in changes.items() if value is not None and value != getattr(self, key)}
        if "name" in new:
            check_new_name(name, "a shelf")
        return self._next(**new) if new else self

    def with_class(self, label: str) -> Self:
        """With a new class, which is empty.

        Raises:
            ValueError: there is such a class, or the name is not one.
        """
        if label in self.classes:
            raise ValueError(f"there is a class {label!r} already; expected another name")
        check_new_name(label, "a class")
        return self._next(classes=(*self.classes, label))

    def without_class(self, label: str) -> Self:
        """Without a class and its photos."""
        self.check_class(label)
        kept = {photo: entry for photo, entry in self.photos.items() if entry.label != label}
        return self._next(classes=tuple(one for one in self.classes if one != label), photos=kept)

    def with_class_renamed(self, label: str, name: str) -> Self:
        """With another name for a class."""
        self.check_class(label)
        if name == label:
            return self
        if name in self.classes:
            raise ValueError(f"there is a class {name!r} already; expected another name")
        check_new_name(name, "a class")
        renamed = {
            photo: replace(entry, label=name) if entry.label == label else entry for photo, entry in self.photos.items()
        }
        return self._next(classes=tuple(name if one == label else one for one in self.classes), photos=renamed)

    def with_photos(self, label: str, names: Mapping[str, str]) -> Self:
        """With photos added to a class: id -> name; those that are on the shelf stay where they are."""
        self.check_class(label)
        fresh = {photo: Entry(label, file_name(name)) for photo, name in names.items() if photo not in self.photos}
        return self._next(photos={**self.photos, **fresh}) if fresh else self

    def with_moved(self, photos: Iterable[str], label: str) -> Self:
        """With photos in another class."""
        self.check_class(label)
        moved = {photo: replace(self.photo(photo), label=label) for photo in photos}
        return self._next(photos={**self.photos, **moved})

    def without_photos(self, photos: Iterable[str]) -> Self:
        """Without some photos."""
        gone = set(photos)
        for photo in gone:
            self.photo(photo)
        return self._next(photos={photo: entry for photo, entry in self.photos.items() if photo not in gone})

    def after(self, revision: int) -> Self:
        """The same as a new state that follows one with this revision."""
        return replace(self, revision=revision + 1)

    def photo(self, photo: str) -> Entry:
        """A photo.

        Raises:
            Missing: it is not on the shelf.
        """
        if photo not in self.photos:
            raise Missing(f"no photo {photo!r:.80} on this shelf; the shelf lists the ids of its photos")
        return self.photos[photo]

    def check_class(self, label: str) -> None:
        """Refuse a class that is not on the shelf, with ``Missing``."""
        if label not in self.classes:
            raise Missing(f"no class {label!r:.220} on this shelf; make it first")

    def to_bytes(self) -> bytes:
        """As a file holds it."""
        numbers = {label: number for number, label in enumerate(self.classes)}
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "name": self.name,
            "keep_photos": self.keep_photos,
            "method": self.method,
            "source": self.source,
            "revision": self.revision,
            "classes": self.classes,
            "photos": {photo: [numbers[entry.label], entry.name] for photo, entry in self.photos.items()},
        }
        return json.dumps(content, ensure_ascii=False, indent=0).encode()

    @classmethod
    def from_bytes(cls, data: bytes, name: str) -> Self:
        """What ``to_bytes`` wrote; ``name`` is what errors call it.

        Raises:
            ValueError: it is something else, damaged, or of a newer version.
        """
        try:
            content = json.loads(data)
            if content["format"] != _FORMAT:
                raise ValueError(f"its format is {content['format']!r:.80}")
            if content["version"] > _VERSION:
                raise ValueError("written by a newer triptych; update with pip install -U triptych")
            return cls._restored(content)
        except (json.JSONDecodeError, AttributeError, LookupError, TypeError, UnicodeError, RecursionError) as error:
            raise ValueError(f"{name}: not the index of a shelf, or damaged; take a copy, or delete it") from error
        except ValueError as error:
            raise ValueError(f"{name}: not the index of a shelf, or damaged ({error})") from error

    @classmethod
    def _restored(cls, content: dict[str, Any]) -> Self:
        classes = tuple(content["classes"])
        if len({composed(name) for name in classes}) == len(classes):  # else an earlier version kept both
            classes = tuple(map(composed, classes))
        if len(set(classes)) < len(classes):
            raise ValueError("a class is there twice")
        photos = {photo: Entry(classes[number], file_name(name)) for photo, (number, name) in content["photos"].items()}
        if not all(ID.fullmatch(photo) for photo in photos):
            raise ValueError("the id of a photo is not 32 hexadecimal digits")
        if not isinstance(content["revision"], int) or not isinstance(content["keep_photos"], bool):
            raise ValueError("its revision is no whole number, or keep_photos neither true nor false")
        texts = [content[one] for one in ("name", "method", "source")]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("its name, method or source is no text")
        name, method, source = texts
        return cls(name, content["keep_photos"], method, classes, photos, content["revision"], source)

    def _next(self, **changes: Any) -> Self:
        return replace(self, **changes, revision=self.revision + 1)


def check_name(name: Any, what: str) -> None:
    """Refuse what cannot be the name of ``what``: it is shown and never becomes a path.

    Raises:
        ValueError: no text, empty, too long, with characters that cannot be shown, or a dot or two.

    >>> from triptych.serve.index import check_name
    >>> check_name(" ", "a class")
    Traceback (most recent call last):
    ValueError: ' ' is no name of a class; expected 1 to 200 characters that can be shown, without spaces around them
    """
    good = isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name == name.strip()
    if not good or _UNPRINTABLE.search(name) or name in {".", ".."}:  # an address loses a dot or two
        raise _no_name(name, what)


def check_new_name(name: Any, what: str) -> None:
    """``check_name`` of a name that is given now: it holds nothing that cannot be seen, as names of files may.

    Raises:
        ValueError: it is none.

    >>> from triptych.serve.index import check_new_name
    >>> check_new_name("plum\\u200b", "a class")
    Traceback (most recent call last):
    ValueError: 'plum\\u200b' is no name of a class; expected 1 to 200 characters that can be shown, without spaces ...
    """
    check_name(name, what)
    if _UNSEEN.search(name):
        raise _no_name(name, what)


def _no_name(name: Any, what: str) -> ValueError:
    return ValueError(
        f"{name!r:.80} is no name of {what}; expected 1 to {LONGEST_NAME} characters that can be shown, "
        "without spaces around them"
    )


def file_name(name: str) -> str:
    """What a photo's file was called, without folders, and as it can be shown.

    >>> from triptych.serve.index import file_name
    >>> file_name("C:\\\\photos\\\\..\\\\1.jpg"), file_name("../../etc/passwd")
    ('1.jpg', 'passwd')
    """
    last = re.split(r"[/\\]", name)[-1]
    return _UNPRINTABLE.sub("\ufffd", last)[-LONGEST_NAME:]
