"""How fast and how small: Triptych beside a plain implementation and this machine's own matrix product.

    python benchmarks/speed.py --json benchmarks/results/speed-avx512.json

Evaluation episodes and training steps, stage by stage, on noise, which takes as long as photos, or on a data set. The
two implementations take turns in one process, as machines drift, and "faster" is the median of the turns' ratios; peak
memory is that of a fresh process that does one thing. ``plain.py`` says what the baseline is.

On a machine that others use, ``--processor-time`` measures what one thread had of its core in place of what the clock
says. A processor can play one that has AVX2 and no more:

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 python benchmarks/speed.py
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from machine import Stopwatch, machine, processor_line
from turns import STORE_SIDE, Ours, Plain, Task, synthetic_store

from triptych.data import ImageStore, Preprocessing, open_store
from triptych.evaluation import Episode, EpisodeSampler
from triptych.system.memory import keep_freed_memory
from triptych.system.precision import PRECISIONS, half_speed, resolve_precision

PLAIN_LIMIT = 12e9  # bytes of the plain similarity tensor above which it is not tried
PATIENCE = 40.0  # seconds for the repeats of one task


def measure_apart(task: Task, arguments: argparse.Namespace, ceilings: dict[str, float]) -> dict[str, Any]:
    """``measure`` in a process of its own, so that one which runs out of memory does not end the table."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(_measure_data, task, arguments, ceilings).result()
        except BrokenProcessPool:
            return {**asdict(task), "failed": "killed, as the machine's memory ran out"}


def _measure_data(task: Task, arguments: argparse.Namespace, ceilings: dict[str, float]) -> dict[str, Any]:
    keep_freed_memory()
    torch.set_num_threads(arguments.threads)
    if arguments.data is None:
        store = synthetic_store(task, arguments.device)
    else:
        store = open_store(arguments.data, "train", Preprocessing(STORE_SIDE)).to(arguments.device)
    return measure(task, store, arguments.repeats, arguments.precision == "bf16", ceilings, arguments.clock)


def measure(
    task: Task, store: ImageStore, repeats: int, bf16: bool, ceilings: dict[str, float], clock: str = "wall"
) -> dict[str, Any]:
    """One row of the table."""
    sampler = EpisodeSampler(store.labels, task.way, task.shot, task.queries)
    ours, our_watch = Ours(task, store, bf16), Stopwatch(store.images.device, clock)
    flops, plain_bytes = pixel_flops(ours, sampler[0])
    plain = Plain(task, store, ours.method) if plain_bytes < PLAIN_LIMIT else None
    plain_watch = Stopwatch(store.images.device, clock)
    started = time.perf_counter()
    for number in range(repeats + 1):
        if number > 3 and time.perf_counter() - started > PATIENCE:
            break
        if plain is not None:
            plain.run(sampler[number], plain_watch)
        ours.run(sampler[number], our_watch)
        ours.stages(sampler[number], our_watch)
    limits = {kind: ceilings[f"{'bf16' if bf16 else 'fp32'} {kind}"] for kind in ("product", "square")}
    row: dict[str, Any] = {
        **asdict(task),
        **shares(our_watch.summary(), flops, limits),
        "peak_bytes": peak_memory(task, bf16, plain=False, device=store.images.device),
    }
    if plain is None:
        row["plain"] = f"not run: one similarity tensor alone takes {plain_bytes / 1e9:.0f} GB"
    else:
        row["plain"] = plain_watch.summary()["whole"]
        row["ratio"] = paired_ratio(plain_watch.seconds["whole"], our_watch.seconds["whole"])
        row["plain_peak_bytes"] = peak_memory(task, bf16, plain=True, device=store.images.device)
        row["memory_ratio"] = row["plain_peak_bytes"] / row["peak_bytes"]
    return row


def shares(stages: dict[str, Any], flops: float, ceilings: dict[str, float]) -> dict[str, Any]:
    """The seconds of each stage, and what they are of the whole and of what the processor can do."""
    median = {name: stage["median"] for name, stage in stages.items()}
    whole, rate = median["whole"], flops / median["pixel"]
    return {
        "seconds": stages,
        "episodes_per_second": 1 / whole,
        "pixel_gflops": rate / 1e9,
        **{f"pixel_share_of_{kind}": rate / ceiling for kind, ceiling in ceilings.items()},
        "part_and_distribution_share": (median["part"] + median["distribution"]) / whole,
        "data_share": median["data"] / whole,
        "times_the_backbone": whole / median["backbone"],
    }


def paired_ratio(plain: list[float], ours: list[float]) -> float:
    """The median over turns of how many times as long the first took; the first turn, a warm-up, is dropped."""
    turns = list(zip(plain, ours, strict=True))
    return statistics.median(one / other for one, other in turns[1:] or turns)


def pixel_flops(ours: Ours, episode: Episode) -> tuple[float, float]:
    """Operations of all cosines of the pixel level; and the float32 bytes of its or the part level's full tensor."""
    with torch.inference_mode():
        _, channels, height, width = ours.encode(ours.pixels(episode)[:1]).maps.shape
    pairs = len(episode.query) * len(episode.support)
    cosines = pairs * (height * width) ** 2
    return 2.0 * cosines * channels, 4.0 * max(cosines, pairs * channels**2)


