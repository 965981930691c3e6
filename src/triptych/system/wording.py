"""Words of messages that depend on numbers."""

__all__ = ["counted"]


def counted(number: int, noun: str) -> str:
    """A number and what it counts, in the singular or the plural.

    >>> counted(1, "photo"), counted(0, "photo")
    ('1 photo', '0 photos')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
