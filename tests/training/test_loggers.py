"""Loggers: what goes in comes out, offline; a resumed run logs nothing twice; a log ends no run."""

import csv
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from triptych.training import RunSettings
from triptych.training.logger import Logger, LogStart
from triptych.training.loggers import LOGGERS, CSVLogger, Loggers, check_loggers, start_loggers

SETTINGS = {"seed": 3, "shots": [1, 5], "method": {"backbone": "conv64f", "levels": ["pixel"]}}
FIGURES = {"loss": 0.5, "validation/1-shot pixel + part": 0.25}


def rows(folder: Path) -> list[tuple[int, str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [(int(row["step"]), row["figure"], float(row["value"])) for row in csv.DictReader(file)]


def test_every_name_is_a_logger() -> None:
    assert RunSettings(loggers=(*LOGGERS, "none")).loggers[-1] == "none"
    with pytest.raises(ValueError, match="each one of csv, tensorboard, wandb, mlflow, none"):
        RunSettings(loggers=("csw",))


class Noted(Logger):
    """Keeps what it is told, and fails where it is asked to."""

    def __init__(self, start: LogStart | None = None, fails: str = "") -> None:
        self.told: list[object] = []
        self.fails = fails
        self.made.append(self)

    made: ClassVar[list["Noted"]] = []

    def log(self, figures: object, step: int) -> None:
        self.told.append(step)
        if self.fails == "log":
            raise KeyError("server")

    def close(self, failed: bool = False) -> None:
        self.told.append(("closed", failed))
        if self.fails == "close":
            raise KeyError("server")


def test_a_logger_of_your_own_is_registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGGERS, "noted", Noted)
    loggers = start_loggers(RunSettings(loggers=("noted",)).loggers, tmp_path, SETTINGS)
    loggers.log(FIGURES, 25)
    loggers.close()
    loggers.close()
    assert Noted.made[-1].told == [25, ("closed", False)]


def test_no_logger_stays_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_start(start: LogStart) -> Logger:
        raise KeyError("server")

    monkeypatch.setitem(LOGGERS, "noted", Noted)
    monkeypatch.setitem(LOGGERS, "other", no_start)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="logger other cannot start"):
        start_loggers(["noted", "other"], tmp_path, SETTINGS)
    assert Noted.made[-1].told == [("closed", True)]
    last = Noted(fails="close")
    with pytest.warns(UserWarning, match="logger last failed"):
        Loggers({"last": last}).close()
    assert last.told == [("closed", False)]


def test_csv_holds_each_figure_of_each_step(tmp_path: Path) -> None:
    loggers = start_loggers(["csv", "csv", "none"], tmp_path, SETTINGS)
    loggers.log(FIGURES, 25)
    assert rows(tmp_path) == [(25, "loss", 0.5), (25, "validation/1-shot pixel + part", 0.25)]  # before it is closed
    loggers.log({"a, b": 1e-30}, 50)
    loggers.close()
    assert rows(tmp_path)[2:] == [(50, "a, b", 1e-30)]


def test_a_resumed_run_has_each_row_once(tmp_path: Path) -> None:
    first = start_loggers(["csv"], tmp_path, SETTINGS)
    for step in (25, 50, 75):
        first.log(FIGURES, step)
    first.close()
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("75,los")  # killed while it wrote
    again = start_loggers(["csv"], tmp_path, SETTINGS, step=50)
    again.log(FIGURES, 50)  # a validation that is made up for
    again.log(FIGURES, 75)
    again.close()
    assert [step for step, _, _ in rows(tmp_path)] == [25, 25, 50, 50, 75, 75]
    start_loggers(["csv"], tmp_path, SETTINGS).close()
    assert rows(tmp_path) == []  # a new run


def test_tensorboard_holds_the_figures(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs the extra train")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    loggers = start_loggers(["tensorboard"], tmp_path, SETTINGS)
    loggers.log(FIGURES, 25)
    loggers.close()
    found = EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(one.step, one.value) for one in found.Scalars("loss")] == [(25, 0.5)]


