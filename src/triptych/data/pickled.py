"""Few-shot data sets that are shipped as pickles, read by an unpickler that makes numbers, text and arrays alone.

- tieredImageNet as Ren et al. ship it: ``train_images_png.pkl`` (encoded images) or ``train_images.npz`` (pixels in
  OpenCV's order, blue first), beside ``train_labels.pkl``, and so for val and test.
- FC100 and CIFAR-FS as distributed with MetaOptNet (Lee et al., CVPR 2019): ``FC100_train.pickle`` holds data and
  labels.
"""

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from triptych.data.images import ImageSource
from triptych.data.listing import SPLITS, Listing, listing_of, one_of_each
from triptych.system.wording import first_line, printable

__all__ = ["list_pickled", "pickled_splits"]

_ARRAYS = re.compile(r"(FC100|CIFAR_FS)_(train|val|test)\.pickle")


def pickled_splits(root: Path) -> dict[str, Path]:
    """The splits of such a data set, and the file of images of each; empty for another folder.

    Raises:
        ValueError: there are two such data sets.

    >>> from pathlib import Path
    >>> from triptych.data.pickled import pickled_splits
    >>> pickled_splits(Path("/proc"))
    {}
    """
    parts: list[tuple[str, Path]] = []
    for split in SPLITS:
        images = [root / f"{split}_images_png.pkl", root / f"{split}_images.npz"]  # two forms of the same
        if (root / f"{split}_labels.pkl").is_file():
            parts += [(split, path) for path in images if path.is_file()][:1]
    for path in sorted(root.glob("*.pickle")):
        if match := _ARRAYS.fullmatch(path.name):
            parts.append((match[2], path))
    return one_of_each(((split, path.name, path) for split, path in parts), printable(root))


def list_pickled(file: Path) -> Listing:
    """List the images of a split, which are held in memory.

    Args:
        file: of ``pickled_splits``.

    Raises:
        ValueError: it is damaged, holds more than numbers and text, or images and labels do not go together.
        OSError: it cannot be read.
    """
    name = printable(file)
    try:
        images, labels, class_names = _read_arrays(file) if _ARRAYS.fullmatch(file.name) else _read_tiered(file)
        if len(images) != len(labels) or not len(images):
            raise ValueError(f"{len(images)} images and {len(labels)} labels")
        classes = [_class_name(int(label), class_names) for label in labels]
    except (MemoryError, OSError):  # not of what the file holds
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        raise ValueError(
            f"{name}: damaged, or holds more than numbers and text, which is not run ({first_line(error):.200}); "
            "expected images and labels as the data set's authors ship them"
        ) from error
    return listing_of(images, [f"{name}:{row}" for row in range(len(images))], classes)


class _Type:
    """Stands for ``numpy.dtype``, which would believe what a file says of it, down to wild memory accesses."""

    def __init__(self, code: str, *_: object) -> None:
        if not re.fullmatch(r"[biufSU]\d{1,6}", code):
            raise pickle.UnpicklingError(f"an array of the type {printable(code):.40}")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    """Stands for ``numpy.ndarray``, for the same reason."""

    array: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *_, shape, kind, fortran, data = state
        self.fill(data, kind, shape, "F" if fortran else "C")

    def fill(self, data: bytes | str, kind: _Type, shape: tuple[int, ...], order: Any) -> "_Array":
        held = data.encode("latin1") if isinstance(data, str) else data  # Python 2's bytes
        self.array = np.frombuffer(held, kind.dtype).reshape(shape, order=order)
        return self


def _scalar(kind: _Type, data: bytes | str) -> Any:
    return _Array().fill(data, kind, (1,), "C").array[0].item()


# What arrays are made of. Nothing else is looked up, and none of these is the file's to choose.
_MAKERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "dtype"): _Type,
    ("numpy", "ndarray"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("numpy._core.numeric", "_frombuffer"): lambda data, kind, shape, order: _Array().fill(data, kind, shape, order),
    ("_codecs", "encode"): lambda text, _: text.encode("latin1"),  # bytes in the old protocols
}


class _PlainUnpickler(pickle.Unpickler):
    """Makes numbers, text, lists, dictionaries and the stand-ins of NumPy's arrays."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core.", "numpy._core.")
        if (module, name) not in _MAKERS:
            raise pickle.UnpicklingError(f"it asks for {printable(module)}.{printable(name)}")
        return _MAKERS[module, name]


def _unpickled(file: BinaryIO) -> Any:
    """What a pickle holds: a list or a dictionary, whose arrays are NumPy's from here on."""
    content = _PlainUnpickler(file, encoding="latin1").load()  # Python 2 wrote some of them
    if isinstance(content, dict):
        return {name: _plain(one) for name, one in content.items()}
    return [_plain(one) for one in content]


def _plain(one: Any) -> Any:
    return one.array if isinstance(one, _Array) else one


def _load(path: Path) -> Any:
    with path.open("rb") as file:
        return _unpickled(file)


def _read_arrays(path: Path) -> tuple[list[ImageSource], Any, list[str] | None]:
    content = _load(path)
    return list(_pixels(content["data"])), content["labels"], None


def _read_tiered(path: Path) -> tuple[list[ImageSource], Any, list[str] | None]:
    content = _load(path.with_name(f"{path.name.split('_')[0]}_labels.pkl"))
    labels = content["label_specific"] if "label_specific" in content else content["labels"]
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            images: list[ImageSource] = list(_pixels(arrays["images"])[..., ::-1])  # OpenCV's BGR -> RGB
    else:
        images = [one if isinstance(one, bytes) else np.asarray(one, np.uint8).tobytes() for one in _load(path)]
    names = content.get("label_specific_str")
    return images, labels, None if names is None else list(map(str, names))


def _pixels(images: Any) -> np.ndarray:
    data = np.asarray(images)
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[3] != 3:
        raise ValueError(f"data of shape {data.shape} and type {data.dtype}; expected (B, h, w, 3) of bytes")
    return data


def _class_name(label: int, names: list[str] | None) -> str:
    """With the number in front: two classes of ImageNet may have one name."""
    return f"{label:03d}" if names is None else f"{label:03d}.{names[label]}"
