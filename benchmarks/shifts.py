"""Accuracy, probabilities, sets and unknowns on clean photos and on spoilt ones, on folders of photos.

python benchmarks/shifts.py PHOTOS_DIR... --json benchmarks/results/shifts.json

All classes of a folder are learnt from clean photos, or ``--classes`` of them drawn anew for each seed. Other photos
are asked about as they are and spoilt: saved as JPEG at quality 5; blurred by a Gaussian of 2% of the short side; a
quarter as bright; turned by 30 degrees, black corners and all. For unknowns half of these classes are known.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from photo_sets import SHIFTS, Draw, Photos, draw, knows, read_folder
from unknown import FALSE_ALARM, figures

from triptych import load_method
from triptych.evaluation import Accuracy
from triptych.methods import weights_hash
from triptych.recognizer.calibration import Learnt as Knows
from triptych.recognizer.sets import masses_above, prediction_sets, set_threshold
from triptych.recognizer.temperature import calibration_error, usual_temperature
from triptych.recognizer.unknowns import known_features, known_score
from triptych.system.environment import versions
from triptych.system.files import write_whole
from triptych.system.progress import track

COVERAGES = (0.8, 0.9, 0.95)
Forecast = tuple[np.ndarray, np.ndarray]  # probabilities, true classes


@torch.no_grad()
def recognition(photos: Photos, drawn: Draw, own: Knows, kind: str) -> tuple[dict[str, float], Forecast]:
    """Accuracy, coverage and size of sets on one split, and the probabilities."""
    method, calibration = photos.scores.method, own.calibration
    levels = photos.scores.levels(drawn.learnt, drawn.known, kind)
    temperature = usual_temperature(method) if calibration is None else calibration.temperature
    probabilities = (own.fusion(levels).double() / temperature).softmax(1).numpy()
    found = {"accuracy": float((probabilities.argmax(1) == drawn.truth).mean())}
    if calibration is not None:
        logits = own.fusion(own.left_out.levels).double() / calibration.left_out_temperature
        masses = masses_above(logits.softmax(1).numpy())[np.arange(len(logits)), own.left_out.truth.numpy()]
        for coverage in COVERAGES:
            sets = prediction_sets(probabilities, set_threshold(masses, coverage))
            held = [true in one for true, one in zip(drawn.truth.tolist(), sets, strict=True)]
            found[f"coverage {coverage}"] = float(np.mean(held))
            found[f"size {coverage}"] = float(np.mean([len(one) for one in sets]))
    return found, (probabilities, drawn.truth)


@torch.no_grad()
def unknowns(photos: Photos, drawn: Draw, own: Knows, kind: str) -> dict[str, float]:
    """How well unknown photos are told from known ones, all of them spoilt in the same way, on one split."""
    assert own.calibration is not None
    method, known = photos.scores.method, len(drawn.known)
    levels = photos.scores.levels(drawn.learnt, np.concatenate([drawn.known, drawn.unknown]), kind)
    features = known_features(own.fusion.contributions(levels), method.absolute_levels)
    score = known_score(features, torch.tensor(own.calibration.known_weights, dtype=torch.float64)).numpy()
    least = own.calibration.threshold(FALSE_ALARM)
    return {
        **figures(score, known),
        "own_false_alarm": float((score[:known] < least).mean()),
        "own_false_accept": float((score[known:] >= least).mean()),
    }


def measure(photos: Photos, shot: int, seeds: int, classes: int | None) -> dict[str, Any]:
    """kind -> figure -> mean and interval, at one number of photos."""
    total = classes or int(photos.labels.max()) + 1
    kinds = tuple(photos.scores.nearest)
    rows: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    forecasts: dict[str, list[Forecast]] = {kind: [] for kind in kinds}
    strange: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    asked = []
    for seed in track(range(seeds), f"{photos.name}, {shot}", total=seeds):
        every = draw(photos.labels, seed, shot, min(total, int((np.bincount(photos.labels) > shot).sum())))
        own = knows(photos, every.learnt)
        asked.append(len(every.known) / len(photos.labels))
        for kind in kinds:
            found, forecast = recognition(photos, every, own, kind)
            rows[kind].append(found)
            forecasts[kind].append(forecast)
        if len(kinds) > 1:
            half = draw(photos.labels, seed, shot, total // 2, total - total // 2)
            own = knows(photos, half.learnt)
            for kind in kinds:
                strange[kind].append(unknowns(photos, half, own, kind))
    return {
        kind: {
            **_over(rows[kind], float(np.mean(asked))),
            "ece": {"mean": _error(forecasts[kind])},
            **(_over(strange[kind], float(np.mean(asked))) if strange[kind] else {}),
        }
        for kind in kinds
    }


def _over(rows: list[dict[str, float]], asked: float) -> dict[str, Any]:
    return {name: asdict(Accuracy.over_splits(np.array([row[name] for row in rows]), asked)) for name in rows[0]}


def _error(forecasts: list[Forecast]) -> float:
    """Of all splits together: of a single one's photos it is mostly chance, and chance only adds to it."""
    probabilities, truth = (np.concatenate(part) for part in zip(*forecasts, strict=True))
    return calibration_error(probabilities, truth)


