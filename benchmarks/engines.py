"""The engines of ``triptych predict`` beside each other: photos a second on the same photos, and what a start costs.

    python benchmarks/engines.py ../shared/data/grocery --json benchmarks/results/engines.json

The photos are those of a folder of class folders, over and over. All engines answer with ``--threads`` threads or
workers: the local engine and ONNX Runtime with so many threads, Ray with so many workers of one thread each. They take
turns. The start is the time to the first batch of answers; what a photo costs, is measured from there to the last.
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
from triptych.engines import EngineSettings, Question, engine_of
from triptych.engines.settings import NAMES
from triptych.folders import photos_at

TOGETHER = 0.05  # seconds after the first answer in which those that came with it are taken


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


def measured(recognizer: Recognizer, name: str, folder: Path, threads: int) -> dict[str, float]:
    """One run of an engine."""
    settings = EngineSettings(engine=name, workers=threads if name == "ray" else None)
    photos = photos_at(folder).photos
    begun = seconds()
    marks = [seconds() for _ in engine_of(settings).answers(recognizer, photos, Question())]
    first, last = marks[0], marks[-1]
    together = sum(wall - first[0] < TOGETHER for wall, _ in marks)
    rest = len(photos.names) - together
    return {
        "start_wall_s": first[0] - begun[0],
        "photo_wall_ms": 1e3 * (last[0] - first[0]) / rest,
        "start_processor_s": first[1] - begun[1],
        "photo_processor_ms": 1e3 * (last[1] - first[1]) / rest,
    }


def told(runs: list[dict[str, float]]) -> dict[str, Any]:
    """The medians of some runs, and the runs."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]} | {"runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--shot", type=int, default=5)
    parser.add_argument("--count", type=int, default=1024, help="photos to answer")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--engines", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    support, labels, rest = photos_of(given.photos, given.classes, given.shot)
    recognizer = Recognizer().fit(support, labels)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in given.engines}
    with tempfile.TemporaryDirectory() as place:
        folder = filled(Path(place), rest, given.count)
        for _ in range(given.turns):
            for name in given.engines:
                runs[name].append(measured(recognizer, name, folder, given.threads))
                print(name, runs[name][-1], flush=True)
    result = {
        "machine": {**machine(torch.device("cpu")), "cores": os.cpu_count()},
        "photos": {"count": given.count, "classes": given.classes, "shot": given.shot},
        "engines": {name: told(found) for name, found in runs.items()},
    }
    print(json.dumps(result, indent=1))
    print(processor_line(result["machine"]))
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
