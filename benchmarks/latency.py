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
from dataclasses import dataclass
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
from triptych.methods import Method
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
    few = []
    with torch.no_grad():
        for part in range(0, len(photos), shot):
            pixels = np.stack([photo.pixels for photo in photos[part : part + shot]])
            kept = method.keep(method.encode(method.preprocess.normalise(torch.from_numpy(pixels))))
            few.append((kept, summarised(method, kept, views=1)))
    support = {}
    for number, (kept, summary) in enumerate(islice(cycle(few), classes)):
        ids = tuple(f"{number * shot + i:032x}" for i in range(shot))
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


@dataclass(frozen=True)
class Case:
    """What the parts measure on.

    Attributes:
        folder: of class folders.
        method: the default.
        fit: photos of the fit.
        asked: photos of the folder.
    """

    folder: Path
    method: Method
    fit: int
    asked: int

    def shelf(self) -> tuple[Recognizer, list[str]]:
        """A recogniser of 20 classes of five photos, and other photos of these classes."""
        support, labels, rest = photos_of(self.folder, classes=20, shot=5)
        return Recognizer(self.method).fit(support, labels), rest

    def decoded(self) -> list[Photo]:
        _, _, rest = photos_of(self.folder, classes=20, shot=5)
        return [one for one in read_photos(rest[:20], self.method.preprocess) if isinstance(one, Photo)]


def small(case: Case) -> dict[str, Any]:
    """One photo and a folder of photos against 20 classes, beside the network alone."""
    shelf, rest = case.shelf()
    photos, known = case.decoded(), shelf.knowledge_
    result: dict[str, Any] = {"network alone": {f"batch {n}": network_alone(case.method, photos, n) for n in (1, 8)}}
    singles = [partial(answer, known, path) for path in islice(cycle(rest), 40)]
    result["one photo, 20 classes x 5"] = of_many(singles)
    batch = list(islice(cycle(rest), case.asked))
    found = timed(lambda: shelf.predict(batch))
    result["a folder, 20 classes x 5"] = {f"{name[:-2]}_ms": 1e3 * value / len(batch) for name, value in found.items()}
    return result


def large(case: Case) -> dict[str, Any]:
    """One photo against 1,000 classes."""
    crowd = many_classes(case.method, case.decoded(), classes=1000, shot=5)
    _, _, rest = photos_of(case.folder, classes=1, shot=5)
    return {"one photo, 1000 classes x 5": of_many([partial(answer, crowd, rest[0])] * 12)}


def fitting(case: Case) -> dict[str, Any]:
    """A fit with all that it learns."""
    photos, names, _ = photos_of(case.folder, classes=10**6, shot=10**6)
    order = np.random.default_rng(0).permutation(len(photos))[: case.fit]
    mine = [names[i] for i in order]
    found = timed(lambda: Recognizer(case.method).fit([photos[i] for i in order], mine))
    return {"fit": {**found, "photos": len(order), "classes": len(set(mine))}}


def files(case: Case) -> dict[str, Any]:
    """The file, and a command that reads it."""
    shelf, rest = case.shelf()
    with tempfile.TemporaryDirectory() as place:
        shelf.save(f"{place}/shelf.triptych")
        size = Path(place, "shelf.triptych").stat().st_size
        return {
            "file": {"bytes": size, "photos": 100},
            "cold triptych predict": cold(f"{place}/shelf.triptych", rest[0]),
        }


PARTS: dict[str, Callable[[Case], dict[str, Any]]] = {"small": small, "large": large, "fit": fitting, "file": files}


def figures(result: dict[str, Any], clock: str) -> dict[str, float]:
    """Each target's figure by one of the clocks, as far as it was measured."""
    found = {}
    for count in (20, 1000):
        if one := result.get(f"one photo, {count} classes x 5"):
            found[f"one photo, {count} classes x 5, ms"] = one[f"{clock}_p50_ms"]
    if fit := result.get("fit"):
        found["fit of 1000 photos, s"] = fit[f"{clock}_s"] * 1000 / fit["photos"]
    if folder := result.get("a folder, 20 classes x 5"):
        alone = min(one[f"{clock}_p50_ms"] for one in result["network alone"].values())
        found["a folder, share of the network's speed"] = alone / folder[f"{clock}_ms"]
    if file := result.get("file"):
        found["cold triptych predict, s"] = result["cold triptych predict"][f"{clock}_s"]
        found["file, KB a photo"] = file["bytes"] / file["photos"] / 1000
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders, 20 classes at least")
    parser.add_argument("--threads", type=int, help="by default as many as there are cores")
    parser.add_argument("--fit", type=int, default=1000, help="photos of the fit")
    parser.add_argument("--asked", type=int, default=128, help="photos of the folder")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="these parts alone")
    parser.add_argument("--json", type=Path, help="the record; parts that are not measured now stay as they are")
    given = parser.parse_args()
    if given.threads:
        torch.set_num_threads(given.threads)
    case = Case(given.photos, load_method("mml-efficientnet-lite0"), given.fit, given.asked)
    measured = {key: value for part in given.only for key, value in PARTS[part](case).items()}
    before = json.loads(given.json.read_text()) if given.json and given.json.is_file() else {}
    result = {**before, **measured, "machine": machine(torch.device("cpu")), "targets": TARGETS}
    for clock in ("wall", "processor"):
        result[f"figures, {clock}"] = figures(result, clock)
    print(processor_line(result["machine"]))
    for name, value in result["figures, processor"].items():
        print(
            f"{name}: target {TARGETS[name]:g}, on the clock {result['figures, wall'][name]:.3g}, processor {value:.3g}"
        )
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
