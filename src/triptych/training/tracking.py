"""Loggers of Weights & Biases and of MLflow, which send nothing unless the environment says so."""

import os
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from triptych.system.extras import extra
from triptych.training.logger import Logger, LogStart

__all__ = ["MLflowLogger", "WandbLogger"]

_PROJECT = "triptych"
_LONGEST = 500  # characters of a parameter that MLflow takes


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
            id=start.known("wandb") or start.remember("wandb", secrets.token_hex(4)),
            resume="allow",
            mode=os.environ.get("WANDB_MODE", "offline"),  # type: ignore[arg-type]
            config=dict(start.settings),
            settings=wandb.Settings(console="off", silent=True, disable_code=True, x_disable_stats=True),
        )

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add the figures of a step."""
        self._run.log(dict(figures), step=step)

    def close(self, failed: bool = False) -> None:
        """Finish the run."""
        self._run.finish(exit_code=int(failed))


class MLflowLogger(Logger):
    """A run of MLflow, in ``mlflow/`` of the run's folder unless ``MLFLOW_TRACKING_URI`` names another place."""

    needs = ("mlflow", "mlflow")

    def __init__(self, start: LogStart) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # asked at import; nothing is sent unasked
        with extra("mlflow", "logging to MLflow needs mlflow-skinny"):
            import mlflow
        place = os.environ.get("MLFLOW_TRACKING_URI") or (start.folder.absolute() / "mlflow").as_uri()
        with _file_store(), _few_tries():
            self._client = mlflow.MlflowClient(tracking_uri=place)
            self._metric = mlflow.entities.Metric
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", _PROJECT)
            known = self._client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else self._client.create_experiment(name)
            known_run = start.known("mlflow")
            self._run = known_run or self._created(experiment, start)
            self._last = self._resumed() if known_run else {}

    def _created(self, experiment: str, start: LogStart) -> str:
        run = self._client.create_run(experiment, run_name=start.folder.name)
        for key, value in _flat(start.settings).items():
            self._client.log_param(run.info.run_id, key, str(value)[:_LONGEST])
        return start.remember("mlflow", run.info.run_id)

    def _resumed(self) -> dict[str, int]:
        """The last step of each figure: the run goes on from its checkpoint, and had logged more."""
        self._client.update_run(self._run, status="RUNNING")
        names = self._client.get_run(self._run).data.metrics
        return {name: max(one.step for one in self._client.get_metric_history(self._run, name)) for name in names}

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add the figures of a step, unless they are there; MLflow takes no plus sign in a name."""
        now = int(time.time() * 1000)
        named = {name.replace("+", "and"): float(value) for name, value in figures.items()}
        new = [self._metric(name, value, now, step) for name, value in named.items() if step > self._last.get(name, -1)]
        if new:
            self._client.log_batch(self._run, metrics=new)

    def close(self, failed: bool = False) -> None:
        """Mark the run as finished, or as failed."""
        self._client.set_terminated(self._run, "FAILED" if failed else "FINISHED")


def _flat(settings: Mapping[str, Any], front: str = "") -> dict[str, Any]:
    """Settings whose sections are part of the names."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= _flat(value, f"{front}{name}.") if isinstance(value, Mapping) else {f"{front}{name}": value}
    return found


def _file_store() -> AbstractContextManager[None]:
    """MLflow's small package has no data base; it writes plain files where this variable allows it."""
    return _variable("MLFLOW_ALLOW_FILE_STORE", "true")


def _few_tries() -> AbstractContextManager[None]:
    """A server that does not answer at the start is told of soon; MLflow itself tries for minutes."""
    name = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
    return _variable(name, os.environ.get(name, "1"))


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
