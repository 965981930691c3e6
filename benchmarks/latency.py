"""How long a user waits: one photo against a fitted recogniser, and the commands from a cold start.

python benchmarks/latency.py PHOTOS_DIR --json benchmarks/results/latency.json
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine

from triptych import Recognizer
from triptych.data import list_folder


def photos_of(folder: Path, classes: int, shot: int) -> tuple[list[str], list[str], list[str]]:
    """(support photos, their labels, other photos of the same classes)."""
    listing = list_folder(folder)
    support, labels, rest = [], [], []
    for label, name in enumerate(listing.classes[:classes]):
        mine = [str(source) for source, owner in zip(listing.sources, listing.labels, strict=True) if owner == label]
        support += mine[:shot]
        labels += [name] * shot
        rest += mine[shot:]
    return support, labels, rest


def milliseconds(recognizer: Recognizer, photos: list[str]) -> np.ndarray:
    found = []
    for photo in photos:
        start = time.perf_counter()
        recognizer.predict([photo])
        found.append(1e3 * (time.perf_counter() - start))
    return np.array(found[1:])


def percentiles(values: np.ndarray) -> dict[str, float]:
    return {"p50_ms": float(np.median(values)), "p99_ms": float(np.percentile(values, 99)), "runs": len(values)}


def many_classes(photo: str, classes: int, shot: int) -> dict[str, float]:
    """One photo against classes of noise: time does not depend on what the photos show."""
    noise = np.random.default_rng(0).integers(256, size=(classes * shot, 84, 84, 3), dtype=np.uint8)
    start = time.perf_counter()
    recognizer = Recognizer().fit(list(noise), np.arange(classes).repeat(shot))
    fit = time.perf_counter() - start
    return {**percentiles(milliseconds(recognizer, [photo] * 12)), "fit_s": fit}


def command_seconds(*arguments: str, runs: int = 5) -> float:
    """Median wall time of a fresh ``triptych`` process."""
    command = [str(Path(sys.executable).with_name("triptych")), *arguments]
    found = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        found.append(time.perf_counter() - start)
    return float(np.median(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders, 20 classes at least")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    support, labels, rest = photos_of(arguments.photos, classes=20, shot=5)
    recognizer = Recognizer().fit(support, labels)
    result: dict[str, Any] = {"machine": machine(torch.device("cpu"))}
    result["20 classes x 5"] = percentiles(milliseconds(recognizer, rest[:500]))
    result["1000 classes x 5"] = many_classes(rest[0], classes=1000, shot=5)
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/shelf.triptych"
        recognizer.save(file)
        result["triptych --help, s"] = command_seconds("--help")
        result["triptych predict, s"] = command_seconds("predict", file, rest[0])
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
