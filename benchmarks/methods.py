"""Every method under one budget: trained on miniImageNet from the same start, and frozen on folders of photos.

    python benchmarks/methods.py DATA --photos FOLDER [FOLDER ...]
    python benchmarks/methods.py DATA --photos FOLDER [FOLDER ...] --costs --no-rows --report benchmarks/results/methods

DATA trains each method with a Conv-64F backbone from one pre-trained network, ``START``, and evaluates all on the same
episodes of the test split. A method that looks at P crops of a photo gets 1/P of the episodes, so that every network
sees as many images. Methods whose papers train no episodes are taken as they are over that network; those that subtract
the mean of the training classes learn it first. On a folder of photos the network is EfficientNet-Lite0, frozen, and
methods that have to be trained are left out.
A row is measured in a process of its own, kept in --out, and not measured again while the method's configuration is the
same: the same command goes on where it was stopped. Rows may come from several machines; each says which.
``--begin benchmarks/results/methods.json`` goes on from a record of the same budget: a method of your own then stands
beside those that are there.

``--costs`` measures time and memory of all methods in one run on this machine: they do not depend on the weights, so
nothing is trained, nor on the folder of photos, so the first one is taken. ``--report NAME`` writes NAME.json, NAME.md
and NAME.png of the rows that are there, and ``--page docs/methods.md`` their figures into that table.
"""

import argparse
import json
import resource
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from methods_table import report, table
from methods_task import CENTRED, FROZEN, TRAINED, TUNED, Budget, Task
from tqdm import tqdm

from triptych import load_method
from triptych.backbones import pretrained_efficientnet_lite
from triptych.data import ImageStore, open_store
from triptych.evaluation import Accuracy, Episode, EpisodeSampler, evaluate_store
from triptych.methods import METHODS, WEIGHTS, Method, build_method, encode_images, weights_hash
from triptych.methods.encoding import crops_an_image
from triptych.system.files import write_whole
from triptych.system.memory import keep_freed_memory
from triptych.training import Preset, learn_closed_form, train

START = Path(__file__).parent / "checkpoints" / "conv64f-pretrain-42.safetensors"
_CENTRED_BY = 100  # images of each training class, and their mirror images
NO_EPISODES = {f"{name}{TRAINED}" for name in ("simpleshot", "baseline++", "logistic", "laplacianshot")}


def methods_of(backbone: str) -> list[str]:
    """The registered methods over a backbone, fast ones first: those that look at crops take ten times as long."""
    names = [name for name in METHODS if name.endswith(backbone)]
    return sorted(names, key=lambda name: crops_an_image(build_method(name)))


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
        "config": method.config.to_dict(),
        "weights_sha256": weights_hash(method),
        "machine": machine(torch.device(task.device)),
    }
    task.file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(task.file, (json.dumps(row, indent=1) + "\n").encode())


def trained(task: Task) -> tuple[Method, dict[str, Any]]:
    """A method after the budget's episodes, and what they took."""
    if task.name in TUNED:
        return at_start(task.name), {"training": "weights as shipped"}
    if task.name in CENTRED:
        return centred(task), {"training": "none beyond the start", "centred": True}
    if task.name in NO_EPISODES:
        return at_start(task.name), {"training": "none beyond the start"}
    settings = replace(task.budget.training(crops_an_image(build_method(task.name))), device=task.device)
    best = train(task.data, task.run, task.name, Preset(None, settings), START, resume=True, keep_fusion=False)
    return load_method(best), {"training": f"{settings.steps} steps"}


def at_start(name: str) -> Method:
    """A method over the pre-trained network, or with the weights that are shipped."""
    return load_method(name) if name in TUNED else build_method(name, load_method(START).backbone).eval()


def centred(task: Task) -> Method:
    """A method over the pre-trained network, with the mean of the training classes."""
    method = at_start(task.name)
    store = open_store(task.data, "train", method.preprocess)
    return learn_closed_form(method.to(task.device), store.to(task.device), _CENTRED_BY)


def frozen(name: str) -> Method:
    """A method over the network of an installed package."""
    return build_method(name, pretrained_efficientnet_lite(classifies=False)).eval()


def sampler_of(task: Task, shot: int, store: ImageStore) -> EpisodeSampler:
    """The episodes on which every method is asked."""
    way, queries = (min(10, len(store.classes)), 1) if task.photos else (5, 15)
    return EpisodeSampler(store.labels, way, shot, queries, task.budget.seed, store.classes)


def shots(method: Method, task: Task) -> dict[str, Any]:
    """Accuracy at each number of photos a class; images are encoded once for all."""
    store = open_store(task.data, "test", method.preprocess)
    count = task.budget.photo_episodes if task.photos else task.budget.episodes
    samplers = [sampler_of(task, shot, store) for shot in task.shots]
    episodes = [sampler[number] for sampler in samplers for number in range(count)]
    found = evaluate_store(method.to(task.device), store.to(task.device), episodes, len(episodes))
    accuracies = np.split(found[" + ".join(method.level_names)], len(samplers))
    return {
        str(sampler.shot): {
            "accuracy": asdict(Accuracy.over(one)),
            "episodes": count,
            "way": sampler.way,
            "queries": sampler.queries,
        }
        for sampler, one in zip(samplers, accuracies, strict=True)
    }


