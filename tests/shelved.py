"""Photos for shelves."""

import io
from collections.abc import Sequence

from photos import photo

from triptych.data import NamedBytes
from triptych.serve import Added, Learnt, Shelf


def png(kind: int, number: int, side: int = 24) -> NamedBytes:
    """A photo of class ``kind`` as a file."""
    encoded = io.BytesIO()
    photo(kind, number, side).save(encoded, "PNG")
    return NamedBytes(encoded.getvalue(), f"{kind}-{number}.png")


def put(shelf: Shelf, label: str, photos: Sequence[NamedBytes]) -> Added:
    """Add photos to a class."""
    return shelf.add(label, [shelf.stage(one) for one in photos])


def filled(shelf: Shelf, each: int = 3) -> Learnt:
    """Photos in both classes, and what is learnt of them."""
    for kind, label in enumerate(("apple", "pear")):
        put(shelf, label, [png(kind, number) for number in range(each)])
    return settled(shelf)


def settled(shelf: Shelf) -> Learnt:
    """What is learnt when all is learnt."""
    return shelf.wait(shelf.index.revision, 30, settled=True)
