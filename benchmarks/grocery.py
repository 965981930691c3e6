"""A domain the weights have not seen: all levels, each alone, and plain classifiers of pooled features, on groceries.

python benchmarks/grocery.py PHOTOS_DIR --json benchmarks/results/grocery.json

Few classes: episodes of five. All classes: repeated splits, as `triptych compare` makes them. Every contender answers
the same queries from one pass of the network; the difference of each to all levels is paired.
"""

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine

from triptych import load_method
from triptych.comparison.baselines import pooled
from triptych.comparison.collection import Collection, collect
from triptych.comparison.contest import FUSED, contest
from triptych.comparison.splits import SplitSampler
from triptych.evaluation import Accuracy, Episode, EpisodeSampler
from triptych.methods import Method, weights_hash
from triptych.reports.charts import contender_title
from triptych.similarity import searching
from triptych.system.environment import versions
from triptych.system.progress import track
from triptych.system.wording import with_interval

SHOTS = (1, 5)
PRECISIONS = {"32": torch.float32, "bf16-search": torch.bfloat16}


def accuracies(method: Method, collection: Collection, episodes: Iterable[Episode]) -> dict[str, np.ndarray]:
    """Contender -> accuracy on each episode."""
    vectors, found = pooled(collection.encoded.maps), {}
    for episode in episodes:
        for name, answers in contest(method, collection.encoded, vectors, episode).items():
            found.setdefault(name, []).append(float((answers == episode.query_labels).mean()))
    return {name: np.array(values) for name, values in found.items()}


def few_classes(method: Method, collection: Collection, way: int, episodes: int, queries: int) -> dict[str, Any]:
    """Shot -> contender -> mean, interval and paired difference over seeded episodes."""
    found = {}
    for shot in SHOTS:
        sampler = EpisodeSampler(collection.labels, way, shot, queries, 0, collection.classes)
        drawn = (sampler[number] for number in track(range(episodes), f"{way}-way {shot}-shot", total=episodes))
        values = accuracies(method, collection, drawn)
        found[str(shot)] = {
            name: {**asdict(Accuracy.over(own)), "difference": asdict(Accuracy.over(values[FUSED] - own))}
            for name, own in values.items()
        }
    return found


def all_classes(method: Method, collection: Collection, splits: int, queries: int) -> dict[str, Any]:
    """The same over random splits of all classes, with intervals that allow for the photos that splits share."""
    sampler = SplitSampler(collection.labels, SHOTS, queries)
    drawn = [sampler[number] for number in range(splits)]
    asked = len(drawn[0][SHOTS[0]].query) / len(collection)
    found = {}
    for shot in SHOTS:
        episodes = track([split[shot] for split in drawn], f"all classes, {shot}-shot", total=splits)
        values = accuracies(method, collection, episodes)
        found[str(shot)] = {
            name: {
                **asdict(Accuracy.over_splits(own, asked)),
                "difference": asdict(Accuracy.over_splits(values[FUSED] - own, asked)),
            }
            for name, own in values.items()
        }
    return found


def table(result: dict[str, Any]) -> str:
    """As markdown: accuracy, and in brackets by how much all levels are better."""
    tasks = [(way, shot) for way in result["accuracy"] for shot in result["accuracy"][way]]
    lines = [
        f"| | {' | '.join(f'{way}, {shot}-shot' for way, shot in tasks)} |",
        f"|---{'|---' * len(tasks)}|",
    ]
    for name in result["accuracy"][tasks[0][0]][tasks[0][1]]:
        cells = []
        for way, shot in tasks:
            figure = result["accuracy"][way][shot][name]
            gap = figure["difference"]
            cell = with_interval(figure["mean"], figure["ci95"], digits=1)
            cells.append(cell if name == FUSED else f"{cell} ({100 * gap['mean']:+.1f} ± {100 * gap['ci95']:.1f})")
        lines.append(f"| {contender_title(name)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("--method", default="mml-conv64f")
    parser.add_argument("--way", type=int, default=5)
    parser.add_argument("--episodes", type=int, default=600)
    parser.add_argument("--splits", type=int, default=30)
    parser.add_argument("--queries", type=int, nargs=2, default=[6, 2], help="of each class: in an episode, in a split")
    parser.add_argument("--precision", default="bf16-search", choices=list(PRECISIONS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    start = time.perf_counter()
    method = load_method(given.method)
    collection = collect(method, given.photos)
    with searching(PRECISIONS[given.precision]):
        few = few_classes(method, collection, given.way, given.episodes, given.queries[0])
        everything = all_classes(method, collection, given.splits, given.queries[1])
    result = {
        "accuracy": {f"{given.way}-way": few, f"{len(collection.classes)}-way": everything},
        "episodes": given.episodes,
        "splits": given.splits,
        "queries": given.queries,
        "seed": 0,
        "precision": given.precision,
        "photos": len(collection),
        "repeated": len(collection.repeated),
        "contested": len(collection.contested),
        "method": given.method,
        "weights_sha256": weights_hash(method),
        "data": given.photos.name,
        "data_fingerprint": collection.fingerprint,
        "seconds": round(time.perf_counter() - start, 1),
        "machine": machine(torch.device("cpu")),
        "versions": versions(("torch", "numpy", "scikit-learn")),
    }
    if given.json:
        given.json.write_text(json.dumps(result, indent=1) + "\n")
    print(table(result))


if __name__ == "__main__":
    main()
