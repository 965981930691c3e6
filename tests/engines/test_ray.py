"""A real Ray cluster: the same bytes as the local engine, also when a worker is killed, or the command itself."""

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command
from photos import photo

from triptych import Recognizer
from triptych.engines import Question
from triptych.engines.cluster import RayEngine
from triptych.engines.ray_session import ray_session
from triptych.folders import predict_folder
from triptych.folders.places import photos_at
from triptych.recognizer import QUERY_BATCH, Answer

pytestmark = [
    pytest.mark.slow,
    # looked for and not imported: what the engine sets must be there before Ray is
    pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: the extra ray"),
]

COUNT = 200


@pytest.fixture(autouse=True, scope="module")
def _token() -> Iterator[None]:
    """Clusters answer whoever has a token; without one, Ray would write one into the home folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


QUESTION = ("--unknown", "none", "--false-alarm", "0.2", "--coverage", "0.5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    for number in range(COUNT):
        photo(number % 3, 100 + number).save(root / f"{number:03}.png")
    (root / "empty.jpg").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def expected(shelf: Path, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The local engine's answers on one thread, as a worker has; of a process of its own, which no other test sees."""
    out = tmp_path_factory.mktemp("expected") / "answers.csv"
    asked = command_line("predict", shelf, folder, "--out", out, *QUESTION)
    assert subprocess.run(asked, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode == 1, "one photo is no photo"
    return out


@pytest.fixture(scope="module")
def two_workers(_token: None) -> Iterator[RayEngine]:
    """A cluster of this machine that several tests share."""
    with ray_session(None, workers=2):
        yield RayEngine(workers=2)


def test_two_workers_give_the_same_bytes(
    two_workers: RayEngine, recognizer: Recognizer, folder: Path, expected: Path, tmp_path: Path
) -> None:
    out = tmp_path / "answers.csv"
    summary = predict_folder(recognizer, folder, out, "none", 0.2, coverage=0.5, engine=two_workers)
    assert (summary.photos, summary.unreadable) == (COUNT + 1, 1)
    assert out.read_bytes() == expected.read_bytes()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_relative_places_parquet_and_storage(
    two_workers: RayEngine,
    recognizer: Recognizer,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    files = sorted(folder.glob("*.png"))[:70]
    cells = pa.array([{"bytes": file.read_bytes(), "path": file.name} for file in files])
    pq.write_table(pa.table({"image": cells}), "photos.parquet", row_group_size=9)
    Path("few").mkdir()
    for file in files:
        Path("few", file.name).symlink_to(file)
    for place in ("few", "photos.parquet", f"file://{tmp_path}/few"):
        predict_folder(recognizer, place, "local.csv", overwrite=True)
        predict_folder(recognizer, place, "ray.csv", overwrite=True, engine=two_workers)
        mine, theirs = (np.genfromtxt(name, str, delimiter=",") for name in ("ray.csv", "local.csv"))
        np.testing.assert_array_equal(np.delete(mine, 2, 1), np.delete(theirs, 2, 1))
        np.testing.assert_allclose(mine[1:, 2].astype(float), theirs[1:, 2].astype(float), atol=1e-5)


def test_workers_read_a_bank_by_its_place(
    two_workers: RayEngine, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    few = sorted(folder.glob("*.png"))[:8]
    recognizer = Recognizer("mml-conv64f", bank="bank").fit(few[:6], ["a", "a", "b", "b", "c", "c"])
    Path("few").mkdir()
    for file in few[6:]:
        Path("few", file.name).symlink_to(file)
    predict_folder(recognizer, "few", "local.csv")
    predict_folder(recognizer, "few", "ray.csv", engine=two_workers)
    assert [line.split(",")[:2] for line in Path("ray.csv").read_text().splitlines()] == [
        line.split(",")[:2] for line in Path("local.csv").read_text().splitlines()
    ]


def worker_processes() -> list[int]:
    """The workers of this process's own cluster that recognise: its grandchildren of such a name."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            title = (status.parent / "cmdline").read_bytes()
            parent = status.read_text().rpartition(")")[2].split()[1]
            above = Path("/proc", parent, "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:  # it has ended
            continue
        if b"MapWorker" in title and int(above) == os.getpid():
            found.append(int(status.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc, to find a worker")
def test_a_killed_worker_is_replaced(
    two_workers: RayEngine, recognizer: Recognizer, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    photos, answers, killed = photos_at(folder).photos, list[Answer](), list[int]()
    for answer in two_workers.answers(recognizer, photos, Question()):
        answers.append(answer)
        if len(answers) == 1:
            killed = worker_processes()
            assert len(killed) == 2
            for process in killed:  # both: whatever they were doing is lost
                os.kill(process, signal.SIGKILL)
    assert [Path(answer.image).name for answer in answers] == list(photos.names)
    assert sum(answer.error is not None for answer in answers) == 1
    assert not set(killed) & set(worker_processes())
    assert capfd.readouterr().out == ""  # where the command prints its JSON


def test_what_a_worker_refuses_is_one_plain_error(
    two_workers: RayEngine, recognizer: Recognizer, folder: Path, tmp_path: Path
) -> None:
    photos = replace(photos_at(folder).photos, folder=tmp_path / "elsewhere")  # type: ignore[type-var]
    with pytest.raises(RuntimeError, match=r"^[^ ]*elsewhere: a worker does not see it; put the photos [^\n]*$"):
        list(two_workers.answers(recognizer, photos, Question()))
    with pytest.raises(ValueError, match="workers 3: the cluster has 2 cores, and each worker needs one"):
        list(RayEngine(workers=3).answers(recognizer, photos, Question()))


def command_line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "triptych.cli", *map(str, arguments)]


OPTIONS = (*QUESTION, "--engine", "ray", "--json")


def test_a_killed_command_goes_on_with_any_engine(
    shelf: Path, folder: Path, expected: Path, tmp_path: Path, command: Command
) -> None:
    """The command starts a cluster of its own, sends nothing to anyone, and ends it."""
    out, journal = tmp_path / "answers.csv", tmp_path / "answers.csv.partial"
    arguments = ("predict", shelf, folder, "--out", out, *OPTIONS)
    running = subprocess.Popen(command_line(*arguments, "--workers", 1), env={**os.environ, "OMP_NUM_THREADS": "1"})
    while not (journal.exists() and journal.read_bytes().count(b"\n") > QUERY_BATCH):
        assert running.poll() is None
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not out.exists()
    ended = subprocess.run(
        command_line(*(one if one != "ray" else "local" for one in arguments)),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert '"resumed": 0' not in ended.stdout
    assert ended.returncode == 1, ended.stderr  # a photo is empty
    assert out.read_bytes() == expected.read_bytes()
