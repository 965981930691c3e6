"""Many photos: recognised into a table, or sorted into folders; where they lie."""

from triptych.folders.photos import beside_photos, photos_below
from triptych.folders.places import is_place, photos_at, photos_of
from triptych.folders.predict import BatchSummary, predict_folder
from triptych.folders.sort import SortSummary, check_copies, sort_photos

__all__ = [
    "BatchSummary",
    "SortSummary",
    "beside_photos",
    "check_copies",
    "is_place",
    "photos_at",
    "photos_below",
    "photos_of",
    "predict_folder",
    "sort_photos",
]
