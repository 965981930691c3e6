"""What is measured on, and with which clock."""

import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

import triptych
from triptych.system.environment import processor_name

CLOCKS = {"wall": time.perf_counter, "processor": time.thread_time}
# With these variables a newer processor plays an older one.
PLAYED = ("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_ENABLE_INSTRUCTIONS")


class Stopwatch:
    """Seconds by stage, of one of ``CLOCKS``."""

    def __init__(self, device: torch.device, clock: str = "wall") -> None:
        self.device = device
        self.now = CLOCKS[clock]
        self.seconds: dict[str, list[float]] = defaultdict(list)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        self._wait()
        start = self.now()
        yield
        self._wait()
        self.seconds[stage].append(self.now() - start)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def summary(self) -> dict[str, dict[str, float]]:
        """Median and quartiles of each stage, in seconds; the first run, a warm-up, is dropped."""
        found = {}
        for stage, all_seconds in self.seconds.items():
            seconds = all_seconds[1:] or all_seconds
            low, _, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
            found[stage] = {"median": statistics.median(seconds), "q1": low, "q3": high, "runs": len(seconds)}
        return found


def machine(device: torch.device) -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else processor_name(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "played": {name: os.environ[name] for name in PLAYED if name in os.environ},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "triptych": triptych.__version__,
        "python": platform.python_version(),
    }


def processor_line(found: dict[str, Any]) -> str:
    """The processor of a ``machine``, and which older one it played, in words."""
    played = f" playing an older processor ({', '.join(found['played'].values())})" if found["played"] else ""
    return f"{found['device']}, {found['instructions']}{played}, threads {found['threads']}"
