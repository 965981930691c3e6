"""Where the figures of a run go: CSV, TensorBoard, Weights & Biases, MLflow, behind one small interface.

Nothing is sent anywhere unless the environment says so: Weights & Biases is offline without ``WANDB_MODE``, and MLflow
writes into the run's folder without ``MLFLOW_TRACKING_URI``.
"""

import csv
import io
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from triptych.system.extras import extra, how_to_install
from triptych.system.files import plain_path, write_whole
from triptych.system.wording import first_line
from triptych.training.logger import Logger, LogStart
from triptych.training.tracking import MLflowLogger, WandbLogger

__all__ = ["LOGGERS", "CSVLogger", "Loggers", "TensorBoardLogger", "check_loggers", "start_loggers"]


class CSVLogger(Logger):
    """``metrics.csv``: one row for each figure, with the columns step, figure and value.

    A run that is resumed goes on from its last checkpoint; rows of later steps are removed, so that none comes twice.
    """

    def __init__(self, start: LogStart) -> None:
        path = plain_path(start.folder / "metrics.csv")
        rows = [row for row in _rows(path) if int(row[0]) <= start.step] if start.step else []
        self._there = {(row[0], row[1]) for row in rows}
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([_COLUMNS, *rows])
        write_whole(path, text.getvalue().encode())
        self._file = path.open("a", newline="", encoding="utf-8", buffering=1)
        self._writer = csv.writer(self._file, lineterminator="\n")

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add the rows of a step, unless they are there."""
        for name, value in figures.items():
            if (str(step), name) not in self._there:
                self._writer.writerow([step, name, repr(float(value))])

    def close(self, failed: bool = False) -> None:
        """Close the file."""
        self._file.close()


class TensorBoardLogger(Logger):
    """TensorBoard's event files. Without the library there are none, and training goes on: it is a default."""

    def __init__(self, start: LogStart) -> None:
        self._writer: Any = None
        try:
            with extra("train", "no TensorBoard logs: they need TensorBoard"):
                from torch.utils.tensorboard import SummaryWriter
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return
        self._writer = SummaryWriter(str(start.folder), purge_step=start.step + 1 if start.step else None)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add the scalars of a step."""
        if self._writer is not None:
            for name, value in figures.items():
                self._writer.add_scalar(name, value, step)

    def close(self, failed: bool = False) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


LOGGERS: dict[str, type[Logger]] = {
    "csv": CSVLogger,
    "tensorboard": TensorBoardLogger,
    "wandb": WandbLogger,
    "mlflow": MLflowLogger,
}


class Loggers:
    """Several loggers as one. One that fails is left out with a warning: a run must not end for its log.

    Args:
        loggers: by name.
    """

    def __init__(self, loggers: Mapping[str, Logger]) -> None:
        self._loggers = dict(loggers)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Give the figures of a step to all."""
        for name, logger in list(self._loggers.items()):
            with self._left_out_if_it_fails(name):
                logger.log(figures, step)

    def close(self, failed: bool = False) -> None:
        """Close all; ``failed`` says that the run ended by an error."""
        for name, logger in list(self._loggers.items()):
            with self._left_out_if_it_fails(name):
                del self._loggers[name]
                logger.close(failed)

    @contextmanager
    def _left_out_if_it_fails(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the libraries raise many kinds
            if name in self._loggers:
                with suppress(Exception):  # it has failed already
                    self._loggers.pop(name).close(failed=True)
            told = f"{type(error).__name__}: {first_line(error):.200}"
            warnings.warn(f"logger {name} failed and is left out ({told})", stacklevel=3)


def check_loggers(names: Sequence[str]) -> None:
    """Refuse loggers whose library is missing, before any work is done.

    Raises:
        RuntimeError: one is missing; the message says how to install it.

    >>> from triptych.training.loggers import check_loggers
    >>> check_loggers(["csv", "none"])
    """
    for name in names:
        needs = LOGGERS[name].needs if name in LOGGERS else None
        if needs is not None and find_spec(needs[0]) is None:
            raise RuntimeError(f"logger {name} needs {needs[0]}, which is missing: {how_to_install(needs[1])}")


def start_loggers(names: Sequence[str], folder: Path, settings: Mapping[str, Any], step: int = 0) -> Loggers:
    """The loggers of a run.

    Args:
        names: of ``LOGGERS``; "none" is none.
        folder: the run's.
        settings: of the run.
        step: that it goes on from.

    Raises:
        RuntimeError: a library is missing, or cannot start, as where its server does not answer.
        OSError: a file cannot be written.
    """
    start, loggers = LogStart(folder, settings, step), dict[str, Logger]()
    for name in dict.fromkeys(names):
        if name == "none":
            continue
        try:
            loggers[name] = LOGGERS[name](start)
        except Exception as error:  # the libraries raise many kinds
            Loggers(loggers).close(failed=True)
            if isinstance(error, RuntimeError | OSError):
                raise
            told = f"{type(error).__name__}: {first_line(error):.200}"
            raise RuntimeError(f"logger {name} cannot start ({told})") from error
    return Loggers(loggers)


_COLUMNS = ("step", "figure", "value")


def _rows(path: Path) -> list[list[str]]:
    """The whole rows of a file; the last one may be cut short."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error):
        return []
    return [row for row in rows if len(row) == len(_COLUMNS) and row[0].isdecimal() and _is_number(row[2])]


def _is_number(text: str) -> bool:
    with suppress(ValueError):
        float(text)
        return True
    return False