def measure_ceilings(device: torch.device, square: int = 4096, clock: str = "wall") -> dict[str, float]:
    """FLOP/s of a large square product, and of one of the shape of the pixel level: 64 deep, its result written."""
    found = {}
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        for kind, (rows, depth, columns) in {"square": (square, square, square), "product": (1900, 64, 2205)}.items():
            x, y = (
                torch.randn(rows, depth, device=device).to(dtype),
                torch.randn(depth, columns, device=device).to(dtype),
            )
            out = x @ y
            seconds = _best(lambda x=x, y=y, out=out: torch.mm(x, y, out=out), device, clock)  # type: ignore[misc]
            found[f"{name} {kind}"] = 2.0 * rows * depth * columns / seconds
    return found


def _best(action: Callable[[], Any], device: torch.device, clock: str, runs: int = 10) -> float:
    watch = Stopwatch(device, clock)
    for _ in range(runs):
        with watch("product"):
            action()
    return min(watch.seconds["product"])


def peak_memory(task: Task, bf16: bool, plain: bool, device: torch.device) -> int:
    """Bytes at the peak of a fresh process that runs two episodes; on a GPU, of its memory."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_peak, task, bf16, plain, str(device)).result()


def _peak(task: Task, bf16: bool, plain: bool, device: str) -> int:
    if not plain:
        keep_freed_memory()
    store = synthetic_store(task, device)
    ours = Ours(task, store, bf16)
    runner = Plain(task, store, ours.method) if plain else ours
    sampler = EpisodeSampler(store.labels, task.way, task.shot, task.queries)
    for number in range(2):
        runner.run(sampler[number], Stopwatch(store.images.device))
    if device != "cpu":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()  # getrusage's peak would be inherited from the parent
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


def show(row: dict[str, Any]) -> str:
    """One row as text."""
    name = Task(**{key: row[key] for key in Task.__dataclass_fields__}).name
    if "failed" in row:
        return f"{name}\n  {row['failed']}"
    stages = "  ".join(
        f"{name} {1e3 * value['median']:.1f}" for name, value in row["seconds"].items() if name != "whole"
    )
    whole = row["seconds"]["whole"]
    lines = [
        name,
        f"  {1e3 * whole['median']:.1f} ms ({1e3 * whole['q1']:.1f} to {1e3 * whole['q3']:.1f}), "
        f"{row['episodes_per_second']:.1f} episodes/s, {row['times_the_backbone']:.2f} x the backbone, "
        f"peak {row['peak_bytes'] / 1e9:.2f} GB",
        f"  stages in ms: {stages}",
        f"  pixel level {row['pixel_gflops']:.0f} GFLOP/s: {row['pixel_share_of_product']:.0%} of a product of its "
        f"shape, {row['pixel_share_of_square']:.0%} of a square one; part and distribution "
        f"{row['part_and_distribution_share']:.0%}, data {row['data_share']:.1%} of the whole",
    ]
    if "ratio" in row:
        lines.append(
            f"  plain: {1e3 * row['plain']['median']:.0f} ms, peak {row['plain_peak_bytes'] / 1e9:.2f} GB: "
            f"{row['ratio']:.1f} x faster in 1/{row['memory_ratio']:.1f} of the memory"
        )
    else:
        lines.append(f"  plain: {row['plain']}")
    return "\n".join(lines)


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    speed = half_speed(arguments.device)
    ceilings = measure_ceilings(device, 4096 if speed >= 1 else 512, arguments.clock)
    record: dict[str, Any] = {
        "machine": machine(device),
        "clock": arguments.clock,
        "precision": arguments.precision,
        "half_speed": speed,
        "ceilings_flops": ceilings,
        "rows": [],
    }
    print(f"{processor_line(record['machine'])}; {arguments.clock} time; precision {arguments.precision}", flush=True)
    print("matrix product: " + ", ".join(f"{name} {value / 1e9:.0f} GFLOP/s" for name, value in ceilings.items()))
    for method in arguments.method or ["mml-paper-conv64f", "mml-paper-resnet12"]:
        for way, shot in ((5, 1), (5, 5), (20, 5)):
            for training in (False, True):
                row = measure_apart(Task(method, way, shot, training), arguments, ceilings)
                print(show(row), flush=True)
                record["rows"].append(row)
                if arguments.json:
                    arguments.json.write_text(json.dumps(record, indent=1) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", help="a data set with a train split of at least 20 classes; else noise")
    parser.add_argument("--method", action="append", help="by default mml-paper-conv64f and mml-paper-resnet12")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=PRECISIONS, default="auto", help="of Triptych; auto: bf16 where faster")
    parser.add_argument("--processor-time", action="store_true", help="of one thread, where others use the machine")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    arguments.precision = resolve_precision(arguments.precision, arguments.device, half="bf16")
    arguments.clock = "processor" if arguments.processor_time else "wall"
    arguments.threads = 1 if arguments.processor_time else torch.get_num_threads()
    return arguments


if __name__ == "__main__":
    main()
