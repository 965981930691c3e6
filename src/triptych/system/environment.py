"""What a figure was computed with: versions, processor, threads, git commit. A run's folder keeps it."""

import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from triptych import __version__
from triptych.system.files import write_whole

__all__ = [
    "CONFIG",
    "ENVIRONMENT",
    "SETTINGS",
    "environment",
    "git_state",
    "processor_name",
    "record_environment",
    "versions",
]

# Of a run's folder: its settings as a command takes them and as it keeps them, and what computed it.
CONFIG, SETTINGS, ENVIRONMENT = "config.yaml", "settings.json", "environment.json"

_PACKAGES = (
    "torch",
    "numpy",
    "lightning-fabric",
    "safetensors",
    "scikit-learn",
    "scipy",
    "pillow",
    "transformers",
)
_PATIENCE = 5.0  # seconds that git may take


def environment(device: str = "cpu") -> dict[str, Any]:
    """What computes: versions, system, processor, threads, device, command, and the git commits of the code.

    Args:
        device: that computes, such as "cuda:0".

    >>> from triptych.system.environment import environment
    >>> sorted(environment())
    ['command', 'device', 'git', 'processor', 'system', 'threads', 'time', 'versions']
    """
    import torch

    graphics = torch.cuda.get_device_name(torch.device(device)) if device.startswith("cuda") else None
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([_program(sys.argv[0]), *sys.argv[1:]]),
        "versions": versions(),
        "system": platform.platform(),
        "processor": f"{processor_name()}, {_usable_cores()} cores",
        "threads": torch.get_num_threads(),
        "device": device if graphics is None else f"{device} ({graphics})",
        "git": {"working_folder": git_state(Path.cwd()), "triptych": git_state(Path(__file__).parent, tracked=True)},
    }


def git_state(folder: Path, tracked: bool = False) -> dict[str, Any] | None:
    """The commit that a folder's repository is at, and whether tracked files were changed since; None without one.

    Args:
        folder: in the repository.
        tracked: None also where the repository tracks nothing in the folder: installed packages may lie in anybody's.

    >>> from pathlib import Path
    >>> from triptych.system.environment import git_state
    >>> git_state(Path("/proc"))
    """
    commit = _git(folder, ["rev-parse", "HEAD"])
    if commit is None or (tracked and not _git(folder, ["ls-files", "--", "."])):
        return None
    quiet = ["-c", "core.fsmonitor=false", "--no-optional-locks"]  # starts no watcher and writes no index
    changed = _git(folder, [*quiet, "status", "--porcelain", "--untracked-files=no"])
    return {"commit": commit, "changed": None if changed is None else bool(changed)}


def record_environment(folder: Path, device: str, step: int = 0, processes: int = 1) -> None:
    """Add a start of a run to ``environment.json`` in its folder: a run that is resumed may go on elsewhere.

    Args:
        folder: the run's.
        device: that computes.
        step: that the run goes on from.
        processes: that share each step.

    Raises:
        OSError: it cannot be written.
    """
    path = folder / ENVIRONMENT
    starts: list[Any] = []
    with suppress(OSError, ValueError, KeyError, TypeError):  # missing or damaged
        starts = list(json.loads(path.read_text(encoding="utf-8"))["starts"])
    starts.append({"step": step, "processes": processes, **environment(device)})
    write_whole(path, f"{json.dumps({'starts': starts}, indent=2)}\n".encode())


def versions(packages: Sequence[str] = _PACKAGES) -> dict[str, str]:
    """Of Python, Triptych and packages, as far as they are installed.

    >>> from triptych.system.environment import versions
    >>> list(versions(["torch", "no-such"]))
    ['python', 'triptych', 'torch']
    """
    found = {"python": platform.python_version(), "triptych": __version__}
    for name in packages:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def processor_name() -> str:
    """What the processor is called."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return platform.processor() or platform.machine()


def _program(started: str) -> str:
    """What a program is called by, which for ours is the same wherever it is installed."""
    path = Path(started)
    return "triptych" if path.stem == "triptych" or path.parts[-2:] == ("triptych", "__main__.py") else started


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _git(folder: Path, arguments: Sequence[str]) -> str | None:
    """What git says; None where there is no git, no repository or no commit."""
    try:
        ended = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None
