"""Every engine gives the recogniser's answers; Ray's worker is run in this process here, a cluster in test_ray.py."""

import csv
import pickle
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from commands import Command
from photos import photo

from triptych import Recognizer
from triptych.engines import ENGINES, EngineSettings, Question, engine_of
from triptych.engines.cluster import RayEngine, divided, runs
from triptych.engines.settings import NAMES
from triptych.engines.worker import COLUMN, Job, Worker, answers_of, packed
from triptych.folders import predict_folder
from triptych.folders.places import photos_at
from triptych.recognizer import QUERY_BATCH, Answer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    for number in range(70):
        photo(number % 3, 100 + number).save(root / f"{number:03}.png")
    photo(1, 0).save(root / "learnt.png")
    (root / "empty.jpg").write_bytes(b"")
    return root


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_settings_know_every_engine() -> None:
    assert tuple(ENGINES) == NAMES
    assert [engine_of(EngineSettings(engine=name)).name for name in NAMES] == list(NAMES)


@pytest.mark.parametrize("photos", [1, 31, 32, 33, 1000, 100_001])
@pytest.mark.parametrize("workers", [1, 2, 7])
def test_runs_are_whole_batches_of_all_photos(photos: int, workers: int) -> None:
    found = runs(photos, workers)
    assert [number for start, stop in found for number in range(start, stop)] == list(range(photos))
    assert all((stop - start) % QUERY_BATCH == 0 for start, stop in found[:-1])
    assert len(found) >= min(workers, -(-photos // QUERY_BATCH))


def test_what_a_cluster_lacks_is_said() -> None:
    with pytest.raises(ValueError, match="workers 3: the cluster has 2 cores"):
        divided({"CPU": 2}, "auto", 3)
    with pytest.raises(ValueError, match="workers 1: the cluster has 0 GPUs"):
        divided({"CPU": 2}, "cuda", None)
    with pytest.raises(ValueError, match="device mps: the engine ray takes auto, cpu or cuda"):
        RayEngine(device="mps")


def sent_back(worker: Worker, run: bytes) -> list[Answer]:
    return answers_of(worker(pa.table({COLUMN: [run]})).column(COLUMN)[0].as_py())


def job_of(recognizer: Recognizer) -> Job:
    return Job(packed(recognizer), Question(coverage=0.5), "cpu", str(Path.cwd()))


def test_a_worker_answers_runs_as_the_recogniser_does(recognizer: Recognizer, folder: Path) -> None:
    attempts: Counter[int] = Counter()

    def begun(number: int) -> int:
        attempts[number] += 1
        return attempts[number]

    photos = photos_at(folder).photos
    worker = Worker(lambda: job_of(recognizer), begun)
    sent = [pickle.dumps((number, photos.part(*run))) for number, run in enumerate(runs(len(photos.names), 2))]
    answers = [answer for one in sent for answer in sent_back(worker, one)]
    expected = list(recognizer.answers(photos.sources(), coverage=0.5))
    assert len(sent) == 3
    assert len(answers) == len(expected) == 72
    for mine, theirs in zip(answers, expected, strict=True):
        np.testing.assert_array_equal(mine.probabilities, theirs.probabilities)
        assert replace(mine, probabilities=[], probability=0) == replace(theirs, probabilities=[], probability=0)


def test_photos_that_end_every_worker_end_the_run(recognizer: Recognizer, folder: Path) -> None:
    run = pickle.dumps((0, photos_at(folder).photos.part(0, 32)))
    sent_back(Worker(lambda: job_of(recognizer), lambda number: 4), run)
    with pytest.raises(RuntimeError, match=r"4 workers died of the photos 000\.png to 031\.png"):
        sent_back(Worker(lambda: job_of(recognizer), lambda number: 5), run)


def test_a_worker_of_another_version_refuses(recognizer: Recognizer, folder: Path) -> None:
    run = pickle.dumps((0, photos_at(folder).photos))
    other = replace(job_of(recognizer), version="0.0.1")
    with pytest.raises(RuntimeError, match=r"and 0.0.1 asks; install the same on all machines"):
        sent_back(Worker(lambda: other, lambda number: 1), run)


def test_a_worker_that_does_not_see_the_photos_says_so(recognizer: Recognizer, folder: Path) -> None:
    photos = replace(photos_at(folder).photos, folder=folder / "elsewhere")  # type: ignore[type-var]
    run = pickle.dumps((0, photos))
    with pytest.raises(RuntimeError, match="elsewhere: a worker does not see it"):
        sent_back(Worker(lambda: job_of(recognizer), lambda number: 1), run)


@pytest.mark.parametrize(
    ("engine", "library", "extra"), [("ray", "ray", "ray"), ("onnxruntime", "onnxruntime", "onnx")]
)
def test_a_missing_library_says_which_extra(
    command: Command,
    shelf: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    engine: str,
    library: str,
    extra: str,
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    ended = command("predict", shelf, folder / "000.png", "--engine", engine)
    assert (ended.code, ended.out) == (1, "")
    assert f"the engine {engine} needs" in ended.err
    assert f"pip install 'triptych[{extra}]'" in ended.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "dask"), "--engine must be one of local, ray, onnxruntime, got 'dask'"),
        (("--workers", "2"), "workers 2: expected with the engine ray; the engine is local"),
        (("--engine", "ray", "--workers", "0"), "--workers must be a whole number from 1 to 100000"),
        (("--engine", "onnxruntime", "--address", "auto"), "address auto: expected with the engine ray"),
        (("--engine", "onnxruntime", "--device", "cuda"), "the engine onnxruntime computes on the processor"),
        (("--engine", "ray", "--device", "gpu"), "device gpu: expected auto, cpu or cuda"),
        (("--engine", "ray", "--coverage", "2"), "coverage must be between 0 and 1"),
    ],
)
def test_wrong_use_is_one_line(
    command: Command, shelf: Path, folder: Path, options: tuple[str, ...], message: str
) -> None:
    ended = command("predict", shelf, folder / "000.png", *options)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.slow
def test_onnxruntime_gives_the_same_answers(
    recognizer: Recognizer, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = engine_of(EngineSettings(engine="onnxruntime"))
    predict_folder(recognizer, folder, tmp_path / "local.csv", "none", 0.2, coverage=0.5)
    predict_folder(recognizer, folder, tmp_path / "onnx.csv", "none", 0.2, coverage=0.5, engine=engine)
    mine, theirs = rows(tmp_path / "onnx.csv"), rows(tmp_path / "local.csv")
    stated = [[float(row.pop("probability") or -1) for row in one] for one in (mine, theirs)]
    np.testing.assert_allclose(*stated, atol=1e-4)
    assert mine == theirs
    assert sum(row["in_support"] == "True" for row in mine) == 1
    with monkeypatch.context() as patch:
        patch.setattr("triptych.folders.predict.writing_whole", lambda path: open("/dev/full", "wb"))  # noqa: SIM115
        with pytest.raises(OSError, match="No space left"):
            predict_folder(recognizer, folder, tmp_path / "x.csv")
    with pytest.raises(ValueError, match=r"x.csv.partial: holds answers of another"):
        predict_folder(recognizer, folder, tmp_path / "x.csv", engine=engine)
