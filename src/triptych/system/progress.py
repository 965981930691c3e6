"""Progress on stderr, so that stdout stays clean for results."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

__all__ = ["hide_progress", "progress_bar", "steps", "track"]

T = TypeVar("T")

_PATIENCE = 1.0  # seconds that pass before there is a bar
_shown = False
_hidden = False


def hide_progress() -> None:
    """Show no bars from now on: another process shows how far the work is."""
    global _hidden
    _hidden = True


def progress_bar() -> Progress:
    """A bar with count, a free ``status`` field (accuracy, loss) and the remaining time."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}", markup=False),  # it may be the name of a folder
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[status]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=_hidden or not console.is_terminal,
    )


def track(items: Iterable[T], description: str, total: int) -> Generator[T, None, None]:
    """Yield the items; after a second, under a progress bar. Inside another bar there is none.

    Close it where the loop may raise: until then the bar stays on the screen.
    """
    global _shown
    start, bar = time.monotonic(), None
    try:
        for done, item in enumerate(items):
            if bar is None and not _shown and time.monotonic() - start > _PATIENCE:
                bar, _shown = progress_bar(), True
                bar.start()
                task = bar.add_task(description, total=total, status="")
            if bar is not None:
                bar.update(task, completed=done)
            yield item
    finally:
        if bar is not None:
            bar.stop()
            _shown = False


@contextmanager
def steps(total: int) -> Iterator[Callable[[str], None]]:
    """What says that the next of a few long steps begins, under a progress bar. Inside another bar there is none."""
    global _shown
    if _shown:
        yield lambda description: None
        return
    _shown = True
    try:
        with progress_bar() as bar:
            task = bar.add_task("", total=total, completed=-1, status="")
            yield lambda description: bar.update(task, description=description, advance=1)
    finally:
        _shown = False
