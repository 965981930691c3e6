"""Data sets of the Hugging Face hub (extra ``hub``)."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from os import walk
from os.path import isdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from triptych.data.listing import Listing, choose_split, one_of_each, refuse_split, split_of
from triptych.system.extras import extra
from triptych.system.hub import check_reachable, data_kept, hub_or_cache
from triptych.system.wording import printable

if TYPE_CHECKING:
    import datasets

__all__ = ["check_hub_data", "list_hub"]

_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_MOST_FILES = 1_000_000  # of a folder, all of which the library looks at: a minute for a hundred thousand


def check_hub_data(name: str) -> None:
    """Refuse a data set that is neither here nor to be had, without the library that reads it.

    Raises:
        ValueError: no such folder and no name of a data set, or a folder with too many files for one.
        OSError: no such folder, nothing in the cache, and the hub cannot be reached.
    """
    _check_folder(name)
    if not isdir(name) and not _NAME.fullmatch(name):
        raise ValueError(f"hf:{printable(name)}: no such folder and no name of a data set; expected hf:OWNER/NAME")
    if not isdir(name) and find_spec("datasets") is not None:  # without it, list_hub says what to install
        check_reachable(data_kept(name), _unreachable(name))


def list_hub(name: str, split: str | None, to_learn: bool = False) -> Listing:
    """List a split of a hub data set, or of a local directory that ``datasets.load_dataset`` reads.

    Args:
        name: of the data set.
        split: see ``choose_split``; a data set of one part of any name is one whole.
        to_learn: see ``choose_split``.

    Raises:
        ValueError: the data set, the split, or its image and label columns are missing; or a folder of too many files.
        RuntimeError: the ``datasets`` library is missing.
    """
    with extra("hub", "hf: data needs the datasets library"):
        import datasets
    _check_folder(name)
    try:
        with hub_or_cache(needed=not isdir(name)) as answered, _without_bars(datasets):
            available = datasets.load_dataset(name)
    except Exception as error:  # the hub's client raises many kinds
        if not answered:
            raise OSError(_unreachable(name)) from error
        raise ValueError(
            f"hf:{name}: cannot be loaded ({type(error).__name__}: {error}); expected a data set of images with labels"
        ) from error
    found = one_of_each(((known, part, part) for part in available if (known := split_of(part))), f"hf:{name}")
    if len(available) == 1 and not found:
        if to_learn:
            refuse_split(f"hf:{name}", split)
        chosen = next(iter(available))
    else:
        chosen = choose_split(found, split, f"hf:{name}", available, to_learn)
    table = available[chosen]
    image = _column(table, datasets.Image, name)
    label = _column(table, datasets.ClassLabel, name)
    rows = table.cast_column(image, datasets.Image(decode=False))
    values = np.asarray([-1 if value is None else value for value in rows[label]], dtype=np.int64)
    if len(values) == 0 or values.min() < 0:  # -1 is the hub's custom for a held-back label
        raise ValueError(f"hf:{name}: the split {chosen!r} has no labels; choose another split")
    present, labels = np.unique(values, return_inverse=True)
    return Listing(
        sources=[_source(cell) for cell in rows[image]],
        names=[f"hf:{name} {chosen}:{row}" for row in range(len(values))],
        labels=labels.astype(np.int64),
        classes=tuple(table.features[label].names[value] for value in present),
    )


def _check_folder(name: str) -> None:
    """Refuse a folder that is a whole disk rather than a data set."""
    files = (file for _, _, names in walk(name) for file in names)
    if next(islice(files, _MOST_FILES, None), None) is not None:
        raise ValueError(
            f"hf:{name}: a folder of more than {_MOST_FILES:,} files; expected a data set's own folder. "
            "Class folders are named without hf:"
        )


@contextmanager
def _without_bars(library: Any) -> Iterator[None]:
    """Within, the library shows no progress bars of its own: there are several, and each stays on the screen."""
    shown = not library.are_progress_bars_disabled()
    library.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bars()


def _unreachable(name: str) -> str:
    return f"hf:{name}: no such folder, and the Hugging Face hub cannot be reached; try again"


def _column(table: "datasets.Dataset", kind: type, name: str) -> str:
    for column, feature in table.features.items():
        if isinstance(feature, kind):
            return column
    raise ValueError(
        f"hf:{name}: no {kind.__name__} column among {', '.join(table.features)}; expected an image and a label"
    )


def _source(cell: Mapping[str, object]) -> bytes | Path:
    return cell["bytes"] if isinstance(cell["bytes"], bytes) else Path(str(cell["path"]))
