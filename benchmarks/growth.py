"""How time and memory grow with way, shot, k and image size, beside the slope that the equations predict.

    python benchmarks/growth.py benchmarks/growth.png

One evaluation episode of 75 queries in bf16. Memory is the peak of a fresh process above that of the smallest task.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from triptych.methods import MML, MMLConfig, Preprocessing, encode_images
from triptych.similarity import distribution_similarity, in_precision, part_similarity, pixel_similarity
from triptych.system.memory import keep_freed_memory

QUERIES = 75


@dataclass(frozen=True)
class Task:
    """An episode: N-way K-shot, k nearest neighbours, images of side x side pixels."""

    way: int = 5
    shot: int = 5
    k: int = 1
    side: int = 84


AXES = {"way": (2, 5, 10, 20, 40), "shot": (1, 2, 5, 10, 20), "k": (1, 2, 3, 5, 8), "side": (42, 64, 84, 112, 140)}
# Exponents: Q * N * K * M^2 * C products of the pixel level, M = (side / 4)^2; the backbone sees (Q + N * K) images.
SLOPES = {
    "way": {"pixel": 1},
    "shot": {"pixel": 1},
    "k": {"pixel": 0},
    "side": {"pixel": 4, "backbone": 2},
}


@torch.inference_mode()
def run(task: Task, repeats: int) -> tuple[dict[str, float], int]:
    """Median seconds by stage, and the peak memory of this process in bytes."""
    keep_freed_memory()
    torch.manual_seed(0)
    method = MML(MMLConfig(preprocessing=Preprocessing(side=task.side))).to(memory_format=torch.channels_last)
    images = torch.randint(256, (QUERIES + task.way * task.shot, task.side, task.side, 3), dtype=torch.uint8)
    labels = torch.arange(task.way).repeat_interleave(task.shot)
    stages = {
        "pixel": lambda q, s: pixel_similarity(q, s, labels, task.k),
        "part": lambda q, s: part_similarity(q, s, labels, normalize=True),
        "distribution": lambda q, s: distribution_similarity(q, s, labels, "kl"),
    }
    found: dict[str, list[float]] = {name: [] for name in ("backbone", *stages)}
    for _ in range(repeats):
        start = time.perf_counter()
        with in_precision("bf16", "cpu"):
            query, support = encode_images(method, images).maps.tensor_split([QUERIES])
        found["backbone"].append(time.perf_counter() - start)
        for name, stage in stages.items():
            start = time.perf_counter()
            stage(query, support)
            found[name].append(time.perf_counter() - start)
    peak = 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])
    return {name: float(np.median(seconds[1:] or seconds)) for name, seconds in found.items()}, peak


def measure(task: Task, repeats: int = 6) -> tuple[dict[str, float], int]:
    """``run`` in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run, task, repeats).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    floor = measure(Task(way=2, shot=1, side=16), repeats=1)[1]
    figure, axes = plt.subplots(2, len(AXES), figsize=(16, 7), layout="constrained")
    for column, (name, values) in enumerate(AXES.items()):
        results = [measure(replace(Task(), **{name: value})) for value in values]
        draw(axes[:, column], name, values, results, floor)
        for value, (seconds, peak) in zip(values, results, strict=True):
            shown = ", ".join(f"{stage} {1e3 * s:.1f} ms" for stage, s in seconds.items())
            print(f"{name} {value}: {shown}; {(peak - floor) / 1e6:.0f} MB", flush=True)
    base = ", ".join(f"{key} {value}" for key, value in asdict(Task()).items())
    figure.suptitle(f"One evaluation episode, {QUERIES} queries, Conv-64F, bf16; where not varied: {base}")
    figure.savefig(arguments.picture, dpi=110)


def maps_bytes(task: Task) -> float:
    return 2.0 * (QUERIES + task.way * task.shot) * 64 * (task.side // 4) ** 2


def tensor_bytes(task: Task) -> float:
    """Of all Q * N * K * M^2 cosines in float32."""
    return 4.0 * QUERIES * task.way * task.shot * (task.side // 4) ** 4


def draw(
    axes: np.ndarray, name: str, values: tuple[int, ...], results: list[tuple[dict[str, float], int]], floor: int
) -> None:
    above, below = axes
    x = np.array(values)
    for stage, colour in zip(results[0][0], ("grey", "tab:blue", "tab:orange", "tab:green"), strict=True):
        seconds = np.array([found[stage] for found, _ in results])
        above.loglog(x, 1e3 * seconds, "o-", color=colour, label=stage)
        if stage in SLOPES[name]:
            exponent = SLOPES[name][stage]
            expected = 1e3 * seconds[-1] * (x / x[-1]) ** float(exponent)
            above.loglog(x, expected, "--", color=colour, alpha=0.6, label=f"slope {exponent} ({stage})")
    tasks = [replace(Task(), **{name: value}) for value in values]
    below.loglog(x, [max(1.0, (peak - floor) / 1e6) for _, peak in results], "o-", color="black", label="peak memory")
    below.loglog(x, [maps_bytes(task) / 1e6 for task in tasks], "--", color="grey", label="feature maps, bf16")
    below.loglog(x, [tensor_bytes(task) / 1e6 for task in tasks], "--", color="tab:red", label="all cosines, not held")
    for axis, unit in ((above, "ms"), (below, "MB above the smallest task")):
        axis.set(xlabel=name, ylabel=unit, xticks=x, xticklabels=x)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)


if __name__ == "__main__":
    main()
