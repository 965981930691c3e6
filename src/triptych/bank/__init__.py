"""Support of very many classes in a vector database: a shortlist by pooled vectors, then the photos of its classes."""

from typing import TYPE_CHECKING

from triptych.bank.place import absolute, check_new_place, is_bank, place_of
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.bank.axes import Axes, learn_axes
    from triptych.bank.bank import Bank
    from triptych.bank.rows import Row, rows_of

__all__ = ["Axes", "Bank", "Row", "absolute", "check_new_place", "is_bank", "learn_axes", "place_of", "rows_of"]

# Whether a place is a bank can be told without torch.
__getattr__ = imported_when_used(
    __name__,
    {
        "Axes": "triptych.bank.axes",
        "Bank": "triptych.bank.bank",
        "Row": "triptych.bank.rows",
        "learn_axes": "triptych.bank.axes",
        "rows_of": "triptych.bank.rows",
    },
)
