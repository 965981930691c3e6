"""Several processes train as one does: real processes over gloo, on the processor."""

import csv
import json
import os
import signal
import socket
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import several
import torch
from photos import split_folders
from several import ended, slurm, start

from triptych.training import PRESETS, Preset, PretrainSettings, pretrain, train
from triptych.training.launch import Launch, launched, start_fabric
from triptych.training.ranks import Ranks

PROGRAM = several.__file__
NORM = """
import torch
from torch import distributed, nn
from triptych.training.launch import start_fabric
from triptych.training.norms import SharedBatchNorm2d, share_norms
_, ranks, _ = start_fabric("32", "cpu")
torch.manual_seed(0)
images, upstream = torch.randn(8, 3, 5, 5, dtype=torch.float64) * 3 + 100, torch.randn(8, 3, 5, 5, dtype=torch.float64)
whole = nn.Sequential(nn.BatchNorm2d(3)).double()
nn.init.normal_(whole[0].weight)
own = nn.Sequential(nn.BatchNorm2d(3)).double()
own.load_state_dict(whole.state_dict())
share_norms(own)
assert isinstance(own[0], SharedBatchNorm2d)
one, other = images.clone().requires_grad_(), images[ranks.own].clone().requires_grad_()
(whole(one) * upstream).sum().backward()
(own(other) * upstream[ranks.own]).sum().backward()
ranks.add_gradients(own.parameters())
torch.testing.assert_close(other.grad, one.grad[ranks.own])
torch.testing.assert_close(own[0].weight.grad, whole[0].weight.grad)
torch.testing.assert_close(own[0].bias.grad, whole[0].bias.grad)
for name, value in whole.state_dict().items():
    torch.testing.assert_close(own.state_dict()[name], value)
torch.testing.assert_close(own.eval()(images), whole.eval()(images))
# A parameter that one process alone has used; one that none has.
used, unused = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
used.grad = torch.ones(2) if ranks.first else None
ranks.add_gradients([used, unused])
assert used.grad.tolist() == [1, 1] and unused.grad is None
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folders(tmp_path_factory.mktemp("data"))


def trained(data: Path, out: Path, recipe: str, count: int, stop: str = "") -> None:
    """Train with so many processes, to the end or to where all stop."""
    for code, _, err in ended(start([PROGRAM, data, out, recipe, *([stop] if stop else [])], count)):
        assert (code != 0) is bool(stop), err
        assert ("KeyboardInterrupt" in err) is bool(stop), err


def numbers(path: Path) -> list[int]:
    """The episodes that a process has trained on."""
    return [int(line) for line in path.read_text().split()]


def same(one: Path, other: Path) -> None:
    """The checkpoints of two runs and their figures are the same but for rounding."""
    for path in sorted(one.rglob("checkpoint.pt")):
        first, second = (torch.load(run / path.relative_to(one), weights_only=True) for run in (one, other))
        assert first["step"] == second["step"]
        torch.testing.assert_close(second["modules"], first["modules"], rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(second["optimizer"], first["optimizer"], rtol=1e-8, atol=1e-10)
    for path in sorted(one.rglob("metrics.csv")):
        first, second = (rows(run / path.relative_to(one)) for run in (one, other))
        assert second == pytest.approx(first, abs=1e-9)


def rows(path: Path) -> dict[tuple[str, str], float]:
    with path.open(newline="") as file:
        return {(row["step"], row["figure"]): float(row["value"]) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process has trained."""
    out = tmp_path_factory.mktemp("alone") / "run"
    trained(data, out, "stages", 1)
    return out


