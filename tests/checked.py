"""The checker of types and shapes: an int passes for a float, as type checkers have it."""

from beartype import BeartypeConf, beartype

__all__ = ["checked"]

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