def costs(task: Task, episodes: Sequence[tuple[torch.Tensor, Episode]]) -> dict[str, float]:
    """Processor time and memory of the quickest of some episodes, in a process of its own, on one thread.

    From photos to answers, and of that the comparison alone, for each query. ``episodes`` come with their photos.
    """
    torch.set_num_threads(1)
    method = frozen(task.name) if task.photos else at_start(task.name)
    with torch.inference_mode():
        whole, compared = zip(*(seconds(method, *one) for one in episodes), strict=True)
    return {
        "s_an_episode": min(whole),
        "ms_a_query": 1e3 * min(compared) / len(episodes[0][1].query),
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def seconds(method: Method, pixels: torch.Tensor, episode: Episode) -> tuple[float, float]:
    """Of the processor: an episode from photos to answers, and the comparison alone."""
    labels = torch.from_numpy(episode.support_labels)
    started = time.process_time()
    encoded = encode_images(method, pixels)
    support, query = encoded.split([len(episode.support), len(episode.query)])
    then = time.process_time()
    method.fuse(method.compare_encoded(query, support, labels))
    ended = time.process_time()
    return ended - started, ended - then


def all_costs(tasks: Sequence[Task], file: Path) -> None:
    """Measure the costs of all methods, one after the other on this machine, and keep them."""
    stores = {(task.data, task.preprocess): open_store(task.data, "test", task.preprocess) for task in tasks}
    found = {}
    with one_process_each() as processes:
        for task in tqdm(tasks, "costs"):
            store = stores[task.data, task.preprocess]
            sampler = sampler_of(task, task.shots[-1], store)
            episodes = [(store[sampler[number].images], sampler[number]) for number in range(2)]
            found[task.file.stem] = processes.submit(costs, task, episodes).result()
    measured_on = {**machine(torch.device("cpu")), "threads": 1}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, (json.dumps({"machine": measured_on, "methods": found}, indent=1) + "\n").encode())


def all_rows(tasks: Sequence[Task]) -> None:
    """Measure the rows that are not there."""
    with one_process_each() as processes:
        for task in tasks:
            if task.row() is None:
                print(f"{task.name} on {task.data.name}", flush=True)
                processes.submit(measure, task).result()


def begin(record: Path, out: Path, budget: Budget) -> None:
    """Keep the rows and the costs of a record as if they had been measured here, where there are none yet."""
    held = json.loads(record.read_text(encoding="utf-8"))
    if held["budget"] != asdict(budget):
        raise SystemExit(f"{record}: another budget, {held['budget']}; expected {asdict(budget)}")
    files = {Path("rows") / f"{row['method']} on {row['data']}.json": row for row in held["rows"]}
    for name, content in {**files, Path("costs.json"): held["costs"]}.items():
        if not (out / name).exists():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            write_whole(out / name, (json.dumps(content, indent=1) + "\n").encode())


def one_process_each() -> ProcessPoolExecutor:
    """Tasks one after the other, each in a fresh process, whose peak of memory is its own."""
    return ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="a data set with splits")
    parser.add_argument("--photos", type=Path, nargs="+", default=[], help="folders of class folders")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--begin", type=Path, help="a record whose rows count as measured")
    parser.add_argument("--only", nargs="+", help="these methods")
    parser.add_argument("--device", default="cpu", help="where to train and evaluate")
    parser.add_argument("--costs", action="store_true", help="measure time and memory of all methods, on this machine")
    parser.add_argument("--no-rows", action="store_true", help="measure no accuracy; report the rows that are there")
    parser.add_argument("--report", type=Path, help="where to write .json, .md and .png")
    parser.add_argument("--page", type=Path, help="with --report: the page whose column of figures to fill")
    for name, value in asdict(Budget()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    given = parser.parse_args()
    budget = Budget(given.steps, given.episodes, given.photo_episodes, given.seed)
    pairs = [(name, given.data) for name in methods_of(TRAINED)] if given.data else []
    pairs += [(name, photos) for name in methods_of(FROZEN) if name in WEIGHTS for photos in given.photos]
    if unknown := sorted(set(given.only or ()) - set(METHODS)):
        parser.error(f"unknown methods {', '.join(unknown)}; triptych methods lists those there are")
    tasks = [
        Task(name, data, given.out, budget, given.device)
        for name, data in pairs
        if not given.only or name in given.only
    ]
    if given.begin:
        begin(given.begin, given.out, budget)
    if given.costs:
        first = (given.data, *given.photos[:1])
        all_costs([task for task in tasks if task.data in first], given.out / "costs.json")
    if not given.no_rows:
        all_rows(tasks)
    rows = [row for task in tasks if (row := task.row()) is not None]
    kept = given.out / "costs.json"
    record = {
        "budget": asdict(budget),
        "training": asdict(budget.training(crops=1)),
        "start": START.name,
        "costs": json.loads(kept.read_text()) if kept.is_file() else {"machine": None, "methods": {}},
        "rows": rows,
    }
    if given.report:
        report(record, given.report, given.page)
    print(table(record))


if __name__ == "__main__":
    main()
