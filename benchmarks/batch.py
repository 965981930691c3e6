"""Many photos: seconds to learn from them, and images per second into a file beside what each step alone could do.

    python benchmarks/batch.py PHOTOS_DIR --json benchmarks/results/batch-cpu.json

Processor time is given beside wall time: the two differ where other work shares the machine.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from latency import photos_of
from machine import machine

from triptych import Recognizer
from triptych.data import Photo, list_folder, read_photos
from triptych.folders.predict import predict_folder
from triptych.methods import Encoded, Method, Summary
from triptych.recognizer import QUERY_BATCH
from triptych.similarity import searching
from triptych.support import encode

SUPPORTS = ((20, 1), (20, 5))  # classes, photos of each


def timed(function: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What a function returns, and how long it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = function()
    return result, {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def per_image(function: Callable[[], Any], images: int) -> dict[str, float]:
    _, seconds = timed(function)
    return {"images_per_s": images / seconds["wall_s"], "cpu_ms": 1e3 * seconds["cpu_s"] / images}


def learning(photos: list[Any], labels: list[Any]) -> dict[str, Any]:
    """Fitting with and without calibration, then one photo more."""
    _, plain = timed(lambda: Recognizer(calibrate=False).fit(photos[1:], labels[1:]))
    recognizer, fit = timed(lambda: Recognizer().fit(photos[1:], labels[1:]))
    _, add = timed(lambda: recognizer.add(photos[:1], labels[0]))
    counts = {"photos": len(photos), "classes": len(set(labels))}
    return {**counts, "fit, not calibrated": plain, "fit": fit, "add one": add}


@torch.no_grad()
def steps(recognizer: Recognizer, files: list[str]) -> dict[str, dict[str, float]]:
    """Each step alone, on the same photos."""
    method, count = recognizer.method_, len(files)
    photos = [photo for photo in read_photos(files, method.preprocess) if isinstance(photo, Photo)]
    pixels = np.stack([photo.pixels for photo in photos])
    batches = torch.from_numpy(pixels).split(QUERY_BATCH)
    encoded = encode(method, pixels)
    queries = [encoded[start : start + QUERY_BATCH] for start in range(0, count, QUERY_BATCH)]
    classes = [kept.summary for kept in recognizer.support_.values()]
    return {
        "decode": per_image(lambda: list(read_photos(files, method.preprocess)), count),
        "backbone, a batch at a time": per_image(
            lambda: [method.encode(method.preprocess.normalise(batch)) for batch in batches], count
        ),
        "backbone, a photo at a time": per_image(lambda: encode(method, pixels), count),
        "compare": per_image(lambda: compared(method, queries, classes), count),
        "compare, search in bf16": per_image(lambda: compared(method, queries, classes, torch.bfloat16), count),
    }


def compared(
    method: Method, queries: list[Encoded], classes: list[Summary], dtype: torch.dtype | None = None
) -> list[dict[str, torch.Tensor]]:
    with searching(dtype):
        return [method.compare(batch, classes) for batch in queries]


def end_to_end(recognizer: Recognizer, files: list[str], images: int) -> dict[str, float]:
    """``predict_folder`` on as many photos as wanted, the files over and over."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "photos"
        folder.mkdir()
        for number, file in enumerate(islice(cycle(files), images)):
            (folder / f"{number:06}.jpg").symlink_to(Path(file).resolve())
        summary, seconds = timed(lambda: predict_folder(recognizer, folder, Path(place) / "answers.parquet"))
    return {"images": images, "images_per_s": summary.photos_per_second, "cpu_ms": 1e3 * seconds["cpu_s"] / images}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders, 20 classes at least")
    parser.add_argument("--images", type=int, default=128, help="to recognise end to end")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    listing = list_folder(arguments.photos)
    order = np.random.default_rng(0).permutation(len(listing.labels))[:1000]
    mine = [str(listing.sources[i]) for i in order], [listing.classes[listing.labels[i]] for i in order]
    result: dict[str, Any] = {"machine": machine(torch.device("cpu"))}
    for classes, shot in SUPPORTS:
        support, labels, rest = photos_of(arguments.photos, classes, shot)
        recognizer = Recognizer().fit(support, labels)
        result[f"{classes} classes x {shot}"] = {
            **steps(recognizer, rest[:QUERY_BATCH]),
            "end to end": end_to_end(recognizer, rest, arguments.images),
        }
    noise = list(np.random.default_rng(0).integers(256, size=(1500, 84, 84, 3), dtype=np.uint8))
    result["learning"] = [learning(*mine), learning(noise, [n % 1000 for n in range(1500)])]
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
