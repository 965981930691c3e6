"""Support of very many classes in a vector database: a shortlist by pooled vectors, then the photos of its classes."""

from triptych.bank.axes import Axes, learn_axes
from triptych.bank.bank import Bank
from triptych.bank.place import check_new_place, is_bank, place_of
from triptych.bank.rows import Row, rows_of

__all__ = ["Axes", "Bank", "Row", "check_new_place", "is_bank", "learn_axes", "place_of", "rows_of"]
