"""Calibration and "none of these": 30 known and 11 unknown classes of a folder, drawn anew for each seed.

python benchmarks/unknown.py PHOTOS_DIR --json benchmarks/results/unknown-grocery.json

The recogniser is fitted on 5 and on 10 photos of each known class and asked about other photos of them and about the
unknown classes. Beside it: the nearest class mean and the nearest neighbour on the pooled features of the same maps,
their distance as the measure of how known a photo is, their threshold from leaving each photo out by the same rule.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
from machine import machine
from sklearn.metrics import pairwise_distances, roc_auc_score

from triptych import Recognizer, load_method
from triptych.comparison.baselines import pooled, prepared
from triptych.data import Photo, list_folder, read_photos
from triptych.evaluation import Accuracy, versions
from triptych.methods import Method, weights_hash
from triptych.recognizer.calibration import Calibration, calibration_error, known_score
from triptych.support import encode
from triptych.system.files import write_whole
from triptych.system.progress import track

FALSE_ALARM = 0.05
Draw = tuple[list[str], np.ndarray, list[str], np.ndarray, list[str]]


def draw(folder: Path, seed: int, shot: int, known: int, asked: int, strange: int) -> Draw:
    """(support, its classes, known queries, their classes, unknown queries); classes are 0..known-1."""
    listing = list_folder(folder)
    rng = np.random.default_rng([seed, shot])
    classes = rng.permutation(len(listing.classes))
    members = [rng.permutation(np.flatnonzero(listing.labels == n)) for n in classes]
    if len(classes) <= known or min(map(len, members[:known])) <= shot:
        raise ValueError(f"{folder}: expected more than {known} classes of more than {shot} photos each")
    support = [mine[:shot] for mine in members[:known]]
    queries = [mine[shot : shot + asked] for mine in members[:known]]
    others = [mine[:strange] for mine in members[known:]]

    def paths(groups: list[np.ndarray]) -> list[str]:
        return [str(listing.sources[i]) for group in groups for i in group]

    labels, truth = (np.repeat(np.arange(known), list(map(len, groups))) for groups in (support, queries))
    return paths(support), labels, paths(queries), truth, paths(others)


@torch.no_grad()
def recogniser(
    recognizer: Recognizer, known: list[str], truth: np.ndarray, others: list[str]
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """Figures of a fitted recogniser, and its probabilities for the known photos before and after calibration."""
    levels = {name: torch.from_numpy(one) for name, one in recognizer.levels(known + others).items()}
    logits = recognizer.fusion_(levels).double()
    own, calibration = logits[: len(known)], recognizer.calibration_
    assert calibration is not None
    before, after = ((own / divisor).softmax(1).numpy() for divisor in (1.0, calibration.temperature))
    figures = {
        "accuracy": float((before.argmax(1) == truth).mean()),
        **unknown_figures(known_score(logits).numpy(), len(known), calibration.threshold(FALSE_ALARM)),
        "confidence_before": float(before.max(1).mean()),
        "confidence_after": float(after.max(1).mean()),
        "temperature": calibration.temperature,
    }
    return figures, {"before": before, "after": after, "truth": truth}


def unknown_figures(score: np.ndarray, known: int, threshold: float) -> dict[str, float]:
    """Of a measure of how known photos are, the first ``known`` of which are of known classes."""
    return {
        "auroc": float(roc_auc_score(np.arange(len(score)) < known, score)),
        "false_reject": float((score[:known] < threshold).mean()),
        "false_accept": float((score[known:] >= threshold).mean()),
    }


def baselines(
    recognizer: Recognizer,
    support: list[str],
    labels: np.ndarray,
    known: list[str],
    truth: np.ndarray,
    others: list[str],
) -> dict[str, dict[str, float]]:
    """Figures of nearest class mean and nearest neighbour; their known score is minus the distance to the nearest."""
    vectors = vectors_of(recognizer, support + known + others)
    learnt, asked = prepared(vectors[: len(support)], vectors[len(support) :])
    to_photos, among = pairwise_distances(asked, learnt), pairwise_distances(learnt)
    np.fill_diagonal(among, np.inf)
    means = np.stack([learnt[labels == n].mean(axis=0) for n in range(labels.max() + 1)])
    to_means, left_out = pairwise_distances(asked, means), pairwise_distances(learnt, means)
    for i, label in enumerate(labels):
        rest = learnt[(labels == label) & (np.arange(len(labels)) != i)].mean(axis=0)
        left_out[i, label] = np.linalg.norm(learnt[i] - rest)
    found = {}
    for name, distances, own, answers in (
        ("class mean", to_means, left_out, to_means.argmin(1)),
        ("nearest neighbour", to_photos, among, labels[to_photos.argmin(1)]),
    ):
        scores = tuple(sorted((-own.min(axis=1)).tolist()))
        threshold = Calibration(1.0, scores, 0.0, 0.0, 0.0).threshold(FALSE_ALARM)
        accuracy = float((answers[: len(known)] == truth).mean())
        found[name] = {"accuracy": accuracy, **unknown_figures(-distances.min(axis=1), len(known), threshold)}
    return found


@torch.no_grad()
def vectors_of(recognizer: Recognizer, photos: list[str]) -> np.ndarray:
    method = recognizer.method_
    read = [photo for photo in read_photos(photos, method.preprocess) if isinstance(photo, Photo)]
    if len(read) < len(photos):
        raise ValueError("some photos cannot be read; remove them first")
    return np.concatenate([pooled(encode(method, photo.pixels[None]).maps) for photo in read])


def measure(method: Method, draws: Draw) -> tuple[dict[str, dict[str, float]], dict[str, np.ndarray]]:
    """The figures of every contender on one draw, and the recogniser's probabilities."""
    support, labels, queries, truth, others = draws
    recognizer = Recognizer(method, thumbnails=False).fit(support, labels)
    figures, forecast = recogniser(recognizer, queries, truth, others)
    return {"recogniser": figures, **baselines(recognizer, support, labels, queries, truth, others)}, forecast


