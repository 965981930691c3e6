"""The decoded store: every image of a split as uint8, decoded once; an episode is an index into it."""

import json
import math
import os
import warnings
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import PIL
import torch
from jaxtyping import UInt8
from torch import Tensor

from triptych.data.grammar import list_images
from triptych.data.images import reading_conditions
from triptych.data.listing import Listing
from triptych.data.photos import Unreadable, left_out_warnings, read_photos, refuse_lost_classes
from triptych.data.preprocessing import Preprocessing
from triptych.data.same import identical_pairs
from triptych.system.files import plain_path, read_plain
from triptych.system.locks import turn_to_write
from triptych.system.progress import track
from triptych.system.wording import printable

__all__ = ["ImageStore", "cache_folder", "open_store"]

_FORMAT = 2  # part of the cache's key: raise it when the same files would decode to other pixels


@dataclass(frozen=True)
class ImageStore:
    """Decoded images of one split.

    Attributes:
        images: (B, side, side, 3) uint8, memory-mapped on the CPU or held on a GPU.
        labels: (B,) int64, an index into ``classes``.
        classes: the class names.
        names: how a message names each image.
        fingerprint: a hash of the encoded images, labels and class names.
        duplicates: pairs of names of identical images; see ``triptych.data.same``.

    >>> import numpy as np
    >>> import torch
    >>> from triptych.data import ImageStore
    >>> images = torch.zeros(2, 84, 84, 3, dtype=torch.uint8)
    >>> store = ImageStore(images, np.array([0, 1]), ("a", "b"), ("1.jpg", "2.jpg"), fingerprint="")
    >>> store[np.array([1])].shape
    torch.Size([1, 84, 84, 3])
    """

    images: Tensor
    labels: np.ndarray
    classes: tuple[str, ...]
    names: tuple[str, ...]
    fingerprint: str
    duplicates: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: np.ndarray) -> UInt8[Tensor, "*n side side 3"]:
        return self.images[torch.from_numpy(indices).to(self.images.device)]

    def to(self, device: torch.device | str) -> "ImageStore":
        """The same store with its images on a device."""
        return replace(self, images=self.images.to(device))


def open_store(data: Any, split: str | None, preprocessing: Preprocessing) -> ImageStore:
    """Decode a split once into the cache, or find it there, and map it into memory.

    The cache is keyed by content and preprocessing, so changed photos are decoded anew. Two processes may open the
    same data at once: one decodes, the other waits. Its folder is ``$TRIPTYCH_CACHE``, else ``~/.cache/triptych``.

    Args:
        data: as ``list_images`` takes it.
        split: "train", "val", "test" or None.
        preprocessing: how images become squares of pixels; mean and std do not count.

    Raises:
        ValueError: no images, a class of which no image can be read, or a preprocessing that makes no squares.
        OSError: the cache cannot be written.

    >>> from importlib import resources
    >>> from triptych.data import Preprocessing, open_store
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     open_store(folder, None, Preprocessing(side=84)).images.shape[1:]
    torch.Size([84, 84, 3])
    """
    if preprocessing.fit == "keep":
        raise ValueError('a store holds squares; expected a preprocessing that fits by "squash" or "crop", got "keep"')
    listing = list_images(data, split)
    fingerprint = listing.fingerprint()
    pixels, index = _cached(listing, _key(fingerprint, preprocessing), preprocessing)
    kept = np.asarray(index["kept"], dtype=np.int64)
    lost = np.setdiff1d(np.arange(len(listing.labels)), kept)
    for told in left_out_warnings(_lost(listing, lost.tolist(), index["lost"])):
        warnings.warn(told, stacklevel=2)
    names = tuple(listing.names[i] for i in kept)
    return ImageStore(
        images=torch.from_numpy(pixels),
        labels=listing.labels[kept],
        classes=listing.classes,
        names=names,
        fingerprint=fingerprint,
        duplicates=identical_pairs(index["ids"], names),
    )


