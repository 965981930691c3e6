"""Every method under one budget: trained on miniImageNet from the same start, and frozen on folders of photos.

    python benchmarks/methods.py DATA --photos FOLDER [FOLDER ...] --report benchmarks/results/methods

DATA trains each method with a Conv-64F backbone from one pre-trained network, ``START``, and evaluates all on the same
episodes of the test split. Methods whose papers train no episodes are taken as they are over that network. On a folder
of photos the network is EfficientNet-Lite0, frozen, so methods that have modules of their own to train are left out.
A row is measured in a process of its own, kept in --out, and not measured again: the same command goes on where it was
stopped. ``--report NAME`` writes NAME.json, NAME.md and NAME.png of the rows that are there.
"""

import argparse
import json
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from published import PUBLISHED

from triptych import load_method
from triptych.backbones import pretrained_efficientnet_lite
from triptych.data import open_store
from triptych.evaluation import Accuracy, EpisodeSampler, evaluate_store
from triptych.methods import METHODS, WEIGHTS, Method, build_method, weights_hash
from triptych.system.files import write_whole
from triptych.system.memory import keep_freed_memory
from triptych.system.wording import with_interval
from triptych.training import PRESETS, Preset, TrainSettings, train

START = Path(__file__).parent / "checkpoints" / "conv64f-pretrain-42.safetensors"
TRAINED, FROZEN = "-conv64f", "-efficientnet-lite0"
NO_EPISODES = {f"{name}{TRAINED}" for name in ("simpleshot", "baseline++", "logistic", "laplacianshot")}
TUNED = {f"mml{TRAINED}"}  # by their own recipe, for hours; the table shows them apart
SHOTS = (1, 5)
FEW = (1, 4)  # of a folder: some classes have five photos
_FEW_PARAMETERS = 8  # a temperature, a learned scale: no module that must be trained


@dataclass(frozen=True)
class Budget:
    """What every method gets.

    Attributes:
        steps: of training, an episode each.
        episodes: of the test split, for each shot.
        photo_episodes: of each folder, for each shot.
        seed: of all that is drawn.
    """

    steps: int = 400
    episodes: int = 2000
    photo_episodes: int = 600
    seed: int = 0

    @property
    def training(self) -> TrainSettings:
        """10-way episodes of 70 and 90 images, half of them at a side of 56."""
        return replace(
            PRESETS["fast"].train,
            steps=self.steps,
            sides=(56, 84),
            seed=self.seed,
            average=0.99,
            pixel_share=1.0,
            plda_images=0,
            balance_episodes=0,
            validate_every=self.steps,
        )


@dataclass(frozen=True)
class Task:
    """One row.

    Attributes:
        name: of the method.
        data: what it is evaluated on.
        out: the folder of all rows.
        budget: what every method gets.
        device: where it is trained and evaluated; the time of a query is always the processor's.
    """

    name: str
    data: Path
    out: Path
    budget: Budget
    device: str

    @property
    def file(self) -> Path:
        """Where the row is kept."""
        return self.out / "rows" / f"{self.name} on {self.data.name}.json"


def methods_of(backbone: str) -> list[str]:
    """The registered methods over a backbone, fast ones first: those that look at crops take ten times as long."""
    names = [name for name in METHODS if name.endswith(backbone)]
    return sorted(names, key=lambda name: "crops" in type(build_method(name)).__dict__)


def needs_no_training(name: str) -> bool:
    """Whether a method over a network that has been trained is ready."""
    if name in WEIGHTS:
        return True
    own = [one for path, one in build_method(name).named_parameters() if not path.startswith(("backbone.", "fusion."))]
    return sum(one.numel() for one in own) <= _FEW_PARAMETERS


def measure(task: Task) -> None:
    """Measure a row and keep it."""
    keep_freed_memory()
    method, training = trained(task) if task.name.endswith(TRAINED) else (frozen(task.name), {})
    own = sum(one.numel() for path, one in method.named_parameters() if not path.startswith("backbone."))
    row = {
        "method": task.name,
        "data": task.data.name,
        "levels": list(method.level_names),
        "transductive": method.transductive,
        "parameters": sum(one.numel() for one in method.parameters()),
        "parameters_beside_the_backbone": own,
        **training,
        "shots": shots(method, task),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "config": method.config.to_dict(),
        "weights_sha256": weights_hash(method),
        "machine": machine(torch.device(task.device)),
    }
    task.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(task.file, (json.dumps(row, indent=1) + "\n").encode())


def trained(task: Task) -> tuple[Method, dict[str, Any]]:
    """A method after the budget's episodes, and what they took."""
    if task.name in TUNED:
        return load_method(task.name), {"training": "weights as shipped"}
    if task.name in NO_EPISODES:
        return build_method(task.name, load_method(START).backbone).eval(), {"training": "none beyond the start"}
    started = time.process_time()
    recipe = Preset(None, replace(task.budget.training, device=task.device))
    best = train(task.data, task.out / "runs" / task.name, task.name, recipe, START, resume=True, keep_fusion=False)
    return load_method(best), {"training": f"{task.budget.steps} steps", "training_s": time.process_time() - started}


def frozen(name: str) -> Method:
    """A method over the network of an installed package."""
    return build_method(name, pretrained_efficientnet_lite(classifies=False)).eval()


