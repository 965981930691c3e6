"""Data: where photos and labelled photos come from, and the decoded store that episodes index."""

from triptych.data.augment import centre_crop, colour_jitter, normalise, random_crop_flip, resize
from triptych.data.errors import ImageError, NotAnImageError
from triptych.data.folders import list_folder
from triptych.data.grammar import labelled, list_images
from triptych.data.images import ImageSource, NamedBytes, read_image, squash
from triptych.data.limits import Limits
from triptych.data.listing import SPLITS, Listing
from triptych.data.photos import Photo, Unreadable, read_class_photos, read_photos
from triptych.data.preprocessing import Preprocessing
from triptych.data.store import ImageStore, cache_folder, open_store

__all__ = [
    "SPLITS",
    "ImageError",
    "ImageSource",
    "ImageStore",
    "Limits",
    "Listing",
    "NamedBytes",
    "NotAnImageError",
    "Photo",
    "Preprocessing",
    "Unreadable",
    "cache_folder",
    "centre_crop",
    "colour_jitter",
    "labelled",
    "list_folder",
    "list_images",
    "normalise",
    "open_store",
    "random_crop_flip",
    "read_class_photos",
    "read_image",
    "read_photos",
    "resize",
    "squash",
]
