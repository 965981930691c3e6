"""The decoded store: every image of a split as uint8, decoded once; an episode is an index into it."""

import json
import math
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
import PIL
import torch
from filelock import FileLock
from jaxtyping import UInt8
from torch import Tensor

from triptych.data.images import ImageError, read_image, squash
from triptych.data.listing import Listing, list_images
from triptych.system.progress import track

__all__ = ["ImageStore", "cache_folder", "open_store"]

_FORMAT = 1  # part of the cache's key: raise it when the same files would decode to other pixels
_CHUNK = 256


@dataclass(frozen=True)
class ImageStore:
    """Decoded images of one split.

    Attributes:
        images: (B, side, side, 3) uint8, memory-mapped on the CPU or held on a GPU.
        labels: (B,) int64, an index into ``classes``.
        classes: the class names.
        names: how a message names each image.
        fingerprint: a hash of the encoded images, labels and class names.
        duplicates: pairs of names of images that are the same file.

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

    def __getitem__(self, indices: np.ndarray) -> UInt8[Tensor, "n side side 3"]:
        return self.images[torch.from_numpy(indices).to(self.images.device)]

    def to(self, device: torch.device | str) -> "ImageStore":
        """The same store with its images on a device."""
        return replace(self, images=self.images.to(device))


def open_store(data: str | Path, split: str | None, side: int) -> ImageStore:
    """Decode a split once into the cache, or find it there, and map it into memory.

    The cache is keyed by content, so changed photos are decoded anew. Two processes may open the same data at
    once: one decodes, the other waits. Its folder is ``$TRIPTYCH_CACHE``, else ``~/.cache/triptych``.

    Args:
        data: as ``list_images`` takes it.
        split: "train", "val", "test" or None.
        side: images are scaled to (side, side) pixels.

    Raises:
        ValueError: no images, or a class of which no image can be read.
        OSError: the cache cannot be written.

    >>> from importlib import resources
    >>> from triptych.data import open_store
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     open_store(folder, None, side=84).images.shape[1:]
    torch.Size([84, 84, 3])
    """
    listing = list_images(data, split)
    digests = listing.digests()
    fingerprint = listing.fingerprint(digests)
    pixels, index = _cached(listing, f"{fingerprint}-{side}-{_FORMAT}-{PIL.__version__}", side)
    kept = np.asarray(index["kept"], dtype=np.int64)
    lost = np.setdiff1d(np.arange(len(listing.labels)), kept)
    _report_skipped([f"{listing.names[i]}: {why}" for i, why in zip(lost, index["skipped"], strict=True)])
    return ImageStore(
        images=torch.from_numpy(pixels),
        labels=listing.labels[kept],
        classes=listing.classes,
        names=tuple(listing.names[i] for i in kept),
        fingerprint=fingerprint,
        duplicates=_duplicates(digests, listing.names),
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


def _cached(listing: Listing, key: str, side: int) -> tuple[np.ndarray, dict]:
    folder = cache_folder()
    pixels, index = folder / f"{key}.npy", folder / f"{key}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{key}.lock"):
            found = _whole(listing, side, pixels, index)
            if found is None:
                _build(listing, side, pixels, index)
                found = _whole(listing, side, pixels, index)
    except OSError as error:
        raise OSError(
            f"{folder}: the decoded images cannot be written ({error.strerror or error}); "
            f"free {math.ceil(len(listing.labels) * side * side * 3 / 1e6)} MB or point TRIPTYCH_CACHE elsewhere"
        ) from error
    if found is None:
        raise OSError(f"{pixels}: written, and yet it cannot be read back; point TRIPTYCH_CACHE elsewhere")
    return found


def _whole(listing: Listing, side: int, pixels: Path, index: Path) -> tuple[np.ndarray, dict] | None:
    """Map the cached pixels; None where they or their index are missing, cut short or damaged."""
    try:
        entry = json.loads(index.read_text())
        # Copy-on-write: torch warns of read-only memory, and nobody can change the file through the map.
        images = np.load(pixels, mmap_mode="c")
        kept, skipped = len(entry["kept"]), len(entry["skipped"])
        whole = images.shape == (kept, side, side, 3) and kept + skipped == len(listing.labels)
    except (OSError, ValueError, KeyError, TypeError, EOFError):
        return None
    return (images, entry) if whole else None


def _build(listing: Listing, side: int, pixels: Path, index: Path) -> None:
    """Decode to ``pixels`` and then ``index``, each written beside its place and moved there whole."""
    index.unlink(missing_ok=True)  # a damaged one must not vouch for the new pixels
    for stale in pixels.parent.glob(f"{pixels.stem}.*.part"):
        stale.unlink()
    whole = pixels.with_suffix(".npy.part")
    try:
        kept, skipped = [], {}
        with whole.open("wb") as file:
            _write_header(file, (len(listing.labels), side, side, 3))
            for position, image in _decoded(listing, side):
                if isinstance(image, ImageError):
                    skipped[position] = str(image)
                else:
                    kept.append(position)
                    file.write(image)
            file.seek(0)
            _write_header(file, (len(kept), side, side, 3))
        _refuse_empty_classes(listing, kept, skipped)
        os.replace(whole, pixels)
        # Without names: the same photos may later be opened from another folder.
        reasons = [reason.removeprefix(f"{listing.names[i]}: ") for i, reason in skipped.items()]
        whole.write_text(json.dumps({"kept": kept, "skipped": reasons}))
        os.replace(whole, index)
    finally:
        whole.unlink(missing_ok=True)


def _decoded(listing: Listing, side: int) -> Iterator[tuple[int, bytes | ImageError]]:
    """Decode on all cores, in order, holding only a chunk at a time."""

    def decode(position: int) -> bytes | ImageError:
        try:
            data, name = listing.read(position), listing.names[position]
            return np.asarray(squash(read_image(data, side, name), side)).tobytes()
        except ImageError as error:
            return error

    count = len(listing.labels)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        chunks = (range(start, min(start + _CHUNK, count)) for start in range(0, count, _CHUNK))
        images = (item for chunk in chunks for item in zip(chunk, pool.map(decode, chunk), strict=True))
        yield from track(images, "decoding", total=count)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    # Plain writes, not a writable memory map: a full disk is then an error and not a bus fault. NumPy leaves
    # room in the header for the number of images to grow, so the second header covers the first exactly.
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _refuse_empty_classes(listing: Listing, kept: list[int], skipped: dict[int, str]) -> None:
    for label in sorted(set(range(len(listing.classes))) - set(listing.labels[kept].tolist())):
        reasons = [reason for position, reason in skipped.items() if listing.labels[position] == label]
        raise ImageError(
            f"class {listing.classes[label]!r}: none of its {len(reasons)} images can be read; the first: {reasons[0]}"
        )


def _report_skipped(skipped: list[str]) -> None:
    if skipped:
        more = f"\n  and {len(skipped) - 20} more" if len(skipped) > 20 else ""
        lines = "\n  ".join(skipped[:20])
        warnings.warn(f"skipped {len(skipped)} unreadable images:\n  {lines}{more}", stacklevel=3)


def _duplicates(digests: list[bytes], names: list[str]) -> tuple[tuple[str, str], ...]:
    first: dict[bytes, str] = {}
    pairs = []
    for digest, name in zip(digests, names, strict=True):
        if digest in first:
            pairs.append((first[digest], name))
        first.setdefault(digest, name)
    return tuple(pairs)
