"""The service: shelves of classes that people and programs share."""

from typing import TYPE_CHECKING

from triptych.serve.settings import Settings
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.serve.changes import Added, ChangedMeanwhile, Staged
    from triptych.serve.index import Index, Missing
    from triptych.serve.learnt import Learnt
    from triptych.serve.shelf import Shelf
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

__getattr__ = imported_when_used(
    __name__,
    {
        "Added": "triptych.serve.changes",
        "ChangedMeanwhile": "triptych.serve.changes",
        "Index": "triptych.serve.index",
        "Learnt": "triptych.serve.learnt",
        "Missing": "triptych.serve.index",
        "Shelf": "triptych.serve.shelf",
        "Shelves": "triptych.serve.shelves",
        "Staged": "triptych.serve.changes",
        "opened": "triptych.serve.shelves",
    },
)