def wandb_records(data: bytes) -> Iterator[bytes]:
    """The records of an offline run's file: LevelDB's log format behind a header of seven bytes."""
    position, record, block = 7, b"", 1 << 15
    while position + 7 <= len(data):
        if block - position % block < 7:  # the end of a block is padding
            position += block - position % block
            continue
        length, kind = int.from_bytes(data[position + 4 : position + 6], "little"), data[position + 6]
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part of one
            yield record
            record = b""


@pytest.mark.slow
def test_weights_and_biases_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="needs the extra wandb")
    from wandb.proto import wandb_internal_pb2

    monkeypatch.delenv("WANDB_MODE", raising=False)
    loggers = start_loggers(["wandb"], tmp_path, SETTINGS)
    loggers.log(FIGURES, 25)
    loggers.close()
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    logged, deadline = {}, time.monotonic() + 60
    while not logged and time.monotonic() < deadline:  # its own process writes the file
        time.sleep(0.05)
        for data in wandb_records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            logged |= {"/".join(item.nested_key): item.value_json for item in record.history.item}
    assert float(logged["loss"]) == 0.5
    assert float(logged["validation/1-shot pixel + part"]) == 0.25
    assert int(logged["_step"]) == 25


@pytest.mark.slow
def test_mlflow_in_the_run_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    first = start_loggers(["mlflow"], tmp_path, SETTINGS)
    for step in (25, 50, 75):
        first.log(FIGURES if step < 75 else {"loss": 0.5}, step)
    first.close(failed=True)
    (status,) = tmp_path.glob("mlflow/*/*/meta.yaml")
    assert "status: 4\n" in status.read_text()  # failed
    again = start_loggers(["mlflow"], tmp_path, SETTINGS, step=50)
    assert "status: 1\n" in status.read_text()  # running
    for step in (75, 100):
        again.log(FIGURES, step)
    again.close()
    assert "status: 3\n" in status.read_text()  # finished
    (metric,) = tmp_path.glob("mlflow/*/*/metrics/loss")
    assert [int(line.split()[2]) for line in metric.read_text().splitlines()] == [25, 50, 75, 100]
    other = (metric.parent / "validation" / "1-shot pixel and part").read_text()
    assert [int(line.split()[2]) for line in other.splitlines()] == [25, 50, 75, 100]
    assert (metric.parents[1] / "params" / "method.backbone").read_text() == "conv64f"
    assert (metric.parents[1] / "params" / "shots").read_text() == "[1, 5]"


def test_a_missing_library_is_told_before_any_work(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("triptych.training.loggers.find_spec", lambda _: None)
    with pytest.raises(RuntimeError, match=r"logger mlflow needs mlflow, .* pip install 'triptych\[mlflow\]'"):
        check_loggers(["csv", "mlflow"])
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(RuntimeError, match=r"pip install 'triptych\[wandb\]'"):
        start_loggers(["wandb"], tmp_path, SETTINGS)


def test_a_logger_that_fails_is_left_out_and_the_others_go_on(tmp_path: Path) -> None:
    failing = Noted(fails="log")
    loggers = Loggers({"failing": failing, "csv": CSVLogger(LogStart(tmp_path, {}, 0))})
    with pytest.warns(UserWarning, match="logger failing failed and is left out"):
        loggers.log(FIGURES, 25)
    loggers.log(FIGURES, 50)
    loggers.close()
    assert failing.told == [25, ("closed", True)]
    assert len(rows(tmp_path)) == 4


@pytest.mark.parametrize("place", ["nonsense://nowhere", "http://127.0.0.1:9"])
def test_a_server_that_does_not_answer_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    pytest.importorskip("mlflow", reason="needs the extra mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    with pytest.raises(RuntimeError, match="logger mlflow cannot start") as caught:
        start_loggers(["mlflow"], tmp_path, SETTINGS)
    assert "\n" not in str(caught.value)
