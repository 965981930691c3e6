"""When two photos are the same. There are two notions, and no third.

**Identical** photos give a network the same pixels: ``pixel_id`` is equal. It is exact, cheap and can be kept, so a
recogniser counts its photos by it, and a store reports photos that would be learnt from and asked about.

**Copies** look the same, though one was saved again or rescaled: ``copies`` compares all photos, scaled down to a few
pixels. Its time grows with the square of their number, and ``compare`` needs it: copies flatter a measurement.

(The fingerprint of a data set is a hash of files. It says whether a data set is the same, and nothing about photos.)
"""

import hashlib
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

__all__ = ["appearance", "copies", "identical_pairs", "pixel_id"]

_SMALL = 12  # side to which photos are scaled to tell whether they look the same
_ALIKE = 3.0  # of 255, root mean square: re-saved and rescaled copies differ by less, other photos by far more
_BLOCK = 1024


def pixel_id(pixels: UInt8[np.ndarray, "h w 3"]) -> str:
    """A hash of decoded pixels, 32 hexadecimal digits; identical photos have the same.

    >>> import numpy as np
    >>> from triptych.data.same import pixel_id
    >>> pixel_id(np.zeros((2, 2, 3), np.uint8))[:12]
    '5cf0479a3813'
    """
    height, width = pixels.shape[:2]
    content = hashlib.blake2b(pixels.tobytes(), digest_size=16)
    if height != width:  # the bytes alone do not tell 2 x 8 from 4 x 4
        content.update(f"{height}x{width}".encode())
    return content.hexdigest()


def identical_pairs(ids: Sequence[str], names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """(name of the first, name of the other) of photos with the same id.

    >>> from triptych.data.same import identical_pairs
    >>> identical_pairs(["x", "y", "x"], ["1.jpg", "2.jpg", "3.jpg"])
    (('1.jpg', '3.jpg'),)
    """
    first: dict[str, str] = {}
    pairs = []
    for photo, name in zip(ids, names, strict=True):
        if photo in first:
            pairs.append((first[photo], name))
        first.setdefault(photo, name)
    return tuple(pairs)


def appearance(pixels: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, " D"]:
    """A photo scaled down to a few pixels, 0 to 255, for ``copies``."""
    small = Image.fromarray(pixels).resize((_SMALL, _SMALL), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel()


def copies(appearances: Float[np.ndarray, "B D"]) -> Int[np.ndarray, " B"]:
    """The number of the group of copies that each photo belongs to; most are alone in theirs.

    Args:
        appearances: see ``appearance``. Copies differ by at most 3 (root mean square).
    """
    limit = _ALIKE**2 * appearances.shape[1]
    squares = np.square(appearances).sum(axis=1)
    rows, columns = [], []
    for start in range(0, len(appearances), _BLOCK):
        part = appearances[start : start + _BLOCK]
        gaps = squares[start : start + _BLOCK, None] + squares - 2 * part @ appearances.T
        row, column = np.nonzero(gaps <= limit)
        rows.append(row + start)
        columns.append(column)
    pairs = (np.concatenate(rows), np.concatenate(columns))
    graph = coo_array((np.ones(len(pairs[0]), np.int8), pairs), shape=(len(appearances), len(appearances)))
    return connected_components(graph, directed=False)[1]