@pytest.mark.slow
def test_two_processes_train_as_one(data: Path, alone: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    trained(data, out, "stages", 2)
    same(alone, out)
    for stage in (out, out / "pretrain"):
        (begun,) = json.loads((stage / "environment.json").read_text())["starts"]  # the first one alone writes
        assert begun["processes"] == 2
    assert numbers(out / ".episodes-0") == list(range(0, 16, 2))
    assert numbers(out / ".episodes-1") == list(range(1, 16, 2))
    assert numbers(alone / ".episodes-0") == list(range(16))


@pytest.mark.slow
@pytest.mark.parametrize(("stop", "before", "after"), [("pretrain:1", 2, 1), ("train:1", 1, 2)])
def test_a_run_goes_on_with_another_number_of_processes(
    data: Path, alone: Path, tmp_path: Path, stop: str, before: int, after: int
) -> None:
    out = tmp_path / "run"
    trained(data, out, "stages", before, stop)
    trained(data, out, "stages", after)
    same(alone, out)
    assert sorted(number for path in out.glob(".episodes-*") for number in numbers(path)) == list(range(16))


@pytest.mark.slow
def test_a_norm_that_sees_an_episode_twice_is_the_same(data: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        trained(data, tmp_path / f"{count}", "slots", count)
    same(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.parametrize(("recipe", "beside"), [("feat", None), ("renet", 2)])
def test_a_loss_beside_the_episodes_is_that_of_one_process(
    data: Path, tmp_path: Path, recipe: str, beside: int | None
) -> None:
    trained(data, tmp_path / "1", recipe, 1)
    trained(data, tmp_path / "2", recipe, 2, stop="train:1")
    trained(data, tmp_path / "2", recipe, 2)
    same(tmp_path / "1", tmp_path / "2")
    classifier = torch.load(tmp_path / "2" / "checkpoint.pt", weights_only=True)["modules"].get("auxiliary")
    assert beside == (classifier and len(classifier))


@pytest.mark.slow
def test_a_shared_norm_is_that_of_the_whole_batch_and_gradients_are_added() -> None:
    assert [(code, err) for code, _, err in ended(start(["-W", "error", "-c", NORM], 2))] == [(0, "")] * 2


@pytest.mark.slow
def test_processes_of_slurm_find_each_other() -> None:
    assert [(code, err) for code, _, err in ended(start(["-c", NORM], 2, slurm))] == [(0, "")] * 2


@pytest.mark.slow
def test_processes_that_start_from_different_settings_are_told(data: Path, tmp_path: Path) -> None:
    for code, _, err in ended(start([PROGRAM, data, tmp_path / "run", "slots,long"], 2)):
        assert code == 1
        assert "the processes do not start from the same settings, photos and checkpoint (here step 0)" in err
    assert not (tmp_path / "run" / "settings.json").exists()


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert path.exists(), process.communicate()[1] if process.poll() is not None else "nothing came"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lost", "told"),
    [
        (signal.SIGKILL, "process 1 of 2 lost another process of the run, which was killed, has failed or"),
        (signal.SIGSTOP, "process 1 of 2 was told to stop (SIGTERM), as happens when another process of the run"),
    ],
)
def test_a_lost_process_ends_the_other_with_a_sentence(
    data: Path, tmp_path: Path, lost: signal.Signals, told: str
) -> None:
    first, second = start([PROGRAM, data, tmp_path / "run", "long"], 2)
    try:
        wait_for(tmp_path / "run" / "checkpoint.pt", first)
        second.send_signal(lost)
        if lost == signal.SIGSTOP:  # the first one now waits in a call that no handler of Python's interrupts
            time.sleep(1)
            first.terminate()
        ((code, _, err),) = ended([first], 60)
    finally:
        second.kill()
        second.communicate()
    assert code == 1
    assert told in err
    assert "with --resume to go on from the last checkpoint, with any number of processes" in err


@pytest.mark.slow
def test_torchrun_ends_when_a_process_is_killed_and_one_process_goes_on(data: Path, tmp_path: Path) -> None:
    recipe = "--preset paper --steps 300 --episodes-per-step 2 --way 2 --queries 1 --checkpoint-seconds 0 --device cpu "
    recipe += "--side 32 --validation-episodes 2 --validation-queries 1 --precision 32 --logger none"
    command = ["-m", "triptych", "train", data, "--out", tmp_path / "run", *recipe.split()]
    elastic = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    (run,) = start([*elastic, *command])
    wait_for(tmp_path / "run" / "checkpoint.pt", run)
    table = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    workers = [int(pid) for pid, parent in map(str.split, table.splitlines()) if int(parent) == run.pid]
    os.kill(max(workers), signal.SIGKILL)
    ((code, out, err),) = ended([run], 60)
    assert code == 1
    assert out == ""
    assert "start all again with --resume to go on from the last checkpoint" in err
    step = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"]
    assert 0 < step < 300, "the run ended before it was killed"
    ((code, out, err),) = ended(start([*command, "--resume"]))
    assert (code, out) == (0, f"{tmp_path / 'run' / 'best.safetensors'}\n"), err
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]
    assert [one["processes"] for one in starts] == [2, 1]
    assert starts[1]["step"] >= step
    ((code, out, err),) = ended(start([*elastic, *command, "--resume"]))
    assert (code, out) == (0, f"{tmp_path / 'run' / 'best.safetensors'}\n"), err  # said once


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_item_of_a_step_is_one_process_s(count: int) -> None:
    parts = [range(12, 24)[Ranks(number, count).own] for number in range(count)]
    assert {len(part) for part in parts} == {12 // count}
    assert sorted(item for part in parts for item in part) == list(range(12, 24))


def told_by(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_a_step_that_cannot_be_shared_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_by(monkeypatch, several.torchrun(0, 3, 1))
    with pytest.raises(
        ValueError, match=r"episodes_per_step 4 cannot be shared equally by 3 processes; .* multiple of 3"
    ):
        train("none", tmp_path / "run", preset=PRESETS["paper"])
    first = Preset(PretrainSettings(batch=128), replace(PRESETS["paper"].train, episodes_per_step=3))
    with pytest.raises(ValueError, match="batch 128 cannot be shared equally by 3 processes"):
        train("none", tmp_path / "run", preset=first)
    with pytest.raises(ValueError, match="batch 128 cannot be shared equally by 3 processes"):
        pretrain("none", tmp_path / "run")


def test_how_a_process_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched() == Launch()
    with monkeypatch.context() as patch:
        told_by(patch, {**several.torchrun(5, 8, 1), "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1"})
        assert launched() == Launch("torchrun", count=8, number=5, here=4, local=1)
    with monkeypatch.context() as patch:
        told_by(patch, {**several.slurm(5, 8, 1), "SLURM_STEP_NUM_NODES": "2", "SLURM_LOCALID": "1"})
        assert launched() == Launch("SLURM", count=8, number=5, here=4, local=1)
        patch.setenv("SLURM_STEP_NUM_NODES", "3")
        with pytest.raises(ValueError, match="8 processes on 3 machines; expected equally many on each"):
            launched()
        patch.delenv("SLURM_STEP_NUM_TASKS")  # of a batch script, which is one process
        assert launched() == Launch()


def test_a_gpu_of_their_own_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    told_by(monkeypatch, several.torchrun(0, 2, 1))
    with pytest.raises(
        ValueError, match="device cuda:0: several processes take a GPU each; expected auto, cpu or cuda"
    ):
        start_fabric("32", "cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    for name in ("cuda", "auto"):
        with pytest.raises(ValueError, match="2 processes on this machine need a GPU each, and PyTorch finds 1"):
            start_fabric("32", name)


@pytest.mark.slow
def test_processes_that_cannot_be_joined_are_told() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        first, second = start(["-c", NORM], 2, lambda number, count, _: several.torchrun(number, count, port))
        second.kill()
        second.communicate()
        ((code, _, err),) = ended([first], 60)
    assert code == 1
    assert "LostProcessError: the 2 processes cannot be joined (" in err
