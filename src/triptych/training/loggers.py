"""Where the figures of a run go: CSV, TensorBoard, Weights & Biases, MLflow, behind one small interface.

Nothing is sent anywhere unless the environment says so: Weights & Biases is offline without ``WANDB_MODE``, and MLflow
writes into the run's folder without ``MLFLOW_TRACKING_URI``.
"""

import csv
import io
import json
import os
import secrets
import sys
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from triptych.system.extras import extra
from triptych.system.files import write_whole

__all__ = ["LOGGERS", "CSVLogger", "LogStart", "Logger", "Loggers", "check_loggers", "start_loggers"]

_IDS = "loggers.json"  # which run a logger goes on with when this one is resumed
_PROJECT = "triptych"
_LONGEST = 500  # characters of a parameter that MLflow takes


@dataclass(frozen=True)
class LogStart:
    """What a logger is told as a run starts.

    Attributes:
        folder: the run's.
        settings: of the run.
        step: that it goes on from; 0 for a new one.

    >>> from pathlib import Path
    >>> from triptych.training.loggers import LogStart
    >>> LogStart(Path("runs/frn"), {"seed": 0}, step=0).folder.name
    'frn'
    """

    folder: Path
    settings: Mapping[str, Any]
    step: int


class Logger(ABC):
    """One place where figures go. A class is registered in ``LOGGERS``, and made with a ``LogStart``."""

    needs: tuple[str, str] | None = None  # (library, extra of the package) to import

    @abstractmethod
    def __init__(self, start: LogStart) -> None: ...

    @abstractmethod
    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Take the figures of a step."""

    @abstractmethod
    def close(self) -> None:
        """Write what is not written yet; nothing is logged afterwards."""


class CSVLogger(Logger):
    """``metrics.csv``: one row for each figure, with the columns step, figure and value.

    A run that is resumed goes on from its last checkpoint; rows of later steps are removed, so that none comes twice.
    """

    def __init__(self, start: LogStart) -> None:
        path = start.folder / "metrics.csv"
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

    def close(self) -> None:
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

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


class WandbLogger(Logger):
    """A run of Weights & Biases, offline unless ``WANDB_MODE`` is online: ``wandb sync`` sends it later."""

    needs = ("wandb", "wandb")

    def __init__(self, start: LogStart) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")  # asked at import; nothing is sent unasked
        with extra("wandb", "logging to Weights & Biases needs wandb"):
            import wandb
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", _PROJECT),
            dir=str(start.folder),
            name=start.folder.name,
            id=_identity(start, "wandb", secrets.token_hex(4)),
            resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            config=dict(start.settings),
            settings=wandb.Settings(console="off", silent=True, disable_code=True, x_disable_stats=True),
        )

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add the figures of a step."""
        self._run.log(dict(figures), step=step)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()


class MLflowLogger(Logger):
    """A run of MLflow, in ``mlflow/`` of the run's folder unless ``MLFLOW_TRACKING_URI`` names another place."""

    needs = ("mlflow", "mlflow")

    def __init__(self, start: LogStart) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # asked at import; nothing is sent unasked
        with extra("mlflow", "logging to MLflow needs mlflow-skinny"):
            import mlflow
        place = os.environ.get("MLFLOW_TRACKING_URI") or (start.folder.absolute() / "mlflow").as_uri()
        with _file_store():
            self._client = mlflow.MlflowClient(tracking_uri=place)
            self._metric = mlflow.entities.Metric
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
            known = self._client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else self._client.create_experiment(name)
            self._run = _known(start, "mlflow") or self._created(experiment, start)

    def _created(self, experiment: str, start: LogStart) -> str:
        run = self._client.create_run(experiment, run_name=start.folder.name)
        for key, value in _flat(start.settings).items():
            self._client.log_param(run.info.run_id, key, str(value)[:_LONGEST])
        return _identity(start, "mlflow", run.info.run_id)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add the figures of a step; MLflow takes no plus sign in a name."""
        now = int(time.time() * 1000)
        metrics = [self._metric(name.replace("+", "and"), float(value), now, step) for name, value in figures.items()]
        self._client.log_batch(self._run, metrics=metrics)

    def close(self) -> None:
        """Mark the run as finished."""
        self._client.set_terminated(self._run)


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

    def close(self) -> None:
        """Close all."""
        for name, logger in list(self._loggers.items()):
            with self._left_out_if_it_fails(name):
                logger.close()

    @contextmanager
    def _left_out_if_it_fails(self, name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # the libraries raise many kinds
            del self._loggers[name]
            told = (str(error).strip().splitlines() or [""])[0]
            warnings.warn(f"logger {name} failed and is left out ({type(error).__name__}: {told:.200})", stacklevel=3)


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
            raise RuntimeError(f"logger {name} needs {needs[0]}, which is missing: pip install 'triptych[{needs[1]}]'")


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
        except (RuntimeError, OSError):
            raise
        except Exception as error:  # the libraries raise many kinds
            told = (str(error).strip().splitlines() or [""])[0]
            raise RuntimeError(f"logger {name} cannot start ({type(error).__name__}: {told:.200})") from error
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


def _known(start: LogStart, logger: str) -> str | None:
    """The id of the run that a logger goes on with."""
    if not start.step:
        return None
    with suppress(OSError, ValueError, AttributeError):
        found = json.loads((start.folder / _IDS).read_text(encoding="utf-8")).get(logger)
        return found if isinstance(found, str) else None
    return None


def _identity(start: LogStart, logger: str, new: str) -> str:
    """The id of the run that a logger goes on with, or a new one, which is remembered."""
    if (known := _known(start, logger)) is not None:
        return known
    ids: dict[str, str] = {}
    with suppress(OSError, ValueError):
        ids = dict(json.loads((start.folder / _IDS).read_text(encoding="utf-8")))
    write_whole(start.folder / _IDS, json.dumps({**ids, logger: new}).encode())
    return new


def _flat(settings: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """Settings whose sections are part of the names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{front}{name}.") if isinstance(value, Mapping) else {f"{front}{name}": value}
    return found


@contextmanager
def _file_store() -> Iterator[None]:
    """MLflow's small package has no data base; it writes plain files where this variable allows it."""
    before = os.environ.get("MLFLOW_ALLOW_FILE_STORE")
    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["MLFLOW_ALLOW_FILE_STORE"]
        else:
            os.environ["MLFLOW_ALLOW_FILE_STORE"] = before