def table(results: dict[str, Any]) -> str:
    """As markdown, in % but for sizes."""
    names = ["accuracy", "ece", *(f"{what} {one}" for one in COVERAGES for what in ("coverage", "size"))]
    names += ["auroc", "own_false_alarm", "own_false_accept"]
    lines = [f"| photos | | {' | '.join(names)} |", f"|---|---{'|---' * len(names)}|"]
    for folder, shots in results.items():
        for shot, kinds in shots.items():
            for kind, found in kinds.items():
                cells = " | ".join(_cell(name, found.get(name)) for name in names)
                lines.append(f"| {folder}, {shot} | {kind} | {cells} |")
    return "\n".join(lines)


def _cell(name: str, figure: dict[str, float] | None) -> str:
    if figure is None:
        return ""
    factor, digits = (1, 2) if name.startswith("size") else (100, 1)
    half = f" ± {factor * figure['ci95']:.{digits}f}" if "ci95" in figure else ""
    return f"{factor * figure['mean']:.{digits}f}{half}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="folders of class folders")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 5, 10])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--classes", type=int, help="drawn of each folder; by default all")
    parser.add_argument("--most", type=int, default=20, help="photos of a class that are drawn from")
    parser.add_argument("--clean", action="store_true", help="ask about photos as they are alone")
    parser.add_argument("--cache", type=Path, help="a folder that keeps encoded photos")
    parser.add_argument("--json", type=Path, help="other results in it are kept")
    given = parser.parse_args()
    start = time.perf_counter()
    method = load_method("mml-efficientnet-lite0")
    result = json.loads(given.json.read_text()) if given.json and given.json.exists() else {"clean": {}, "spoilt": {}}
    result |= {
        "false_alarm": FALSE_ALARM,
        "seeds": given.seeds,
        "weights_sha256": weights_hash(method),
        "machine": machine(torch.device("cpu")),
        "versions": versions(("torch", "numpy")),
    }
    part = result["clean" if given.clean else "spoilt"]
    for folder in given.photos:
        photos = read_folder(method, folder, () if given.clean else tuple(SHIFTS), given.most, given.cache)
        name = folder.name if given.classes is None else f"{folder.name}, {given.classes} classes"
        result.setdefault("data", {})[folder.name] = photos.fingerprint
        for shot in given.shots:
            part.setdefault(name, {})[str(shot)] = measure(photos, shot, given.seeds, given.classes)
            result["seconds"] = round(time.perf_counter() - start, 1)
            if given.json:
                write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    print(table(part))


if __name__ == "__main__":
    main()
