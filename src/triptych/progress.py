"""Progress on stderr, so that stdout stays clean for results."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["progress_bar", "track"]

T = TypeVar("T")


def progress_bar() -> Progress:
    """A bar with count, a free ``status`` field (accuracy, loss) and the remaining time."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def track(items: Iterable[T], description: str, total: int, at_least: int = 100) -> Iterator[T]:
    """Yield the items under a progress bar; below ``at_least`` items there is nothing to wait for."""
    if total < at_least:
        yield from items
        return
    with progress_bar() as bar:
        task = bar.add_task(description, total=total, status="")
        for item in items:
            yield item
            bar.advance(task)
