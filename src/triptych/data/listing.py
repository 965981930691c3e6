"""Where images come from: a listing names the images of one split, undecoded."""

import csv
import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from triptych.data.images import read_bytes
from triptych.system.wording import counted

__all__ = ["SPLITS", "Listing", "files_below", "list_folder", "list_images"]

SPLITS = ("train", "val", "test")
_NAMED = 3  # of many files, in a message
_SPLIT_SPELLINGS = {"val": ("val", "validation", "valid", "dev"), "train": ("train",), "test": ("test",)}
_LAYOUTS = (
    "a folder with one sub-folder per class, images/ with train.csv, val.csv and test.csv (filename,label), "
    "Parquet files (image, label), or hf:NAME"
)
_LEARNT_FROM = "a folder with one sub-folder of photos per class, or a CSV file with the columns path and label"


@dataclass(frozen=True)
class Listing:
    """The images of one split, undecoded.

    Attributes:
        sources: a file's path, or the encoded bytes, of each of the B images.
        names: how a message names each image.
        labels: (B,) int64, an index into ``classes``.
        classes: the class names.

    >>> import numpy as np
    >>> from triptych.data import Listing
    >>> listing = Listing([b"1", b"2"], ["one", "two"], np.array([0, 1]), ("a", "b"))
    >>> listing.read(1), listing.classes[listing.labels[1]]
    (b'2', 'b')
    """

    sources: list[Path | bytes]
    names: list[str]
    labels: np.ndarray
    classes: tuple[str, ...]

    def read(self, index: int) -> bytes:
        """The encoded bytes of one image; an ImageError names a file that cannot be read."""
        source = self.sources[index]
        return source if isinstance(source, bytes) else read_bytes(source)

    def digests(self) -> list[bytes]:
        """A hash of each image's bytes; of its name where it cannot be read."""
        return [_digest(source) for source in self.sources]

    def fingerprint(self, digests: Iterable[bytes]) -> str:
        """A hash of the contents: the images' bytes, their order, labels and class names; never of paths."""
        whole = hashlib.blake2b(digest_size=16)
        whole.update(json.dumps(self.classes).encode())
        whole.update(self.labels.tobytes())
        for digest in digests:
            whole.update(digest)
        return whole.hexdigest()


def list_images(data: str | Path, split: str | None = None) -> Listing:
    """List the images of a data set.

    Args:
        data: a folder of class folders (optionally below train/, val/ and test/), a folder with ``images/``
            and ``train.csv``, ``val.csv``, ``test.csv``, Parquet files, or ``hf:NAME`` (a data set of the hub).
        split: "train", "val" or "test". A plain folder of class folders has no splits: it is one whole.

    Raises:
        ValueError: there is nothing there that can be listed; the message says what was expected.

    >>> from importlib import resources
    >>> from triptych.data import list_images
    >>> with resources.as_file(resources.files("triptych.samples")) as folder:
    ...     list_images(folder).classes[:3]
    ('Avocado', 'Carrots', 'Garlic')
    """
    if split is not None and split not in SPLITS:
        raise ValueError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if str(data).startswith("hf:"):
        from triptych.data.hub import list_hub

        return list_hub(str(data).removeprefix("hf:"), split, _SPLIT_SPELLINGS)
    root = Path(data)
    if not root.exists():
        raise ValueError(f"{root}: no such file or folder; expected {_LAYOUTS}")
    if root.is_file() or any(root.glob("*.parquet")):
        return _list_parquet(root, split)
    if (root / "images").is_dir() and any((root / f"{name}.csv").is_file() for name in SPLITS):
        return _list_csv(root, split)
    below = _split_folder(root, split)
    return list_folder(below or root)


def list_folder(root: Path, to_learn: bool = False) -> Listing:
    """List a folder with one sub-folder per class; sub-folders of a class folder belong to the class.

    Photos beside the class folders are left out with a warning.

    Args:
        root: the folder.
        to_learn: leave class folders without files out, with a warning, while two others remain. To evaluate they
            are an error: a figure must not lose a class. What a message expects differs too.

    Raises:
        ValueError: there are no class folders, or some without files; the message names all of them.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from triptych.data import list_folder
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("lemon/1.jpg", "plum/1.jpg", "plum/2.jpg"):
    ...         path = Path(folder, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         _ = path.write_bytes(b"")
    ...     listing = list_folder(path.parent.parent)
    >>> listing.classes, listing.labels
    (('lemon', 'plum'), array([0, 1, 1]))
    """
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))
    if not folders:
        expected = _LEARNT_FROM if to_learn else _LAYOUTS
        raise ValueError(f"{root}: no class folders in it; expected {expected}")
    _warn_of_photos_beside(root)
    files = {folder: sorted(files_below(folder)) for folder in folders}
    classes = [folder for folder in folders if files[folder]]
    if len(classes) < len(folders):
        told = f"class folders without files: {', '.join(folder.name for folder in folders if not files[folder])}"
        if not to_learn or len(classes) < 2:
            raise ValueError(f"{root}: {told}; put photos in them or remove them")
        warnings.warn(f"{root}: left out {told}", stacklevel=2)
    sources: list[Path | bytes] = []
    labels = []
    for label, folder in enumerate(classes):
        sources += files[folder]
        labels += [label] * len(files[folder])
    return _listing(sources, [str(path) for path in sources], labels, [folder.name for folder in classes])


def files_below(folder: Path) -> Iterator[Path]:
    """The files of a folder and its sub-folders, in any order, without what is hidden."""
    return (path for path in folder.rglob("*") if path.is_file() and not _hidden(path, folder))


