"""Data: where photos and labelled photos come from, and the decoded store that episodes index."""

from typing import TYPE_CHECKING

from triptych.data.apart import warn_of_shared
from triptych.data.errors import ImageError, NotAnImageError
from triptych.data.files import check_photo, is_image
from triptych.data.folders import IMAGE_ENDINGS, check_photo_folder, files_below, list_folder, walk, warn_of_unread
from triptych.data.grammar import check_data, labelled, list_images
from triptych.data.images import ImageSource, NamedBytes, RemotePhoto, read_image, reading_conditions, squash
from triptych.data.inputs import (
    LabelledPhotos,
    as_label,
    as_photos,
    as_sequence,
    check_label,
    photo_stream,
    refuse_alike,
)
from triptych.data.known import KNOWN_DATA, KnownData, check_known, count_splits
from triptych.data.limits import Limits, current_limits
from triptych.data.listing import SPLITS, Listing
from triptych.data.shards import parquet_files, refuse_missing_shards
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.data.augment import centre_crop, colour_jitter, normalise, random_crop_flip, resize
    from triptych.data.photos import Photo, Unreadable, left_out_warnings, read_class_photos, read_photos
    from triptych.data.preprocessing import Preprocessing
    from triptych.data.same import appearance, copies
    from triptych.data.store import ImageStore, cache_folder, open_store

__all__ = [
    "IMAGE_ENDINGS",
    "KNOWN_DATA",
    "SPLITS",
    "ImageError",
    "ImageSource",
    "ImageStore",
    "KnownData",
    "LabelledPhotos",
    "Limits",
    "Listing",
    "NamedBytes",
    "NotAnImageError",
    "Photo",
    "Preprocessing",
    "RemotePhoto",
    "Unreadable",
    "appearance",
    "as_label",
    "as_photos",
    "as_sequence",
    "cache_folder",
    "centre_crop",
    "check_data",
    "check_known",
    "check_label",
    "check_photo",
    "check_photo_folder",
    "colour_jitter",
    "copies",
    "count_splits",
    "current_limits",
    "files_below",
    "is_image",
    "labelled",
    "left_out_warnings",
    "list_folder",
    "list_images",
    "normalise",
    "open_store",
    "parquet_files",
    "photo_stream",
    "random_crop_flip",
    "read_class_photos",
    "read_image",
    "read_photos",
    "reading_conditions",
    "refuse_alike",
    "refuse_missing_shards",
    "resize",
    "squash",
    "walk",
    "warn_of_shared",
    "warn_of_unread",
]

# Whether data is there can be told without torch.
__getattr__ = imported_when_used(
    __name__,
    {
        "ImageStore": "triptych.data.store",
        "Photo": "triptych.data.photos",
        "Preprocessing": "triptych.data.preprocessing",
        "Unreadable": "triptych.data.photos",
        "appearance": "triptych.data.same",
        "cache_folder": "triptych.data.store",
        "centre_crop": "triptych.data.augment",
        "colour_jitter": "triptych.data.augment",
        "copies": "triptych.data.same",
        "left_out_warnings": "triptych.data.photos",
        "normalise": "triptych.data.augment",
        "open_store": "triptych.data.store",
        "random_crop_flip": "triptych.data.augment",
        "read_class_photos": "triptych.data.photos",
        "read_photos": "triptych.data.photos",
        "resize": "triptych.data.augment",
    },
)
