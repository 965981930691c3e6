"""Whole folders of photos: recognised into a table, or sorted into folders."""

from triptych.folders.photos import beside_photos, photos_below
from triptych.folders.predict import BatchSummary, predict_folder
from triptych.folders.sort import SortSummary, check_copies, sort_photos

__all__ = [
    "BatchSummary",
    "SortSummary",
    "beside_photos",
    "check_copies",
    "photos_below",
    "predict_folder",
    "sort_photos",
]
