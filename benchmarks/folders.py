"""Accuracy on folders of photos: the default beside plain classifiers of the same network, and each level left out.

python benchmarks/folders.py DATA_DIR --cache CACHE_DIR --json benchmarks/results/folders.json

DATA_DIR has the folders that CELLS names. Every contender learns from the same photos of a split and answers the same
others. What was encoded and measured is kept in CACHE_DIR, so that a run can be stopped and goes on; several runs may
share it if each has cells of its own. Empty it when the code has changed.
"""

import argparse
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine

from triptych import load_method
from triptych.comparison.baselines import BASELINES, pooled
from triptych.comparison.collection import Collection, collect
from triptych.comparison.contest import FUSED, contest, lacking
from triptych.comparison.splits import SplitSampler
from triptych.evaluation import Accuracy, Episode
from triptych.methods import Method, weights_hash
from triptych.system.environment import versions
from triptych.system.files import write_whole
from triptych.system.progress import track
from triptych.weights import DEFAULT

OTHERS = ("mml-conv64f", "mml-efficientnet-lite2")  # other networks, of which the fused answer alone is measured
RIVALS = (*BASELINES, "pixel")  # what the fused answer has to beat


@dataclass(frozen=True)
class Cell:
    """What is measured on a folder.

    Attributes:
        folder: its name.
        way: classes in a split, drawn anew for each; None for all.
        shots: photos of a class learnt from.
        queries: photos of a class asked about.
        splits: how many.
    """

    folder: str
    way: int | None
    shots: tuple[int, ...]
    queries: int
    splits: int


CELLS = {
    "signs": Cell("signs", None, (1, 2, 5, 10), 5, 30),
    "birds": Cell("birds", None, (1, 2, 4), 2, 20),
    "birds, 20 of 84": Cell("birds", 20, (1, 2, 4), 2, 40),
    "groceries": Cell("grocery", None, (1, 2, 5, 10), 2, 20),
    "groceries, 20 of 41": Cell("grocery", 20, (1, 2, 5, 10), 3, 20),
}


def split(labels: np.ndarray, cell: Cell, number: int) -> dict[int, Episode]:
    """Shot -> the episode of a split; where not all classes are in it, they are drawn anew for each."""
    rng = np.random.default_rng([1, number])
    chosen = np.sort(rng.permutation(labels.max() + 1)[: cell.way])
    photos = np.flatnonzero(np.isin(labels, chosen))
    episodes = SplitSampler(np.searchsorted(chosen, labels[photos]), cell.shots, cell.queries)[number]
    return {
        shot: Episode(photos[one.support], one.support_labels, photos[one.query], one.query_labels)
        for shot, one in episodes.items()
    }


def collected(method: Method, photos: Path, cache: Path) -> Collection:
    """The folder's photos, encoded once."""
    file = cache / f"{photos.name}-{weights_hash(method)[:12]}-{method.preprocess.side}.pt"
    if file.is_file():
        return torch.load(file, weights_only=False)  # a file that this script has written
    collection = collect(method, photos)
    part = file.with_suffix(".part")  # a run that is stopped leaves no half file
    torch.save(collection, part)
    part.replace(file)
    return collection


def measure(name: str, cell: Cell, data: Path, cache: Path, splits: int, rows: Path) -> dict[str, Any]:
    """What one method and its contenders score on each split, all of it kept in ``rows``."""
    found = json.loads(rows.read_text()) if rows.is_file() else {"rows": [], "asked": 0}
    missing = range(len(found["rows"]), splits)
    if not missing:
        return found
    method = load_method(name)
    collection = collected(method, data / cell.folder, cache)
    vectors = pooled(collection.encoded.maps)
    for number in track(missing, f"{cell.folder}, {name}", total=len(missing)):
        episodes = split(collection.labels, cell, number)
        row = {}
        for shot, episode in episodes.items():
            answers = contest(method, collection.encoded, vectors, episode, ablate=name == DEFAULT)
            kept = answers if name == DEFAULT else {FUSED: answers[FUSED]}
            for contender, own in kept.items():
                row[f"{shot}:{contender}"] = round(float((own == episode.query_labels).mean()), 5)
        found["rows"].append(row)
        found["asked"] = len(episodes[cell.shots[0]].query) / len(collection)
        names = "\n".join(Path(one).name for one in collection.names)
        found["photos"] = len(collection)
        found["names"] = hashlib.blake2b(names.encode(), digest_size=16).hexdigest()
        found["weights_sha256"], found["side"] = weights_hash(method), method.preprocess.side
        write_whole(rows, json.dumps(found).encode())
    return found


