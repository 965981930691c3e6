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
import copy
import ctypes
import json
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import Stopwatch, machine, processor_line
from plain import PlainMML
from torch import Tensor
from torch.nn import functional

from triptych.data import ImageStore, Preprocessing, open_store, random_crop_flip
from triptych.evaluation import Episode, EpisodeSampler
from triptych.methods import MML, Encoded, build_method, encode_images
from triptych.similarity import distribution_similarity, in_precision, part_similarity, pixel_similarity
from triptych.system.memory import keep_freed_memory
from triptych.system.precision import PRECISIONS, half_speed, resolve_precision
from triptych.training.episodic import episode_loss

PLAIN_LIMIT = 12e9  # bytes of the plain similarity tensor above which it is not tried
STORE_SIDE = 92
PATIENCE = 40.0  # seconds for the repeats of one task


@dataclass(frozen=True)
class Task:
    """What is measured: a method on episodes, evaluated or trained."""

    method: str
    way: int
    shot: int
    training: bool
    queries: int = 15

    @property
    def name(self) -> str:
        return f"{self.method} {self.way}-way {self.shot}-shot {'training' if self.training else 'evaluation'}"


class Ours:
    """Triptych, by the functions that ``evaluate`` and ``train`` call."""

    def __init__(self, task: Task, store: ImageStore, bf16: bool) -> None:
        self.task, self.store, self.device = task, store, store.images.device
        torch.manual_seed(0)
        method = build_method(task.method).to(self.device).to(memory_format=torch.channels_last)
        assert isinstance(method, MML)
        self.method = method
        self.method.train(task.training)
        self.optimizer = torch.optim.Adam(self.method.parameters())
        self.bf16 = bf16

    def run(self, episode: Episode, watch: Stopwatch) -> Tensor | None:
        with watch("whole"):
            return self._train(episode) if self.task.training else self._evaluate(episode)

    @torch.inference_mode()
    def _evaluate(self, episode: Episode) -> Tensor:
        encoded = self._encode(self._pixels(episode))
        support, query = encoded.split([len(episode.support), len(episode.query)])
        return self.method.fuse(self.method.compare_encoded(query, support, self._labels(episode)))

    def _train(self, episode: Episode) -> None:
        self.optimizer.zero_grad()
        encoded = self._encode(self._pixels(episode))
        episode_loss(self.method, encoded, episode, level_loss=1.0)[0].backward()
        self.optimizer.step()

    def stages(self, episode: Episode, watch: Stopwatch) -> None:
        """The same once more, with a clock between the stages."""
        with torch.inference_mode(not self.task.training):
            with watch("data"):
                pixels = self._pixels(episode)
            with watch("backbone"):
                maps = self._encode(pixels).maps
            support, query = maps.split([len(episode.support), len(episode.query)])
            labels, config, levels = self._labels(episode), self.method.config, {}
            with watch("distribution"):
                levels["distribution"] = distribution_similarity(query, support, labels, config.distance)
            with watch("pixel"):
                levels["pixel"] = pixel_similarity(query, support, labels, config.pixel_k)
            with watch("part"):
                levels["part"] = part_similarity(query, support, labels, config.part_k, config.part_normalize)
            with watch("fusion"):
                logits = self.method.fusion(levels)
            if self.task.training:
                loss = functional.cross_entropy(logits, torch.from_numpy(episode.query_labels).to(self.device))
                with watch("backward"):
                    loss.backward()
                with watch("optimizer"):
                    self.optimizer.step()

    def _pixels(self, episode: Episode) -> Tensor:
        return _pixels(self.store, episode, self.task.training, self.method.preprocess.side)

    def _encode(self, pixels: Tensor) -> Encoded:
        if not self.task.training:
            with in_precision("bf16" if self.bf16 else "32", self.device.type):
                return encode_images(self.method, pixels)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            return self.method.encode(self.method.preprocess.normalise(pixels))

    def _labels(self, episode: Episode) -> Tensor:
        return torch.from_numpy(episode.support_labels).to(self.device)


class Plain:
    """The baseline of ``plain.py``."""

    def __init__(self, task: Task, store: ImageStore, method: MML) -> None:
        self.task, self.store, self.device = task, store, store.images.device
        self.method = copy.deepcopy(method).to(memory_format=torch.contiguous_format)
        self.model = PlainMML(self.method, task.way).to(self.device).train(task.training)
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def run(self, episode: Episode, watch: Stopwatch) -> None:
        with default_memory(), watch("whole"):
            pixels = _pixels(self.store, episode, self.task.training, self.method.preprocess.side)
            images = self.method.preprocess.normalise(pixels).contiguous()
            support, query = images.split([len(episode.support), len(episode.query)])
            if not self.task.training:
                with torch.inference_mode():
                    self.model(query, support)
                return
            self.optimizer.zero_grad()
            truth = torch.from_numpy(episode.query_labels).to(self.device)
            functional.cross_entropy(self.model(query, support), truth).backward()
            self.optimizer.step()


@contextmanager
def default_memory() -> Iterator[None]:
    """Undo ``keep_freed_memory`` for the baseline, which does not have it; the thresholds are where glibc's grow to."""
    libc = ctypes.CDLL(None)
    for option, value in ((-4, 65536), (-1, 64 << 20), (-3, 32 << 20)):  # mmaps, trim threshold, mmap threshold
        libc.mallopt(option, value)
    libc.malloc_trim(0)
    yield
    keep_freed_memory()


def _pixels(store: ImageStore, episode: Episode, training: bool, side: int) -> Tensor:
    chosen = np.concatenate([episode.support, episode.query])
    if training:
        return random_crop_flip(store[chosen], side, np.random.default_rng(0))
    margin = (STORE_SIDE - side) // 2
    return store[chosen][:, margin : margin + side, margin : margin + side]


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
    stages = our_watch.summary()
    whole = stages["whole"]["median"]
    row: dict[str, Any] = {
        **asdict(task),
        "seconds": stages,
        "episodes_per_second": 1 / whole,
        "pixel_gflops": flops / stages["pixel"]["median"] / 1e9,
        "pixel_share_of_product": flops
        / stages["pixel"]["median"]
        / ceilings["bf16 product" if bf16 else "fp32 product"],
        "pixel_share_of_square": flops / stages["pixel"]["median"] / ceilings["bf16 square" if bf16 else "fp32 square"],
        "part_and_distribution_share": (stages["part"]["median"] + stages["distribution"]["median"]) / whole,
        "data_share": stages["data"]["median"] / whole,
        "times_the_backbone": whole / stages["backbone"]["median"],
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


def paired_ratio(plain: list[float], ours: list[float]) -> float:
    """The median over turns of how many times as long the first took; the first turn, a warm-up, is dropped."""
    turns = list(zip(plain, ours, strict=True))
    return statistics.median(one / other for one, other in turns[1:] or turns)


def pixel_flops(ours: Ours, episode: Episode) -> tuple[float, float]:
    """Operations of all cosines of the pixel level; and the float32 bytes of its or the part level's full tensor."""
    with torch.inference_mode():
        _, channels, height, width = ours._encode(ours._pixels(episode)[:1]).maps.shape
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


def synthetic_store(task: Task, device: str) -> ImageStore:
    """Just enough noise for one episode, so that memory is that of the method."""
    count = task.shot + task.queries
    images = torch.randint(256, (task.way * count, STORE_SIDE, STORE_SIDE, 3), dtype=torch.uint8)
    labels = np.arange(task.way).repeat(count)
    classes, names = (tuple(str(n) for n in range(size)) for size in (task.way, len(labels)))
    return ImageStore(images, labels, classes, names, "synthetic").to(device)


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
