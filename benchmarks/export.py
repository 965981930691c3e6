"""Exported models beside PyTorch: are the answers the same, what do small models cost, and how fast are they?

    python benchmarks/export.py ../shared/data/grocery ../shared/data/birds ../shared/data/signs \
        --json benchmarks/results/export.json

Of each folder up to 20 classes are learnt from 5 photos each (4 of classes with fewer than 6), and other photos of them
are asked. Each figure of speed is processor time of one photo, from pixels in memory to probabilities: the median and
the best of many runs, on one and on two threads, all in one process and in turns. ``--only speed`` measures speed
alone, on the first folder. PyTorch plays an older processor by environment variables (see ``latency.py``); ONNX Runtime
has no such switch: ``older_onnxruntime.py`` makes a copy of it that plays one.
"""

import argparse
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from machine import machine, processor_line
from torch import Tensor, nn

from triptych import Recognizer
from triptych.data import list_folder
from triptych.data.photos import Photo, read_photos
from triptych.export import ExportSettings, export

METHODS = ("mml-efficientnet-lite0", "mml-conv64f")
MODELS = {
    "onnx 32": ExportSettings(),
    "onnx fp16": ExportSettings(precision="fp16"),
    "onnx int8": ExportSettings(precision="int8"),
    "torch 32": ExportSettings(format="torch"),
}
BATCH = 8
Run = Callable[[np.ndarray], np.ndarray]