def figures(cell: Cell, measured: dict[str, Any]) -> dict[str, Any]:
    """Shot -> contender -> accuracy, and by how much the fused answer is better: paired, with both intervals."""
    default = measured[DEFAULT]
    asked, found = default["asked"], {}
    for shot in cell.shots:
        prefix = f"{shot}:"
        own = {
            key.removeprefix(prefix): np.array([row[key] for row in default["rows"]])
            for key in default["rows"][0]
            if key.startswith(prefix)
        }
        fused = own[FUSED]
        contenders = {name: _against(fused, values, asked) for name, values in own.items()}
        for other in OTHERS:
            values = np.array([row[prefix + FUSED] for row in measured[other]["rows"]])
            if len(values) > 1:
                contenders[other] = _against(fused[: len(values)], values, asked)
        best = max(RIVALS, key=lambda name: own[name].mean())
        found[str(shot)] = {"best rival": best, "contenders": contenders}
    return found


def _against(fused: np.ndarray, own: np.ndarray, asked: float) -> dict[str, Any]:
    gap = fused - own
    return {
        **asdict(Accuracy.over_splits(own, asked)),
        "splits": len(own),
        "difference": {**asdict(Accuracy.over_splits(gap, asked)), "of_these_photos": Accuracy.over(gap).ci95},
    }


def rivals_table(result: dict[str, Any]) -> str:
    """As markdown: the fused answer, what it has to beat, and the difference to the best of it."""
    heads = ("all levels", *RIVALS, "better than the best by", "of these photos", *OTHERS)
    lines = [f"| photos a class | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for name, cell in result["cells"].items():
        for shot, one in cell["shots"].items():
            contenders = one["contenders"]
            gap = contenders[one["best rival"]]["difference"]
            cells = [_percent(contenders[FUSED], interval=True), *(_percent(contenders[rival]) for rival in RIVALS)]
            cells += [_percent(gap, interval=True), f"± {100 * gap['of_these_photos']:.1f}"]
            cells += [_percent(contenders[other]) if other in contenders else "" for other in OTHERS]
            lines.append(f"| {name}: {shot} | {' | '.join(cells)} |")
    return "\n".join(lines)


def levels_table(result: dict[str, Any], levels: Sequence[str]) -> str:
    """As markdown: what leaving each level out costs, with the interval for these photos."""
    lines = [f"| photos a class | {' | '.join(levels)} |", f"|---{'|---' * len(levels)}|"]
    for name, cell in result["cells"].items():
        for shot, one in cell["shots"].items():
            gaps = [one["contenders"][lacking(level)]["difference"] for level in levels]
            costs = [f"{100 * gap['mean']:+.2f} ± {100 * gap['of_these_photos']:.2f}" for gap in gaps]
            lines.append(f"| {name}: {shot} | {' | '.join(costs)} |")
    return "\n".join(lines)


def _percent(figure: dict[str, float], interval: bool = False) -> str:
    return f"{100 * figure['mean']:.1f}" + (f" ± {100 * figure['ci95']:.1f}" if interval else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with the folders of CELLS")
    parser.add_argument("--cells", nargs="+", default=list(CELLS), choices=list(CELLS))
    parser.add_argument("--splits", type=int, default=100, help="of the default, no more than those of CELLS")
    parser.add_argument("--other-splits", type=int, default=10, help=f"of {' and '.join(OTHERS)}")
    parser.add_argument("--as-is", action="store_true", help="measure no more: the tables of what is in the cache")
    parser.add_argument("--cache", type=Path, required=True, help="what was encoded and measured is kept here")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    cells = {}
    for name in given.cells:
        cell, measured = CELLS[name], {}
        for method in (DEFAULT, *OTHERS):
            splits = min(cell.splits, given.splits if method == DEFAULT else given.other_splits)
            splits = 0 if given.as_is else splits
            rows = given.cache / f"{name.replace(' ', '-')}-{method}.json"
            measured[method] = measure(method, cell, given.data, given.cache, splits, rows)
        _check_same_photos(name, measured)
        cells[name] = {
            **asdict(cell),
            "splits": len(measured[DEFAULT]["rows"]),
            "shots": figures(cell, measured),
            "measured": measured,
        }
    result = {
        "intervals": "ci95: Accuracy.over_splits, which allows for the photos that splits share; of_these_photos: "
        "1.96 standard errors over the splits, as if this folder were all photos there are",
        "cells": cells,
        "machine": machine(torch.device("cpu")),
        "versions": versions(("torch", "numpy", "scikit-learn")),
    }
    if given.json:
        write_whole(given.json, (json.dumps(result) + "\n").encode())
    print(rivals_table(result), levels_table(result, load_method(DEFAULT).level_names), sep="\n\n")


def _check_same_photos(name: str, measured: dict[str, Any]) -> None:
    if len({one["names"] for one in measured.values() if one["rows"]}) > 1:
        raise ValueError(f"{name}: the methods were measured on different photos; empty the cache and run again")


if __name__ == "__main__":
    main()
