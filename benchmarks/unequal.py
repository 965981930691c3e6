"""Folders in which half of the classes have few photos and half have many, as those of users have.

    python benchmarks/unequal.py DATA_DIR --cache CACHE_DIR --json benchmarks/results/unequal.json

Of each split a random half of the classes has few photos. All classes are asked about alike. Beside the default stand
plain classifiers on the same network, logistic regression that weighs its photos so that classes count alike, and the
default without what puts the classes on a par (``mean_shrinkage``, ``pool_advantage``).
"""

import argparse
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from folders import collected
from machine import machine
from sklearn.linear_model import LogisticRegression

from triptych import load_method
from triptych.comparison.baselines import pooled, prepared
from triptych.comparison.collection import Collection
from triptych.comparison.contest import FUSED, contest
from triptych.evaluation import Accuracy, Episode
from triptych.methods import Method, SalientConfig, SalientMML, weights_hash
from triptych.system.environment import versions
from triptych.system.files import write_whole
from triptych.system.progress import track
from triptych.weights import DEFAULT

UNBALANCED, WEIGHED = "without balance", "logistic regression, weighed"
PARTS = ("all", "few", "many")


@dataclass(frozen=True)
class Cell:
    """What is measured on a folder.

    Attributes:
        folder: its name.
        few: photos learnt from, of a class of the one half.
        many: of the other half, or as many as it has beside the queries.
        queries: photos asked about, of each class.
        splits: how many.
    """

    folder: str
    few: int
    many: int
    queries: int
    splits: int


CELLS = [
    Cell("signs", 1, 10, 5, 30),
    Cell("signs", 2, 10, 5, 30),
    Cell("birds", 1, 4, 2, 5),
    Cell("birds", 2, 4, 2, 5),
    Cell("grocery", 1, 10, 2, 5),
    Cell("grocery", 2, 20, 2, 5),
]


def split(labels: np.ndarray, cell: Cell, number: int) -> tuple[Episode, np.ndarray]:
    """The episode of a split, and which of its queries are of a class of few photos."""
    rng = np.random.default_rng([7, number])
    way = labels.max() + 1
    small = set(rng.permutation(way)[: way // 2].tolist())
    support, query = [], []
    for label in range(way):
        photos = rng.permutation(np.flatnonzero(labels == label))
        query.append(photos[: cell.queries])
        support.append(photos[cell.queries :][: cell.few if label in small else cell.many])
    known, asked = np.concatenate(support), np.concatenate(query)
    truth = labels[asked]
    return Episode(known, labels[known], asked, truth), np.isin(truth, list(small))


def measure(cell: Cell, methods: dict[str, Method], collection: Collection) -> dict[str, Any]:
    """Contender -> accuracy over all queries, over those of small and over those of large classes."""
    vectors = pooled(collection.encoded.maps)
    rows: dict[str, list[tuple[float, ...]]] = {}
    for number in track(range(cell.splits), f"{cell.folder}, {cell.few} and {cell.many}", total=cell.splits):
        episode, small = split(collection.labels, cell, number)
        for name, own in answers(methods, collection, vectors, episode).items():
            right = own == episode.query_labels
            rows.setdefault(name, []).append((right.mean(), right[small].mean(), right[~small].mean()))
    asked = len(episode.query) / len(collection)
    default = np.array(rows[FUSED])
    return {
        name: {
            **{part: asdict(Accuracy.over_splits(values, asked)) for part, values in zip(PARTS, own.T, strict=True)},
            "default better by": asdict(Accuracy.over_splits((default - own)[:, 0], asked)),
        }
        for name, own in ((name, np.array(values)) for name, values in rows.items())
    }


def answers(
    methods: dict[str, Method], collection: Collection, vectors: np.ndarray, episode: Episode
) -> dict[str, np.ndarray]:
    """What each contender answers."""
    found = contest(methods[FUSED], collection.encoded, vectors, episode)
    found[UNBALANCED] = contest(methods[UNBALANCED], collection.encoded, vectors, episode)[FUSED]
    known, asked = prepared(vectors[episode.support], vectors[episode.query])
    weighed = LogisticRegression(C=10.0, class_weight="balanced", max_iter=10_000).fit(known, episode.support_labels)
    return {**found, WEIGHED: weighed.predict(asked)}


def table(cells: list[dict[str, Any]]) -> str:
    """As markdown, in %: all queries (of small / of large classes)."""
    names = list(cells[0]["contenders"])
    lines = [f"| | {' | '.join(names)} |", f"|---{'|---' * len(names)}|"]
    for cell in cells:
        found = []
        for name in names:
            whole, small, large = (100 * cell["contenders"][name][part]["mean"] for part in PARTS)
            found.append(
                f"{whole:.1f} ± {100 * cell['contenders'][name]['all']['ci95']:.1f} ({small:.0f} / {large:.0f})"
            )
        lines.append(f"| {cell['folder']}, {cell['few']} and {cell['many']} photos | {' | '.join(found)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a folder with the folders of CELLS")
    parser.add_argument("--splits", type=int, help="in place of those of CELLS")
    parser.add_argument("--cache", type=Path, required=True, help="encoded photos are kept here")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.cache.mkdir(parents=True, exist_ok=True)
    method = load_method(DEFAULT)
    assert isinstance(method, SalientMML)
    assert isinstance(method.config, SalientConfig)
    plain = SalientMML(replace(method.config, prior_photos=0, pool_gain=0), method.backbone).eval()
    found = []
    for cell in CELLS:
        cell = cell if given.splits is None else replace(cell, splits=given.splits)
        collection = collected(method, given.data / cell.folder, given.cache)
        found.append({**asdict(cell), "contenders": measure(cell, {FUSED: method, UNBALANCED: plain}, collection)})
        result = {
            "intervals": "ci95: Accuracy.over_splits, which allows for the photos that splits share",
            "weights_sha256": weights_hash(method),
            "cells": found,
            "machine": machine(torch.device("cpu")),
            "versions": versions(("torch", "numpy", "scikit-learn")),
        }
        if given.json:
            write_whole(given.json, (json.dumps(result) + "\n").encode())
    print(table(found))


if __name__ == "__main__":
    main()
