"""Few-shot data sets that are shipped as pickles, read by an unpickler that makes numbers, text and arrays alone.

- miniImageNet as Ren et al. ship it: ``mini-imagenet-cache-train.pkl`` holds the pixels, and the rows of each class.
- tieredImageNet as Ren et al. ship it: ``train_images_png.pkl`` (encoded images) or ``train_images.npz`` (pixels in
  OpenCV's order, blue first), beside ``train_labels.pkl``, and so for val and test.
- FC100 and CIFAR-FS as distributed with MetaOptNet (Lee et al., CVPR 2019): ``FC100_train.pickle`` holds data and
  labels.
"""

import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from triptych.data.images import ImageSource
from triptych.data.listing import SPLITS, Listing, listing_of, one_of_each
from triptych.system.wording import counted, first_few, first_line, printable

__all__ = ["list_pickled", "pickled_splits"]

_ARRAYS = re.compile(r"(FC100|CIFAR_FS)_(train|val|test)\.pickle")
_EXPECTED = "images and labels as the data set's authors ship them"
_CACHE = re.compile(r"mini-imagenet-cache-(train|val|test)\.pkl")


def pickled_splits(root: Path) -> dict[str, Path]:
    """The splits of such a data set, and the file of images of each; empty for another folder.

    Raises:
        ValueError: there are two such data sets.

    >>> from pathlib import Path
    >>> from triptych.data.pickled import pickled_splits
    >>> pickled_splits(Path("/proc"))
    {}
    """
    parts = _tiered(root)
    for path in sorted(root.glob("*.pickle")):
        if match := _ARRAYS.fullmatch(path.name):
            parts.append((match[2], path))
    for path in sorted(root.glob("*.pkl")):
        if match := _CACHE.fullmatch(path.name):
            parts.append((match[1], path))
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
    read = (
        _read_arrays if _ARRAYS.fullmatch(file.name) else _read_cache if _CACHE.fullmatch(file.name) else _read_tiered
    )
    try:
        images, classes = read(file)
    except (MemoryError, OSError, _ToldError):  # not of what the file holds, or told
        raise
    except Exception as error:  # whatever the wrong content happens to ask for
        raise _ToldError(f"{name}: holds something else than {_EXPECTED} ({first_line(error):.200})") from error
    if not images:
        raise _ToldError(f"{name}: holds no images; expected {_EXPECTED}")
    return listing_of(images, [f"{name}:{row}" for row in range(len(images))], classes)


def _tiered(root: Path) -> list[tuple[str, Path]]:
    """The splits of tieredImageNet and the file of images of each, of which none may lack its labels."""
    forms = {split: [root / f"{split}_images_png.pkl", root / f"{split}_images.npz"] for split in SPLITS}
    images = {split: found for split, both in forms.items() if (found := [path for path in both if path.is_file()])}
    for split in SPLITS if images else ():
        labels = root / f"{split}_labels.pkl"
        if (split in images) != labels.is_file():
            there, lost = (labels, forms[split][0]) if labels.is_file() else (images[split][0], labels)
            raise ValueError(
                f"{printable(root)}: {there.name} is there, and {lost.name} is missing; expected both, images and "
                f"labels of the split {split}"
            )
    return [(split, found[0]) for split, found in images.items()]  # two forms of the same


class _ToldError(ValueError):
    """What is wrong with a file, in words for its owner."""


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
        named = {name.decode() if isinstance(name, bytes) else name: one for name, one in content.items()}
        return {name: _plain(one) for name, one in named.items()}
    return [_plain(one) for one in content]


def _plain(one: Any) -> Any:
    return one.array if isinstance(one, _Array) else one


def _load(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return _unpickled(file)
    except (MemoryError, OSError):  # not of what the file holds
        raise
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        raise _ToldError(
            f"{printable(path)}: damaged, or holds more than numbers and text, which is not run "
            f"({first_line(error):.200}); expected {_EXPECTED}"
        ) from error


def _field(content: Any, path: Path, *names: str) -> Any:
    """What a dictionary holds under the first of some names."""
    for name in names:
        if isinstance(content, dict) and name in content:
            return content[name]
    got = first_few([repr(printable(name)) for name in content]) if isinstance(content, dict) else "no dictionary"
    raise _ToldError(f"{printable(path)}: expected {' or '.join(map(repr, names))} in it, got {got:.200}")


def _read_arrays(path: Path) -> tuple[list[ImageSource], list[str]]:
    content = _load(path)
    images, labels = list(_pixels(_field(content, path, "data"))), _field(content, path, "labels")
    _check_lengths(images, labels, printable(path), "it")
    return images, [_class_name(int(label), None) for label in labels]


def _read_cache(path: Path) -> tuple[list[ImageSource], list[str]]:
    content = _load(path)
    images = list(_pixels(_field(content, path, "image_data")))
    classes: dict[int, str] = {}
    for name, rows in _field(content, path, "class_dict").items():
        called = name.decode() if isinstance(name, bytes) else str(name)
        for row in map(int, _plain(rows)):
            if not 0 <= row < len(images) or row in classes:
                why = "in two classes" if row in classes else f"none of its {len(images)} images"
                raise _ToldError(f"{printable(path)}: class {printable(called)} has image {row}, which is {why}")
            classes[row] = called
    if lost := len(images) - len(classes):
        raise _ToldError(f"{printable(path)}: {counted(lost, 'image')} of no class; expected a class of each")
    return images, [classes[row] for row in range(len(images))]


def _read_tiered(path: Path) -> tuple[list[ImageSource], list[str]]:
    table = path.with_name(f"{path.name.split('_')[0]}_labels.pkl")
    content = _load(table)
    labels = _field(content, table, "label_specific", "labels")
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            images: list[ImageSource] = list(_pixels(arrays["images"])[..., ::-1])  # OpenCV's BGR -> RGB
    else:
        images = [one if isinstance(one, bytes) else np.asarray(one, np.uint8).tobytes() for one in _load(path)]
    _check_lengths(images, labels, printable(path), printable(table))
    names = content.get("label_specific_str")
    known = None if names is None else list(map(str, names))
    return images, [_class_name(int(label), known) for label in labels]


def _check_lengths(images: Sequence[ImageSource], labels: Any, name: str, table: str) -> None:
    if len(images) != len(labels):
        raise _ToldError(
            f"{name}: holds {counted(len(images), 'image')}, and {table} holds {counted(len(labels), 'label')}; "
            "expected one label per image, of the same split and release"
        )


def _pixels(images: Any) -> np.ndarray:
    data = np.asarray(images)
    if data.dtype != np.uint8 or data.ndim != 4 or data.shape[3] != 3:
        raise ValueError(f"data of shape {data.shape} and type {data.dtype}; expected (B, h, w, 3) of bytes")
    return data


def _class_name(label: int, names: list[str] | None) -> str:
    """With the number in front: two classes of ImageNet may have one name."""
    return f"{label:03d}" if names is None else f"{label:03d}.{names[label]}"
