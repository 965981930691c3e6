"""What is raised for a photo that cannot be read, and for a split that is not there."""

__all__ = ["ImageError", "NoSplitError", "NotAnImageError"]


class ImageError(ValueError):
    """A photo that cannot be read. The message names it and says why.

    >>> from triptych import ImageError
    >>> issubclass(ImageError, ValueError)
    True
    """


class NotAnImageError(ImageError):
    """A file that is no image by its first bytes: a text, a table, a film.

    >>> from triptych.data import ImageError, NotAnImageError
    >>> issubclass(NotAnImageError, ImageError)
    True
    """


class NoSplitError(ValueError):
    """A data set has no split of that name. The message says which it has.

    >>> from triptych.data.errors import NoSplitError
    >>> issubclass(NoSplitError, ValueError)
    True
    """