def cache_folder() -> Path:
    """``$TRIPTYCH_CACHE``, else ``$XDG_CACHE_HOME/triptych``, else ``~/.cache/triptych``.

    >>> from triptych.data import cache_folder
    >>> cache_folder().is_absolute()
    True
    """
    if chosen := os.environ.get("TRIPTYCH_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "triptych"


def _key(fingerprint: str, preprocessing: Preprocessing) -> str:
    fit = f"{preprocessing.side}-{preprocessing.fit}-{preprocessing.interpolation}"
    return f"{fingerprint}-{fit}-{_FORMAT}-{PIL.__version__}"


def _cached(listing: Listing, key: str, preprocessing: Preprocessing) -> tuple[np.ndarray, dict[str, Any]]:
    folder, side = cache_folder(), preprocessing.side
    pixels, index = folder / f"{key}.npy", folder / f"{key}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with turn_to_write(pixels):
            found = _whole(listing, side, pixels, index)
            if found is None:
                _build(listing, preprocessing, pixels, index)
                found = _whole(listing, side, pixels, index)
    except OSError as error:
        raise OSError(
            f"{folder}: the decoded images cannot be written ({error.strerror or error}); "
            f"free {math.ceil(len(listing.labels) * side * side * 3 / 1e6)} MB or point TRIPTYCH_CACHE elsewhere"
        ) from error
    if found is None:
        raise OSError(f"{pixels}: written, and yet it cannot be read back; point TRIPTYCH_CACHE elsewhere")
    return found


def _whole(listing: Listing, side: int, pixels: Path, index: Path) -> tuple[np.ndarray, dict[str, Any]] | None:
    """Map the cached pixels; None where they are missing or damaged, or what was lost may be read now."""
    try:
        entry = json.loads(read_plain(index))
        if not _is_index(entry, len(listing.labels)):
            return None
        # Copy-on-write: torch warns of read-only memory, and nobody can change the file through the map.
        images = np.load(plain_path(pixels), mmap_mode="c")
    except (OSError, ValueError, EOFError, RecursionError):
        return None
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8:
        return None
    return (images, entry) if images.shape == (len(entry["kept"]), side, side, 3) else None


def _is_index(entry: Any, count: int) -> bool:
    """Whether it tells of so many photos, in their order, and what was lost would be lost again."""
    if not isinstance(entry, dict):
        return False
    kept, ids, lost = (entry.get(name) for name in ("kept", "ids", "lost"))
    return (
        isinstance(kept, list)
        and all(type(one) is int and 0 <= one < count for one in kept)
        and all(one < other for one, other in pairwise(kept))
        and isinstance(ids, list)
        and len(ids) == len(kept)
        and all(isinstance(one, str) for one in ids)
        and isinstance(lost, list)
        and len(lost) == count - len(kept)
        and all(isinstance(one, list) and [type(part) for part in one] == [str, bool] for one in lost)
        and (not lost or entry.get("conditions") == reading_conditions())
    )


def _build(listing: Listing, preprocessing: Preprocessing, pixels: Path, index: Path) -> None:
    """Decode to ``pixels`` and then ``index``, each written beside its place and moved there whole."""
    index.unlink(missing_ok=True)  # a damaged one must not vouch for the new pixels
    for stale in pixels.parent.glob(f"{pixels.stem}.*.part"):
        stale.unlink()
    whole, side = pixels.with_suffix(".npy.part"), preprocessing.side
    try:
        kept: dict[int, str] = {}
        lost: dict[int, Unreadable] = {}
        count = len(listing.labels)
        read = track(read_photos(listing.photos(), preprocessing), "decoding", total=count)
        with closing(read), whole.open("wb") as file:
            _write_header(file, (count, side, side, 3))
            for position, photo in enumerate(read):
                if isinstance(photo, Unreadable):
                    lost[position] = photo
                else:
                    kept[position] = photo.id
                    file.write(photo.pixels.tobytes())
            file.seek(0)
            _write_header(file, (len(kept), side, side, 3))
        refuse_lost_classes(listing.class_names(), lost)
        os.replace(whole, pixels)
        # Without names: the same photos may later be opened from another folder.
        reasons = [[one.error.removeprefix(f"{one.name}: "), one.is_image] for one in lost.values()]
        told = {"kept": list(kept), "ids": list(kept.values()), "lost": reasons, "conditions": reading_conditions()}
        whole.write_text(json.dumps(told))
        os.replace(whole, index)
    finally:
        whole.unlink(missing_ok=True)


def _lost(listing: Listing, positions: list[int], reasons: list[list[Any]]) -> list[Unreadable]:
    names = [printable(listing.names[i]) for i in positions]
    return [Unreadable(name, f"{name}: {why}", is_image) for name, (why, is_image) in zip(names, reasons, strict=True)]


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # Plain writes, not a writable memory map: a full disk is then an error and not a bus fault. NumPy leaves
    # room in the header for the number of images to grow, so the second header covers the first exactly.
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
