"""The service: shelves of classes that people and programs share."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from triptych.serve.settings import Settings

if TYPE_CHECKING:
    from triptych.serve.index import Index, Missing
    from triptych.serve.shelf import Added, ChangedMeanwhile, Learnt, Shelf, Staged
    from triptych.serve.shelves import Shelves, opened

__all__ = [
    "Added",
    "ChangedMeanwhile",
    "Index",
    "Learnt",
    "Missing",
    "Settings",
    "Shelf",
    "Shelves",
    "Staged",
    "opened",
]

_HOMES = {
    "Added": "triptych.serve.shelf",
    "ChangedMeanwhile": "triptych.serve.shelf",
    "Index": "triptych.serve.index",
    "Learnt": "triptych.serve.shelf",
    "Missing": "triptych.serve.index",
    "Shelf": "triptych.serve.shelf",
    "Shelves": "triptych.serve.shelves",
    "Staged": "triptych.serve.shelf",
    "opened": "triptych.serve.shelves",
}


def __getattr__(name: str) -> Any:
    # Imported when first used: the options of the command are settings, and its help must not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'triptych.serve' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
