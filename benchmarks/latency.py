"""How long a user waits for the default method, beside what its network alone takes in the same run; size of the file.

    python benchmarks/latency.py PHOTOS_DIR --json benchmarks/results/latency-avx2.json

PHOTOS_DIR has a folder per class, 20 classes of six photos at least. Every figure is there twice: on the clock, and as
processor time of all threads, which a machine that others use changes less. With ``--threads 1`` processor time is what
one idle core would take. A processor can play one that has AVX2 and no more:

    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 MKL_ENABLE_INSTRUCTIONS=AVX2 python benchmarks/latency.py ...
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine, processor_line

from triptych import Recognizer, load_method
from triptych.data import list_folder
from triptych.data.photos import Photo, read_photos
from triptych.methods import Encoded, Method
from triptych.recognizer.knowledge import Knowledge
from triptych.support import Support, summarised

TARGETS = {
    "one photo, 20 classes x 5, ms": 40.0,
    "one photo, 1000 classes x 5, ms": 150.0,
    "fit of 1000 photos, s": 60.0,
    "a folder, share of the network's speed": 0.85,
    "cold triptych predict, s": 4.0,
    "file, KB a photo": 40.0,
}


def photos_of(folder: Path, classes: int, shot: int) -> tuple[list[str], list[str], list[str]]:
    """(support photos, their labels, other photos of the same classes)."""
    listing = list_folder(folder)
    support, labels, rest = [], [], []
    for label, name in enumerate(listing.classes[:classes]):
        mine = [str(source) for source, owner in zip(listing.sources, listing.labels, strict=True) if owner == label]
        support += mine[:shot]
        labels += [name] * len(mine[:shot])
        rest += mine[shot:]
    return support, labels, rest


def timed(action: Callable[[], Any]) -> dict[str, float]:
    """Seconds on the clock and of the processor."""
    wall, processor = time.perf_counter(), time.process_time()
    action()
    return {"wall_s": time.perf_counter() - wall, "processor_s": time.process_time() - processor}


def of_many(actions: Sequence[Callable[[], Any]]) -> dict[str, float]:
    """Milliseconds: median and best, after a warm-up."""
    actions[0]()
    found = [timed(action) for action in actions]
    told = {}
    for clock in ("wall", "processor"):
        values = 1e3 * np.array([one[f"{clock}_s"] for one in found])
        told |= {f"{clock}_p50_ms": float(np.median(values)), f"{clock}_best_ms": float(values.min())}
    return {**told, "runs": len(found)}


def network_alone(method: Method, photos: Sequence[Photo], batch: int, runs: int = 20) -> dict[str, float]:
    """Milliseconds a photo of the network, from pixels in memory; ``batch`` photos at once."""
    pixels = torch.from_numpy(np.stack([photo.pixels for photo in islice(cycle(photos), batch)]))

    def once() -> None:
        with torch.no_grad():
            method.backbone.taps(method.preprocess.normalise(pixels))

    found = of_many([once] * max(5, runs // batch))
    return {name: value / (batch if name.endswith("_ms") else 1) for name, value in found.items()}


def many_classes(method: Method, photos: Sequence[Photo], classes: int, shot: int) -> Knowledge:
    """Classes of the same few photos over and over, as their time does not depend on what the photos show."""
    with torch.no_grad():
        encoded = [
            method.keep(method.encode(method.preprocess.normalise(torch.from_numpy(one.pixels[None]))))
            for one in photos
        ]
        support = {}
        for number in range(classes):
            kept = Encoded.join([encoded[(number * shot + i) % len(encoded)] for i in range(shot)])
            ids = tuple(f"{number * shot + i:032x}" for i in range(shot))
            summary = summarised(method, kept, views=1)
            support[number] = Support(kept, 1, ids, ("",) * shot, (b"",) * shot, summary)
    return Knowledge.learn(method, support, np.dtype(int), calibrate=False)


def answer(known: Knowledge, path: str) -> None:
    """All that is done for one photo, from its file to the probabilities of all classes."""
    (photo,) = read_photos([path], known.method.preprocess)
    assert isinstance(photo, Photo)
    known.probabilities(known.logits(known.compare([photo])))


def cold(file: str, photo: str, runs: int = 5) -> dict[str, float]:
    """Seconds of a fresh ``triptych predict``: the best and the median."""
    command = [sys.executable, "-m", "triptych.cli", "predict", file, photo]
    wall, processor = [], []
    for _ in range(runs):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall.append(time.perf_counter() - start)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall_s": min(wall), "processor_s": min(processor), "wall_p50_s": float(np.median(wall)), "runs": runs}


def measured(folder: Path, fit: int, asked: int) -> dict[str, Any]:
    """All figures."""
    method = load_method("mml-efficientnet-lite0")
    support, labels, rest = photos_of(folder, classes=20, shot=5)
    decoded = [one for one in read_photos(rest[:20], method.preprocess) if isinstance(one, Photo)]
    result: dict[str, Any] = {
        "network alone, a photo": {f"batch {n}": network_alone(method, decoded, n) for n in (1, 8)}
    }
    shelf = Recognizer().fit(support, labels)
    known = shelf.knowledge_
    one_by_one = [partial(answer, known, path) for path in islice(cycle(rest), 60)]
    result["one photo, 20 classes x 5"] = of_many(one_by_one)
    batch = list(islice(cycle(rest), asked))
    shelf.predict(batch[:32])
    found = timed(lambda: shelf.predict(batch))
    result["a folder, 20 classes x 5"] = {f"{name[:-2]}_ms": 1e3 * value / asked for name, value in found.items()}
    crowd = many_classes(method, decoded, classes=1000, shot=5)
    result["one photo, 1000 classes x 5"] = of_many([partial(answer, crowd, rest[0])] * 12)
    del crowd  # its memory
    thousand, names, _ = photos_of(folder, classes=10**6, shot=10**6)
    order = np.random.default_rng(0).permutation(len(thousand))[:fit]
    few = [names[i] for i in order]
    result[f"fit of {fit} photos"] = {
        **timed(lambda: Recognizer().fit([thousand[i] for i in order], few)),
        "photos": len(order),
        "classes": len(set(few)),
    }
    with tempfile.TemporaryDirectory() as place:
        shelf.save(f"{place}/shelf.triptych")
        result["file"] = {"bytes": Path(place, "shelf.triptych").stat().st_size, "photos": len(support)}
        result["cold triptych predict"] = cold(f"{place}/shelf.triptych", rest[0])
    return result


def figures(result: dict[str, Any], fit: int, clock: str) -> dict[str, float]:
    """Each target's figure by one of the clocks."""
    alone = min(one[f"{clock}_p50_ms"] for one in result["network alone, a photo"].values())
    return {
        "one photo, 20 classes x 5, ms": result["one photo, 20 classes x 5"][f"{clock}_p50_ms"],
        "one photo, 1000 classes x 5, ms": result["one photo, 1000 classes x 5"][f"{clock}_p50_ms"],
        "fit of 1000 photos, s": result[f"fit of {fit} photos"][f"{clock}_s"] * 1000 / fit,
        "a folder, share of the network's speed": alone / result["a folder, 20 classes x 5"][f"{clock}_ms"],
        "cold triptych predict, s": result["cold triptych predict"][f"{clock}_s"],
        "file, KB a photo": result["file"]["bytes"] / result["file"]["photos"] / 1000,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders, 20 classes at least")
    parser.add_argument("--threads", type=int, help="by default as many as there are cores")
    parser.add_argument("--fit", type=int, default=1000, help="photos of the fit")
    parser.add_argument("--asked", type=int, default=256, help="photos of the folder")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    result: dict[str, Any] = {"machine": machine(torch.device("cpu")), **measured(given.photos, given.fit, given.asked)}
    result["targets"] = TARGETS
    for clock in ("wall", "processor"):
        result[f"figures, {clock}"] = figures(result, given.fit, clock)
    print(processor_line(result["machine"]))
    for name, target in TARGETS.items():
        wall, processor = (result[f"figures, {clock}"][name] for clock in ("wall", "processor"))
        print(f"{name}: target {target:g}, on the clock {wall:.3g}, processor time {processor:.3g}")
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