def split(folder: Path, classes: int, shot: int, asked: int) -> tuple[list[Any], list[str], list[Any], list[str]]:
    """Photos to learn from, their labels, photos to ask, their labels."""
    listing = list_folder(folder)
    learnt: list[Any] = []
    labels: list[str] = []
    rest: list[Any] = []
    truth: list[str] = []
    for label, name in enumerate(listing.classes[:classes]):
        mine = [source for source, owner in zip(listing.sources, listing.labels, strict=True) if owner == label]
        count = min(shot, len(mine) - 2)
        learnt, labels = learnt + mine[:count], labels + [name] * count
        few = mine[count : count + -(-asked // classes)]
        rest, truth = rest + few, truth + [name] * len(few)
    return learnt, labels, rest, truth


def session(model: Path | bytes, threads: int) -> Run:
    """A model of ONNX Runtime on so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (name, *_), (image, *_) = ([one.name for one in part] for part in (made.get_outputs(), made.get_inputs()))
    return lambda images: made.run([name], {image: images})[0]


def program(model: Path) -> Run:
    """A program of torch.export."""
    module = torch.export.load(model).module()

    @torch.no_grad()
    def run(images: np.ndarray) -> np.ndarray:
        return module(torch.from_numpy(images))[0].numpy()

    return run


def of_triptych(recognizer: Recognizer) -> Run:
    """The recogniser itself, from pixels."""
    known = recognizer.knowledge_
    return lambda images: known.probabilities(known.logits(known.compare([Photo("", one, "") for one in images])))


def probabilities(run: Run, images: np.ndarray) -> np.ndarray:
    """Of all images, a few at a time."""
    return np.concatenate([run(images[first : first + BATCH]) for first in range(0, len(images), BATCH)])


def agreement(recognizer: Recognizer, files: dict[str, Path], images: np.ndarray, truth: list[str]) -> dict[str, Any]:
    """Accuracy of each model, and how far its answers are from the recogniser's."""
    right = np.array([list(recognizer.classes_).index(one) for one in truth])
    wanted = probabilities(of_triptych(recognizer), images)
    found: dict[str, Any] = {"triptych": {"accuracy": float((wanted.argmax(1) == right).mean())}}
    for name, file in files.items():
        given = probabilities(program(file) if file.suffix == ".pt2" else session(file, 1), images)
        found[name] = {
            "accuracy": float((given.argmax(1) == right).mean()),
            "same top-1": float((given.argmax(1) == wanted.argmax(1)).mean()),
            "largest difference": float(np.abs(given - wanted).max()),
            "mean of the largest difference of a photo": float(np.abs(given - wanted).max(1).mean()),
            "bytes": file.stat().st_size,
        }
    return found


class Network(nn.Module):
    """The network alone, from pixels to maps."""

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self.method = recognizer.method_

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        return self.method.backbone.taps(self.method.preprocess.normalise(images))


def network_alone(recognizer: Recognizer, image: np.ndarray) -> bytes:
    """The network in ONNX."""
    logging.disable(logging.WARNING)
    with torch.no_grad():
        made = torch.onnx.export(
            Network(recognizer).eval(), (torch.from_numpy(image),), dynamo=True, opset_version=18, verbose=False
        )
    logging.disable(logging.NOTSET)
    assert made is not None
    return made.model_proto.SerializeToString()


def speed(recognizer: Recognizer, files: dict[str, Path], image: np.ndarray, runs: int) -> dict[str, Any]:
    """Milliseconds of one photo on one and two threads; the contenders take turns."""
    network, alone = Network(recognizer).eval(), network_alone(recognizer, image)

    @torch.no_grad()
    def encoded(images: np.ndarray) -> np.ndarray:
        return network(torch.from_numpy(images))[-1].numpy()

    found = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        contenders = {"triptych": of_triptych(recognizer), "network alone, triptych": encoded}
        contenders |= {name: session(file, threads) for name, file in files.items() if file.suffix == ".onnx"}
        contenders["network alone, onnx 32"] = session(alone, threads)
        found[f"{threads} threads"] = in_turns(contenders, image, runs)
    return found


def in_turns(contenders: dict[str, Run], image: np.ndarray, runs: int) -> dict[str, dict[str, float]]:
    """Each contender once, then each again: what else the machine does hits all alike."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for _ in range(runs + 2):
        for name, run in contenders.items():
            wall, processor = time.perf_counter(), time.process_time()
            run(image)
            taken[name].append((time.perf_counter() - wall, time.process_time() - processor))
    found = {}
    for name, pairs in taken.items():
        walls, processors = 1e3 * np.array(pairs[2:]).T
        found[name] = {
            "processor_p50_ms": float(np.median(processors)),
            "processor_best_ms": float(processors.min()),
            "wall_p50_ms": float(np.median(walls)),
            "wall_best_ms": float(walls.min()),
        }
    return found


def measured(folder: Path, method: str, given: argparse.Namespace, first: bool, place: Path) -> dict[str, Any]:
    """A recogniser of a folder, and its models."""
    learnt, labels, rest, truth = split(folder, given.classes, given.shot, given.asked)
    place = place / f"{folder.name}-{method}"
    place.mkdir(parents=True, exist_ok=True)
    if not (place / "shelf.triptych").is_file():
        Recognizer(method).fit(learnt, labels).save(place / "shelf.triptych")
    recognizer = Recognizer.load(place / "shelf.triptych")
    read = zip(read_photos(rest, recognizer.method_.preprocess), truth, strict=True)
    pixels = [(one.pixels, own) for one, own in read if isinstance(one, Photo)]
    images = np.stack([one for one, _ in pixels])
    files = {}
    for name, settings in MODELS.items():
        if given.only == "speed" and settings.format == "torch":
            continue
        files[name] = place / f"{name}{next(iter(settings.kind.beginnings))}"
        if not files[name].is_file():
            export(recognizer, files[name], settings)
    told: dict[str, Any] = {
        "classes": len(recognizer.classes_),
        "photos learnt from": len(learnt),
        "photos asked": len(images),
        "bytes of the .triptych file": (place / "shelf.triptych").stat().st_size,
    }
    if given.only != "speed":
        told["answers"] = agreement(recognizer, files, images, [own for _, own in pixels])
    if first:
        told["speed"] = speed(recognizer, files, images[:1], given.runs)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", help="folders of class folders")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--shot", type=int, default=5)
    parser.add_argument("--asked", type=int, default=200, help="photos of a folder that are asked")
    parser.add_argument("--runs", type=int, default=60, help="of each figure of speed")
    parser.add_argument("--only", choices=["speed"])
    parser.add_argument("--models", type=Path, help="keep recognisers and models here, and use those that are there")
    parser.add_argument("--part", default="native", help="where in the record the figures go")
    parser.add_argument("--json", type=Path, help="the record; what is not measured now stays as it is")
    given = parser.parse_args()
    folders = given.folders[:1] if given.only == "speed" else given.folders
    result: dict[str, Any] = {
        "machine": {**machine(torch.device("cpu")), "onnxruntime": onnxruntime.__version__, "cores": os.cpu_count()}
    }
    with tempfile.TemporaryDirectory() as place:
        for method in given.methods:
            result[method] = {
                folder.name: measured(folder, method, given, number == 0, given.models or Path(place))
                for number, folder in enumerate(folders)
            }
            print(json.dumps({method: result[method]}, indent=1), flush=True)
    print(processor_line(result["machine"]))
    if given.json:
        before = json.loads(given.json.read_text()) if given.json.is_file() else {}
        earlier = before.get(given.part, {})
        joined = {name: {**earlier.get(name, {}), **one} for name, one in result.items()}
        given.json.write_text(json.dumps({**before, given.part: {**earlier, **joined}}, indent=1) + "\n")


if __name__ == "__main__":
    main()
