"""What is kept of each class's photos."""

from triptych.support.support import (
    Support,
    View,
    encode,
    grow,
    in_one_pass,
    is_thumbnail,
    picked,
    reduced_to,
    restored,
    summarised,
    support_of,
    thumbnail,
    views_of,
    without,
)

__all__ = [
    "Support",
    "View",
    "encode",
    "grow",
    "in_one_pass",
    "is_thumbnail",
    "picked",
    "reduced_to",
    "restored",
    "summarised",
    "support_of",
    "thumbnail",
    "views_of",
    "without",
]
