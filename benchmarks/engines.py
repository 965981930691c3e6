"""The engines of ``triptych predict`` beside each other: photos a second on the same photos, and what a start costs.

    python benchmarks/engines.py ../shared/data/grocery --json benchmarks/results/engines.json

The photos are those of a folder of class folders, over and over. All engines answer with ``--threads`` threads or
workers: the local engine and ONNX Runtime with so many threads, Ray with so many workers of one thread each. Each
engine answers a few photos and then many, in turns: the difference is what a photo costs, the rest is the start.
Processor time is of this process and of children that it has waited for: Ray's workers are not among them.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import torch
from latency import photos_of
from machine import machine, processor_line

from triptych import Recognizer
from triptych.engines import EngineSettings, engine_of
from triptych.engines.settings import NAMES
from triptych.folders import predict_folder


def seconds() -> tuple[float, float]:
    """Wall time, and processor time of this process and of children that it has waited for."""
    spent = os.times()
    return time.perf_counter(), spent.user + spent.system + spent.children_user + spent.children_system


def filled(place: Path, files: list[str], count: int) -> Path:
    """A folder of so many photos, which are links."""
    folder = place / f"photos-{count}"
    folder.mkdir()
    for number, file in enumerate(islice(cycle(files), count)):
        (folder / f"{number:06}.jpg").symlink_to(Path(file).resolve())
    return folder


def measured(recognizer: Recognizer, name: str, folder: Path, threads: int, out: Path) -> dict[str, float]:
    """One run of an engine."""
    settings = EngineSettings(engine=name, workers=threads if name == "ray" else None)
    wall, processor = seconds()
    predict_folder(recognizer, folder, out, overwrite=True, engine=engine_of(settings))
    wall, processor = (after - before for after, before in zip(seconds(), (wall, processor), strict=True))
    return {"wall_s": wall, "processor_s": processor}


def told(few: list[dict[str, float]], many: list[dict[str, float]], counts: tuple[int, int]) -> dict[str, Any]:
    """What a photo costs and what a start does, from runs over two numbers of photos."""
    found: dict[str, Any] = {}
    for clock in ("wall_s", "processor_s"):
        low, high = (statistics.median(run[clock] for run in runs) for runs in (few, many))
        photo = (high - low) / (counts[1] - counts[0])
        found |= {f"{clock} a photo": photo, f"{clock} to start": low - counts[0] * photo}
    return {**found, "photos_per_s": 1 / found["wall_s a photo"], "runs": {"few": few, "many": many}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--shot", type=int, default=5)
    parser.add_argument("--few", type=int, default=32)
    parser.add_argument("--many", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    support, labels, rest = photos_of(given.photos, given.classes, given.shot)
    recognizer = Recognizer().fit(support, labels)
    counts = (given.few, given.many)
    runs: dict[str, dict[int, list[dict[str, float]]]] = {
        name: {count: [] for count in counts} for name in given.engines
    }
    with tempfile.TemporaryDirectory() as place:
        folders = {count: filled(Path(place), rest, count) for count in counts}
        for _ in range(given.turns):
            for name in given.engines:
                for count in counts:
                    run = measured(recognizer, name, folders[count], given.threads, Path(place) / "answers.csv")
                    print(name, count, run, flush=True)
                    runs[name][count].append(run)
    result = {
        "machine": {**machine(torch.device("cpu")), "cores": os.cpu_count()},
        "photos": {"few": given.few, "many": given.many, "classes": given.classes, "shot": given.shot},
        "engines": {name: told(found[given.few], found[given.many], counts) for name, found in runs.items()},
    }
    print(json.dumps(result, indent=1))
    print(processor_line(result["machine"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
