"""Data: where photos and labelled photos come from, and the decoded store that episodes index."""

from triptych.data.augment import centre_crop, colour_jitter, normalise, random_crop_flip, resize
from triptych.data.errors import ImageError, NotAnImageError
from triptych.data.files import is_image
from triptych.data.folders import IMAGE_ENDINGS, files_below, list_folder, walk, warn_of_unread
from triptych.data.grammar import labelled, list_images
from triptych.data.images import ImageSource, NamedBytes, RemotePhoto, read_image, squash
from triptych.data.inputs import LabelledPhotos, as_photos, check_label, photo_stream
from triptych.data.known import KNOWN_DATA, KnownData, check_known, count_splits
from triptych.data.limits import Limits, current_limits
from triptych.data.listing import SPLITS, Listing
from triptych.data.photos import Photo, Unreadable, left_out_warning, read_class_photos, read_photos
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
    "as_photos",
    "cache_folder",
    "centre_crop",
    "check_known",
    "check_label",
    "colour_jitter",
    "copies",
    "count_splits",
    "current_limits",
    "files_below",
    "is_image",
    "labelled",
    "left_out_warning",
    "list_folder",
    "list_images",
    "normalise",
    "open_store",
    "photo_stream",
    "random_crop_flip",
    "read_class_photos",
    "read_image",
    "read_photos",
    "resize",
    "squash",
    "walk",
    "warn_of_unread",
]