def _warn_of_photos_beside(root: Path) -> None:
    """Warn of photos that lie in no class folder; other files, such as notes and tables, may well lie there."""
    endings = {
        ending
        for ending, kind in Image.registered_extensions().items()
        if Image.MIME.get(kind, "").startswith("image/")
    }
    beside = sorted(
        path.name
        for path in root.iterdir()
        if path.suffix.lower() in endings and path.is_file() and not path.name.startswith(".")
    )
    if beside:
        some = ", ".join(beside[:_NAMED]) + (", ..." if len(beside) > _NAMED else "")
        warnings.warn(
            f"{root}: left out {counted(len(beside), 'photo')} beside the class folders: {some}; "
            "put each into the folder of its class",
            stacklevel=3,
        )


def _hidden(path: Path, folder: Path) -> bool:
    """Whether the file, or a folder on the way to it, is hidden: thumbnails and the like, no photos."""
    *folders, file = path.relative_to(folder).parts
    return file.startswith(".") or any(name.startswith((".", "__")) for name in folders)


def _list_csv(root: Path, split: str | None) -> Listing:
    table = root / f"{split or 'test'}.csv"
    if not table.is_file():
        raise ValueError(f"{table}: no such file; expected a table with the columns filename and label")
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"filename", "label"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{table}: columns are {reader.fieldnames}; expected filename and label")
        rows = [(row["filename"], row["label"]) for row in reader]
    if not rows:
        raise ValueError(f"{table}: the table has no rows")
    if short := [row for row, cells in enumerate(rows, start=1) if not all(cells)]:
        raise ValueError(f"{table}: row {short[0]} has no filename or no label; fill in or remove it")
    classes = sorted({label for _, label in rows})
    index = {label: position for position, label in enumerate(classes)}
    paths: list[Path | bytes] = [root / "images" / filename for filename, _ in rows]
    return _listing(paths, [str(path) for path in paths], [index[label] for _, label in rows], classes)


def _list_parquet(root: Path, split: str | None) -> Listing:
    import pyarrow.parquet as pq

    files = [root] if root.is_file() else _split_files(root, split)
    sources: list[Path | bytes] = []
    names: list[str] = []
    values: list[int | str] = []
    class_names: list[str] | None = None
    for file in files:
        try:
            table = pq.read_table(file, columns=["image", "label"])
            images = table.column("image").to_pylist()
            encoded = [_bytes_of(image) for image in images]
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise ValueError(
                f"{file}: not a Parquet file with image {{bytes, path}} and label columns ({error})"
            ) from error
        sources += encoded
        names += [f"{file.name}:{row} {image.get('path') or ''}".strip() for row, image in enumerate(images)]
        values += table.column("label").to_pylist()
        class_names = class_names or _class_names(table.schema.metadata)
    if not values:
        raise ValueError(f"{root}: the table has no rows")
    present = _present(values, class_names, names)
    index = {value: position for position, value in enumerate(present)}
    classes = [class_names[int(value)] if class_names else str(value) for value in present]
    return _listing(sources, names, [index[value] for value in values], classes)


def _bytes_of(image: dict[str, object]) -> bytes:
    if not isinstance(image["bytes"], bytes):
        raise TypeError(f"no bytes in the image {image.get('path')!r}")
    return image["bytes"]


def _present(values: list[int | str], class_names: list[str] | None, names: list[str]) -> list[int | str]:
    """The distinct labels in order; a label that names no class (null, or the hub's -1) is refused."""
    known = range(len(class_names)) if class_names else None
    for name, value in zip(names, values, strict=True):
        if value is None or (known and value not in known):
            raise ValueError(f"{name}: the label {value!r} names no class; label or remove the image")
    return sorted(set(values))  # type: ignore[type-var]


def _class_names(metadata: dict[bytes, bytes] | None) -> list[str] | None:
    try:
        return json.loads((metadata or {})[b"huggingface"])["info"]["features"]["label"]["names"]
    except (KeyError, ValueError):
        return None


def _split_files(root: Path, split: str | None) -> list[Path]:
    wanted = _SPLIT_SPELLINGS[split or "test"]
    files = sorted(path for path in root.glob("*.parquet") if path.name.startswith(wanted))
    if not files:
        found = ", ".join(sorted(path.name for path in root.glob("*.parquet")))
        raise ValueError(f"{root}: no Parquet file of the split {split or 'test'!r}; found {found}")
    return files


def _split_folder(root: Path, split: str | None) -> Path | None:
    """The folder of the split where class folders lie below train/, val/ and test/; None in a plain folder."""
    named = [name for spellings in _SPLIT_SPELLINGS.values() for name in spellings]
    if not any((root / name).is_dir() for name in named):
        if split in {"train", "val"}:
            raise ValueError(
                f"{root}: no {split}/ folder; training needs train/ and val/, each with one sub-folder per class"
            )
        return None
    for name in _SPLIT_SPELLINGS[split or "test"]:
        if (root / name).is_dir():
            return root / name
    raise ValueError(f"{root}: no {split or 'test'}/ folder beside the other splits")


def _listing(sources: list[Path | bytes], names: list[str], labels: list[int], classes: Iterable[str]) -> Listing:
    return Listing(sources, names, np.asarray(labels, dtype=np.int64), tuple(classes))


def _digest(source: Path | bytes) -> bytes:
    try:
        data = source if isinstance(source, bytes) else source.read_bytes()
    except (OSError, ValueError):  # as read_bytes
        data = str(source).encode()
    return hashlib.blake2b(data, digest_size=16).digest()