def shots(method: Method, task: Task) -> dict[str, Any]:
    """Accuracy, and processor time, at each number of photos a class."""
    photos = task.name.endswith(FROZEN)
    store = open_store(task.data, "test", method.preprocess)
    way, queries = (min(10, len(store.classes)), 1) if photos else (5, 15)
    episodes = task.budget.photo_episodes if photos else task.budget.episodes
    found = {}
    for shot in FEW if photos else SHOTS:
        sampler = EpisodeSampler(store.labels, way, shot, queries, task.budget.seed, store.classes)
        started = time.process_time()
        accuracies = evaluate_store(method.to(task.device), store.to(task.device), sampler, episodes)
        seconds = time.process_time() - started
        found[str(shot)] = {
            "accuracy": asdict(Accuracy.over(accuracies[" + ".join(method.level_names)])),
            "episodes": episodes,
            "way": way,
            "queries": queries,
            "ms_a_query": compared_ms(method.cpu(), sampler, store.images),
            "evaluation_processor_s": seconds,
        }
    return found


@torch.inference_mode()
def compared_ms(method: Method, sampler: EpisodeSampler, images: torch.Tensor, runs: int = 5) -> float:
    """Milliseconds of processor time to compare a query that is encoded with the classes; the best of some episodes."""
    found = []
    for number in range(runs):
        episode = sampler[number]
        support, query = (
            method.encode(method.preprocess.normalise(images[torch.from_numpy(places)]))
            for places in (episode.support, episode.query)
        )
        labels = torch.from_numpy(episode.support_labels)
        started = time.process_time()
        method.fuse(method.compare_encoded(query, support, labels))
        found.append(1e3 * (time.process_time() - started) / len(episode.query))
    return float(np.min(found))


def report(rows: list[dict[str, Any]], budget: Budget, place: Path) -> None:
    """Write the record, the tables and the plot."""
    record = {"budget": asdict(budget), "training": asdict(budget.training), "start": START.name, "rows": rows}
    write_whole(place.with_suffix(".json"), (json.dumps(record, indent=1) + "\n").encode())
    write_whole(place.with_suffix(".md"), (markdown(rows, budget) + "\n").encode())
    if any(row["method"].endswith(TRAINED) for row in rows):
        plot(rows, place.with_suffix(".png"))


def markdown(rows: list[dict[str, Any]], budget: Budget) -> str:
    """The rows as tables, the best first; intervals are 95% over episodes."""
    lines = [f"Made by `benchmarks/methods.py`. Training: {budget.steps} episodes from one pre-trained Conv-64F."]
    for data in dict.fromkeys(row["data"] for row in rows):
        mine = [row for row in rows if row["data"] == data]
        few, more = mine[0]["shots"]
        mine.sort(key=lambda row: -row["shots"][more]["accuracy"]["mean"])
        way = mine[0]["shots"][few]["way"]
        lines += ["", f"## {data}, {way}-way", ""]
        lines += [f"| method | training | {few}-shot | {more}-shot | published | ms a query | parameters | MB |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [_line(row, few, more) for row in mine]
    return "\n".join(lines)


def _line(row: dict[str, Any], few: str, more: str) -> str:
    name = row["method"] + (" (transductive)" if row["transductive"] else "")
    published = PUBLISHED.get(row["method"], "") if row["method"].endswith(TRAINED) else ""
    accuracies = [_percent(row["shots"][shot]["accuracy"]) for shot in (few, more)]
    cost = [f"{row['shots'][more]['ms_a_query']:.2f}", f"{row['parameters']:,}", f"{row['peak_memory_mb']:,.0f}"]
    return "| " + " | ".join([name, row.get("training", "none"), *accuracies, published, *cost]) + " |"


def _percent(accuracy: dict[str, float]) -> str:
    return with_interval(accuracy["mean"], accuracy["ci95"])


def plot(rows: list[dict[str, Any]], place: Path) -> None:
    """Accuracy with five photos a class against the time of a query."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for row in rows:
        if not row["method"].endswith(TRAINED):
            continue
        shot = row["shots"]["5"]
        x, y = shot["ms_a_query"], 100 * shot["accuracy"]["mean"]
        axes.errorbar(x, y, 100 * shot["accuracy"]["ci95"], fmt="o", markersize=4, color="tab:blue", alpha=0.8)
        axes.annotate(row["method"].removesuffix(TRAINED), (x, y), (4, 3), textcoords="offset points", fontsize=7)
    axes.set(xscale="log", xlabel="ms to compare a query, one 5-way 5-shot task", ylabel="5-shot accuracy, %")
    axes.grid(alpha=0.3)
    figure.savefig(place, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a data set with splits")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], help="folders of class folders")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--only", nargs="+", help="these methods")
    parser.add_argument("--device", default="cpu", help="where to train and evaluate")
    parser.add_argument("--report", type=Path, help="where to write .json, .md and .png")
    for name, value in asdict(Budget()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    given = parser.parse_args()
    budget = Budget(given.steps, given.episodes, given.photo_episodes, given.seed)
    pairs = [(name, given.data) for name in methods_of(TRAINED)] if given.data else []
    pairs += [(name, photos) for name in methods_of(FROZEN) if needs_no_training(name) for photos in given.photos]
    tasks = [
        Task(name, data, given.out, budget, given.device)
        for name, data in pairs
        if not given.only or name in given.only
    ]
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as processes:
        for task in tasks:
            if not task.file.is_file():
                print(f"{task.name} on {task.data.name}", flush=True)
                processes.submit(measure, task).result()
    rows = [json.loads(task.file.read_text()) for task in tasks]
    if given.report:
        report(rows, budget, given.report)
    print(markdown(rows, budget))


if __name__ == "__main__":
    main()
