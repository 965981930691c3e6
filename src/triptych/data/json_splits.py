"""Splits in JSON as Chen et al. (ICLR 2019) write them: ``base.json``, ``val.json`` and ``novel.json``.

Each holds ``label_names``, ``image_names`` and ``image_labels``, numbers into the first. Images are named by where they
lay on the machine that wrote it; here they lie in class folders beside it, or in a folder ``images/`` of them, so the
end of a name counts, such as ``001.Black_footed_Albatross/1.jpg``.
"""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from triptych.data.listing import Listing, listing_of
from triptych.system.files import read_named
from triptych.system.wording import printable

__all__ = ["json_splits", "list_json_split"]

_FILES = {"train": "base.json", "val": "val.json", "test": "novel.json"}
_OWN = ("base.json", "novel.json")  # by which they are told: a val.json may be anybody's
_LOOKED_AT = 1 << 16  # bytes at either end of a file
_TRIED = 100  # images by which the folder of all is found
_EXPECTED = "a split of Chen et al. in JSON, with label_names, image_names and image_labels"


def json_splits(root: Path) -> dict[str, Path]:
    """The splits that a data set has in such files, and the file of each; empty for another folder.

    >>> from pathlib import Path
    >>> from triptych.data.json_splits import json_splits
    >>> json_splits(Path("/proc"))
    {}
    """
    if not any(_is_split(root / name) for name in _OWN):
        return {}
    return {split: root / name for split, name in _FILES.items() if (root / name).is_file()}


def _is_split(path: Path) -> bool:
    """Whether a file looks like one of them: others have a ``base.json`` too."""
    try:
        with path.open("rb") as file:
            text = file.read(_LOOKED_AT)
            file.seek(max(0, path.stat().st_size - _LOOKED_AT))
            text += file.read()
    except OSError:
        return False
    return any(key in text for key in (b'"label_names"', b'"image_names"', b'"image_labels"'))


def list_json_split(file: Path) -> Listing:
    """List the photos that such a file names.

    Raises:
        ValueError: it is something else, or none of its photos is here.
    """
    names, labels = _read(file)
    ends = [_end(file, name) for name in names]
    folder, length = _place(file, ends)
    paths = [folder.joinpath(*end[-length:]) for end in ends]
    return listing_of(paths, [printable(path) for path in paths], labels)


def _read(file: Path) -> tuple[list[str], list[str]]:
    """The names of the images, and the class of each."""
    data = read_named(file, _EXPECTED)
    try:
        content = json.loads(data)
        classes, names, numbers = (content[key] for key in ("label_names", "image_names", "image_labels"))
        _check(classes, str)
        _check(names, str)
        _check(numbers, int)
        if len(names) != len(numbers) or not names:
            raise ValueError(f"{len(names)} images and {len(numbers)} labels")
        if wrong := [number for number in numbers if not 0 <= number < len(classes)]:
            raise ValueError(f"the label {wrong[0]}, and {len(classes)} classes")
        if any(not name.strip() for name in classes):
            raise ValueError("a class without a name")
        for values in (classes, names):
            [(name, times)] = Counter(values).most_common(1)
            if times > 1:
                raise ValueError(f"{printable(name)!r:.80} {times} times")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        broken = isinstance(error, json.JSONDecodeError | UnicodeDecodeError | RecursionError)
        told = "no JSON" if broken else f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{printable(file)}: expected {_EXPECTED}, got something else ({told:.200})") from error
    return names, [classes[number] for number in numbers]


def _check(values: Any, kind: type) -> None:
    if not isinstance(values, list) or not all(type(one) is kind for one in values):
        raise TypeError(f"a list of other things than {kind.__name__}")


def _end(file: Path, name: str) -> tuple[str, ...]:
    """The parts of a name, of which some last ones say where the image lies here."""
    path = PurePosixPath(name.replace("\\", "/"))
    parts = tuple(part for part in path.parts if part != "/")
    if not parts or ".." in parts:
        raise ValueError(f"{printable(file)}: {printable(name)!r:.80} is no name of an image below its folder")
    return parts


def _place(file: Path, ends: Sequence[tuple[str, ...]]) -> tuple[Path, int]:
    """The folder that the images lie in, and how many parts of their names are of places below it."""
    folders = [file.parent, *(path for name in ("images", "Images") if (path := file.parent / name).is_dir())]
    tried = ends[:: max(1, len(ends) // _TRIED)]
    found = {
        (folder, length): sum(os.path.isfile(folder.joinpath(*end[-length:])) for end in tried)
        for length in range(max(map(len, tried)), 0, -1)
        for folder in folders
    }
    place = max(found, key=lambda one: found[one])  # of equals the one by the longest names
    if found[place]:
        return place
    raise ValueError(
        f"{printable(file)}: none of its images is here, such as {printable('/'.join(ends[0][-2:]))}; put the class "
        "folders beside it, or into images/ there"
    )
