"""Data: where images come from, and the decoded store that episodes index."""

from triptych.data.augment import centre_crop, colour_jitter, normalise, random_crop_flip, resize
from triptych.data.images import ImageError, ImageSource, read_image, squash
from triptych.data.listing import SPLITS, Listing, list_folder, list_images
from triptych.data.store import ImageStore, cache_folder, open_store

__all__ = [
    "SPLITS",
    "ImageError",
    "ImageSource",
    "ImageStore",
    "Listing",
    "cache_folder",
    "centre_crop",
    "colour_jitter",
    "list_folder",
    "list_images",
    "normalise",
    "open_store",
    "random_crop_flip",
    "read_image",
    "resize",
    "squash",
]
