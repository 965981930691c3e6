"""Fabric on this process's device, alone or among the processes that torchrun or SLURM has started."""

import atexit
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
from lightning_fabric import Fabric
from torch import distributed

from triptych.system.devices import usable_device
from triptych.system.memory import keep_freed_memory
from triptych.system.precision import resolve_precision
from triptych.system.progress import hide_progress
from triptych.system.wording import first_line
from triptych.training.ranks import ALONE, GO_ON, LostProcessError, Ranks

__all__ = ["Launch", "ended_well", "launched", "start_fabric"]

# The others wait so long for a process, such as one whose machine must decode the photos first.
_PATIENCE = timedelta(hours=2)
_PLUGIN: dict[str, Literal["32-true", "bf16-mixed"]] = {"32": "32-true", "bf16-search": "32-true", "bf16": "bf16-mixed"}
_GRACE = 5  # seconds that a process has to say why it ends once it is told to
_FAREWELL = 20  # seconds that it then has to end: the connections to a lost process may hang


@dataclass(frozen=True)
class Launch:
    """How this process was started.

    Attributes:
        by: "torchrun", "SLURM", or "" for one process by itself.
        count: of all processes.
        number: of this one among all, from 0 on.
        here: of those on this machine.
        local: number of this one among those, from 0 on.
    """

    by: str = ""
    count: int = 1
    number: int = 0
    here: int = 1
    local: int = 0


def launched() -> Launch:
    """How this process was started, from the variables that torchrun and SLURM's srun set.

    A batch script of SLURM itself is one process, whatever it has asked for: srun starts several.

    Raises:
        ValueError: machines that have unequally many processes.

    >>> from triptych.training.launch import launched
    >>> launched().count
    1
    """
    told = os.environ
    if "TORCHELASTIC_RUN_ID" in told:
        by, names = "torchrun", ("WORLD_SIZE", "RANK", "LOCAL_WORLD_SIZE", "LOCAL_RANK")
        count, number, here, local = (int(told[name]) for name in names)
    elif "SLURM_STEP_NUM_TASKS" in told:
        by, names = "SLURM", ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID", "SLURM_STEP_NUM_NODES", "SLURM_LOCALID")
        count, number, machines, local = (int(told[name]) for name in names)
        if count % machines:
            raise ValueError(f"{count} processes on {machines} machines; expected equally many on each")
        here = count // machines
    else:
        return Launch()
    if count % here:
        raise ValueError(f"{count} processes, {here} on this machine; expected equally many on each")
    return Launch(by, count, number, here, local) if count > 1 else Launch()


def start_fabric(precision: str, device: str = "auto") -> tuple[Fabric, Ranks, str]:
    """Fabric on a device, "auto" for a GPU where there is one; and the precision: what "auto" has become.

    Several processes are joined first. Each takes a GPU of its own, in the order of their numbers, or computes on
    the processor.

    Raises:
        ValueError: the device cannot be used, or there are not as many as processes.
        LostProcessError: another process has ended.
    """
    keep_freed_memory()
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it says what it computes in, in words of its own
    launch = launched()
    chosen = _device(device, launch)
    if launch.count == 1:
        resolved = resolve_precision(precision, chosen.type, half="bf16")
        alone = 1 if chosen.index is None or chosen.type == "cpu" else [chosen.index]
        return Fabric(accelerator=chosen.type, devices=alone, precision=_PLUGIN[resolved]), ALONE, resolved
    fabric = _joined(chosen.type, launch, "32")
    ranks = Ranks(fabric.global_rank, fabric.world_size, str(fabric.device))
    if not ranks.first:
        hide_progress()
    # The first one's probe counts: others may find another speed.
    resolved = fabric.broadcast(resolve_precision(precision, chosen.type, half="bf16") if ranks.first else "")
    if resolved == "bf16":
        fabric = _joined(chosen.type, launch, resolved)
    return fabric, ranks, resolved


def _device(name: str, launch: Launch) -> torch.device:
    if launch.count == 1:
        return usable_device(name)
    gpus = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if gpus else "cpu"
    if name == "cuda" and gpus < launch.here:
        raise ValueError(
            f"{launch.here} processes on this machine need a GPU each, and PyTorch finds {gpus}; start fewer, let each "
            "process see all GPUs of its machine, or use --device cpu"
        )
    if name not in {"cpu", "cuda"}:
        raise ValueError(f"device {name}: several processes take a GPU each; expected auto, cpu or cuda")
    return usable_device(f"cuda:{launch.local}" if name == "cuda" else name)


def _joined(accelerator: str, launch: Launch, precision: str) -> Fabric:
    """Fabric's DDP, with all processes at hand."""
    from lightning_fabric.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
    from lightning_fabric.strategies import DDPStrategy

    _end_when_told(launch)
    atexit.register(_leave)
    if sys.platform != "win32":
        atexit.register(_alarm)  # until ``ended_well``: a process that fails must not wait for others as it ends
    environment = TorchElasticEnvironment() if launch.by == "torchrun" else SLURMEnvironment(auto_requeue=False)
    fabric = Fabric(
        accelerator=accelerator,
        devices=launch.here,
        num_nodes=launch.count // launch.here,
        strategy=DDPStrategy(cluster_environment=environment, timeout=_PATIENCE),
        precision=_PLUGIN[precision],
    )
    try:
        fabric.launch()
    except RuntimeError as error:  # as where the first one cannot be reached, or its port is taken
        raise LostProcessError(f"the {launch.count} processes cannot be joined ({first_line(error):.200})") from error
    return fabric


def _end_when_told(launch: Launch) -> None:
    """End with a sentence on SIGTERM, which torchrun and SLURM send when another process has ended.

    Python's handler waits for a call that is under way, such as one that waits for a lost process. A thread does not.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        return
    told = (
        f"process {launch.number + 1} of {launch.count} was told to stop (SIGTERM), as happens when another process of "
        f"the run has ended; {GO_ON}"
    )

    def stop(*_: object) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise LostProcessError(told)

    def stuck() -> None:
        if signal.getsignal(signal.SIGTERM) == stop:  # it has not been raised yet
            os.write(2, f"error: {told}\n".encode())
        os._exit(1)

    woken, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.signal(signal.SIGTERM, stop)
    signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(woken, wakes, stuck), daemon=True).start()


def _watch(woken: socket.socket, wakes: socket.socket, stuck: Callable[[], None]) -> None:
    """Wait for SIGTERM, and see that the process ends soon after; ``wakes`` must stay open."""
    while signal.SIGTERM not in woken.recv(64):
        pass
    time.sleep(_GRACE)
    stuck()


def ended_well() -> None:
    """All processes have ended a stage: this one may wait for the others on its way out."""
    atexit.unregister(_alarm)


def _leave() -> None:
    """Close the connections while Python still runs: left to the end of the process, their threads may abort it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def _alarm() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(_FAREWELL)
