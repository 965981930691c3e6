"""The service: shelves of classes that people and programs share."""

from triptych.serve.index import Index, Missing
from triptych.serve.shelf import Added, ChangedMeanwhile, Learnt, Shelf, Staged
from triptych.serve.shelves import Shelves, opened

__all__ = ["Added", "ChangedMeanwhile", "Index", "Learnt", "Missing", "Shelf", "Shelves", "Staged", "opened"]
