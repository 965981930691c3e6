"""Several processes that train together on the processor, started as torchrun or SLURM starts them.

As a program, ``several.py DATA OUT RECIPE [STAGE:STEP]`` trains a small method, and stops after that step of that
stage. Of recipes with a comma between them each process has its own. It computes in float64: sums in another order
differ by 1e-15, which Adam does not blow up.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from toys import SIDE

from triptych.methods import FEATConfig, MMLConfig, Preprocessing, RENetConfig
from triptych.training import Preset, PretrainSettings, TrainSettings, train
from triptych.training.episode_statistics import EpisodeStatistics
from triptych.training.run import Run

__all__ = ["RECIPES", "ended", "slurm", "start", "torchrun"]

_PREPROCESSING = Preprocessing(side=SIDE)
_SHORT = {"checkpoint_seconds": 0, "precision": "32", "device": "cpu", "validation_queries": 3, "loggers": ("csv",)}
_PRETRAIN = PretrainSettings(epochs=1, batch=16, store_side=36, validation_episodes=5, **_SHORT)
_TRAIN = TrainSettings(
    steps=4,
    episodes_per_step=4,
    way=3,
    shots=(1, 2),
    queries=2,
    level_loss=1.0,
    average=0.9,
    freeze_norm_after=3,
    sides=(24, SIDE),
    pixel_share=0.5,
    jitter=0.0,  # is float32
    validate_every=3,
    validation_episodes=5,
    validation_shots=(1, 2),
    store_side=36,
    **_SHORT,
)
_FEW = Preset(None, replace(_TRAIN, steps=2, validate_every=2, freeze_norm_after=None))
# name -> method, recipe. Of the second, BatchNorm1d sees each episode twice. "feat" and "renet" have a loss beside the
# episodes, the second over a classifier that no file holds; BatchNorm sees some of its maps twice.
RECIPES = {
    "stages": (
        MMLConfig(preprocessing=_PREPROCESSING),
        Preset(_PRETRAIN, replace(_TRAIN, plda_images=3, plda_loss=1.0)),
    ),
    "slots": (MMLConfig(preprocessing=_PREPROCESSING, slots=3), Preset(None, replace(_TRAIN, steps=3, shots=(1,)))),
    "feat": (FEATConfig(preprocessing=_PREPROCESSING), _FEW),
    "renet": (RENetConfig(preprocessing=_PREPROCESSING), _FEW),
    "long": (
        MMLConfig(preprocessing=_PREPROCESSING),
        Preset(None, replace(_TRAIN, steps=10_000, validate_every=5_000)),
    ),
}


def torchrun(number: int, count: int, port: int) -> dict[str, str]:
    """What torchrun tells a process on one machine."""
    names = {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "GROUP_RANK": 0}
    told = {name: str(value) for name, value in names.items()}
    return {**told, "TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def slurm(number: int, count: int, port: int) -> dict[str, str]:
    """What SLURM's srun tells a process on one machine."""
    counts = dict.fromkeys(["SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS_PER_NODE"], count)
    places = {"SLURM_PROCID": number, "SLURM_LOCALID": number, "SLURM_NODEID": 0}
    nodes = {"SLURM_NNODES": 1, "SLURM_STEP_NUM_NODES": 1, "SLURM_JOB_ID": port}
    told = {name: str(value) for name, value in {**counts, **places, **nodes}.items()}
    return {**told, "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1", "MASTER_PORT": str(port)}


def start(arguments: Sequence[object], count: int = 1, told=torchrun) -> list[subprocess.Popen[str]]:
    """So many processes of ``python ARGUMENTS``; one is started as any program is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(__file__).parent
    paths = [str(folder), str(folder.parent / "src")]
    common = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    return [
        subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            env={**common, **(told(number, count, port) if count > 1 else {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def ended(processes: Sequence[subprocess.Popen[str]], seconds: float = 300) -> list[tuple[int, str, str]]:
    """How each process ended, and what it printed on stdout and stderr."""
    try:
        told = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *texts) for process, texts in zip(processes, told, strict=True)]


def main(data: str, out: str, recipe: str, stop: str = "") -> None:
    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double  # type: ignore[method-assign]
    _record_episodes(Path(out))
    if stop:
        _stop_after(*stop.split(":"))
    names = recipe.split(",")
    method, preset = RECIPES[names[int(os.environ.get("RANK", 0)) % len(names)]]
    train(data, out, method, preset, resume=True)


def _record_episodes(out: Path) -> None:
    begin = EpisodeStatistics.begin

    def recorded(statistics: EpisodeStatistics, number: int) -> None:
        out.mkdir(parents=True, exist_ok=True)
        with (out / f".episodes-{os.environ.get('RANK', 0)}").open("a") as file:
            file.write(f"{number}\n")
        begin(statistics, number)

    EpisodeStatistics.begin = recorded  # type: ignore[method-assign]


def _stop_after(stage: str, step: str) -> None:
    save = Run.save_if_due

    def stopped(run: Run) -> None:
        save(run)
        if run.step == int(step) and (run.folder.name == "pretrain") == (stage == "pretrain"):
            raise KeyboardInterrupt

    Run.save_if_due = stopped  # type: ignore[method-assign]


if __name__ == "__main__":
    main(*sys.argv[1:])