def over_draws(values: list[float], asked: float) -> dict[str, float]:
    """Mean and 95% interval over draws that share photos, of which each asks about a share; no interval of one draw."""
    if len(values) < 2:
        return {"mean": values[0]}
    return asdict(Accuracy.over_splits(np.array(values), asked))


def summary(rows: list[dict[str, Any]], forecasts: list[dict[str, np.ndarray]], photos: int) -> dict[str, Any]:
    """shot -> contender -> figure -> mean and 95% interval over the seeds, which draw from so many photos.

    The calibration error is that of all seeds together, without an interval: of a single seed's photos it is mostly
    chance, and chance only adds to it.
    """
    found: dict[str, Any] = {}
    for shot in sorted({row["shot"] for row in rows}):
        mine = [i for i, row in enumerate(rows) if row["shot"] == shot]
        figures = [rows[i]["figures"] for i in mine]
        asked = (rows[mine[0]]["known"] + rows[mine[0]]["unknown"]) / photos
        found[str(shot)] = {
            name: {figure: over_draws([one[name][figure] for one in figures], asked) for figure in figures[0][name]}
            for name in figures[0]
        }
        before, after, truth = (
            np.concatenate([forecasts[i][key] for i in mine]) for key in ("before", "after", "truth")
        )
        found[str(shot)]["recogniser"]["ece_before"] = {"mean": calibration_error(before, truth)}
        found[str(shot)]["recogniser"]["ece_after"] = {"mean": calibration_error(after, truth)}
    return found


def table(found: dict[str, Any]) -> str:
    """As markdown."""
    columns = ("accuracy", "auroc", "false_reject", "false_accept", "ece_before", "ece_after")
    lines = [
        "| photos | | accuracy | AUROC | known called unknown | unknown taken for known | ECE before | ECE after |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for shot, contenders in found.items():
        for name, figures in contenders.items():
            cells = " | ".join(_cell(figures.get(column)) for column in columns)
            lines.append(f"| {shot} | {name} | {cells} |")
    return "\n".join(lines)


def _cell(figure: dict[str, float] | None) -> str:
    if figure is None:
        return ""
    return f"{100 * figure['mean']:.1f}" + (f" ± {100 * figure['ci95']:.1f}" if "ci95" in figure else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("--method", default="mml-conv64f")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--known", type=int, default=30, help="classes; the others are unknown")
    parser.add_argument("--asked", type=int, default=5, help="photos of each known class")
    parser.add_argument("--strange", type=int, default=10, help="photos of each unknown class")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    start = time.perf_counter()
    method, rows, forecasts = load_method(given.method), [], []
    about = {
        "false_alarm": FALSE_ALARM,
        "method": given.method,
        "weights_sha256": weights_hash(method),
        "data": given.photos.name,
        "photos": len((listing := list_folder(given.photos)).labels),
        "data_fingerprint": listing.fingerprint(),
        "machine": machine(torch.device("cpu")),
        "versions": {**versions(), "scikit-learn": sklearn.__version__},
    }
    for seed in track(range(given.seeds), "seeds", total=given.seeds):
        for shot in given.shots:
            drawn = draw(given.photos, seed, shot, given.known, given.asked, given.strange)
            figures, forecast = measure(method, drawn)
            rows.append(
                {"seed": seed, "shot": shot, "known": len(drawn[2]), "unknown": len(drawn[4]), "figures": figures}
            )
            forecasts.append(forecast)
        seconds = round(time.perf_counter() - start, 1)
        result = {
            "summary": summary(rows, forecasts, about["photos"]),
            "rows": rows,
            "seeds": seed + 1,
            **about,
            "seconds": seconds,
        }
        if given.json:  # after every seed, as a run takes long
            write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    print(table(result["summary"]))


if __name__ == "__main__":
    main()
