"""What is kept of each class's photos."""

from triptych.support.support import (
    Photo,
    Support,
    Unreadable,
    View,
    encode,
    grow,
    picked,
    read_class_photos,
    read_photos,
    reduced_to,
    summarised,
    support_of,
    thumbnail,
    views_of,
    without,
)

__all__ = [
    "Photo",
    "Support",
    "Unreadable",
    "View",
    "encode",
    "grow",
    "picked",
    "read_class_photos",
    "read_photos",
    "reduced_to",
    "summarised",
    "support_of",
    "thumbnail",
    "views_of",
    "without",
]
