"""How nearest descriptors are sought: a setting in force around a call, so that no function needs the argument."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor

from triptych.system.precision import resolve_precision

__all__ = ["Search", "current_search", "in_precision", "search_dtype", "searching"]


@dataclass(frozen=True)
class Search:
    """How the pixel level seeks the nearest descriptors, by far the most work of a comparison.

    Attributes:
        dtype: the precision of the search, by default that of the descriptors. ``torch.bfloat16`` is several times
            faster where the hardware has it, and moves a similarity by less than 2^-8 of itself.
        positions: (R,) int64, 0..M-1: of a query's M descriptors only these are compared, and their sum is scaled up to
            all M. Drawn at random they give an estimate without bias at a fraction of the work. By default all.
    """

    dtype: torch.dtype | None = None
    positions: Tensor | None = None


_IN_FORCE: ContextVar[Search] = ContextVar("search", default=Search())  # noqa: B039 (frozen)


def current_search() -> Search:
    """The setting in force; each thread has its own."""
    return _IN_FORCE.get()


@contextmanager
def searching(dtype: torch.dtype | None = None, positions: Tensor | None = None) -> Iterator[None]:
    """Inside the block, nearest descriptors are sought as ``Search`` says.

    >>> import torch
    >>> from triptych.similarity import pixel_similarity, searching
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(2, 2, 1, 1)
    >>> with searching(torch.bfloat16):
    ...     pixel_similarity(x, x, torch.tensor([0, 1])).round(decimals=2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    token = _IN_FORCE.set(Search(dtype, positions))
    try:
        yield
    finally:
        _IN_FORCE.reset(token)


@contextmanager
def in_precision(precision: str, device: str) -> Iterator[str]:
    """Within, methods encode and compare in a precision of ``check_precision``; gives what "auto" has become.

    >>> from triptych.similarity import in_precision
    >>> with in_precision("32", "cpu") as precision:
    ...     precision
    '32'
    """
    precision = resolve_precision(precision, device)
    with (
        torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"),
        searching(search_dtype(precision)),
    ):
        yield precision


def search_dtype(precision: str) -> torch.dtype:
    """In which nearest descriptors are sought."""
    return torch.float32 if precision == "32" else torch.bfloat16
