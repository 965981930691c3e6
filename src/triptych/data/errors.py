"""What is raised for a photo that cannot be read."""

__all__ = ["ImageError", "NotAnImageError"]


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
