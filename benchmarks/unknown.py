"""None of these: how well scores tell photos of known classes from photos of others, on folders of photos.

python benchmarks/unknown.py PHOTOS_DIR... --json benchmarks/results/unknown.json

Of each folder half of the classes are known, drawn anew for each seed; ``--classes 20`` draws so many classes first.
All scores read the same network and the same photos. The threshold of each is taken from the known photos asked about,
so that 5 of 100 fall below it; of the recogniser's own also the threshold that it finds by leaving photos out.
"""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from photo_sets import Draw, Photos, draw, knows, read_folder
from scipy.special import logsumexp
from sklearn.metrics import roc_auc_score

from triptych import load_method
from triptych.evaluation import Accuracy
from triptych.methods import weights_hash
from triptych.recognizer.calibration import Learnt as Knows
from triptych.recognizer.temperature import usual_temperature
from triptych.recognizer.unknowns import known_features, known_score, usual_known_weights
from triptych.system.environment import versions
from triptych.system.files import write_whole
from triptych.system.progress import track
from triptych.system.wording import with_interval

FALSE_ALARM = 0.05
OWN, USUAL, MARGIN = "recogniser", "recogniser, usual weights", "best logit less the next five"


@torch.no_grad()
def scores(photos: Photos, drawn: Draw, own: Knows) -> dict[str, np.ndarray]:
    """How known each photo is, by every score; first the photos of known classes."""
    asked, method = np.concatenate([drawn.known, drawn.unknown]), photos.scores.method
    levels = photos.scores.levels(drawn.learnt, asked)
    parts, absolute = own.fusion.contributions(levels), method.absolute_levels
    logits = own.fusion(levels).double().numpy()
    calibration = own.calibration
    temperature = usual_temperature(method) if calibration is None else calibration.temperature
    features, usual = known_features(parts, absolute), usual_known_weights(len(parts), len(absolute))
    weights = usual if calibration is None else torch.tensor(calibration.known_weights, dtype=torch.float64)
    margin_only = usual_known_weights(len(parts), 0)
    found = {
        OWN: known_score(features, weights),
        USUAL: known_score(features, usual),
        MARGIN: known_score(features[:, : len(parts)], margin_only),
        "maximum logit": logits.max(1),
        "maximum softmax": logits.max(1) - temperature * logsumexp(logits / temperature, axis=1),
        "energy": temperature * logsumexp(logits / temperature, axis=1),
    }
    for level in parts:
        one = known_features({level: torch.as_tensor(levels[level])}, [level]).numpy()
        found[f"{level}: maximum"], found[f"{level}: best less the next five"] = one[:, 1], one[:, 0]
    return {name: np.asarray(one) for name, one in {**found, **published(photos, drawn, asked, logits)}.items()}


def published(photos: Photos, drawn: Draw, asked: np.ndarray, logits: np.ndarray) -> dict[str, np.ndarray]:
    """Published scores on the vectors of the global level.

    Maximum cosine; the distance to the k-th nearest photo (Sun et al., ICML 2022); Mahalanobis (Lee et al., NeurIPS
    2018) and relative Mahalanobis (Ren et al., 2021); ViM (Wang et al., CVPR 2022), whose scale is taken from the
    logits of the photos asked about, which favours it.
    """
    analysis = photos.scores.analysis("global", drawn.learnt, asked)
    nearest = np.sort(analysis.asked, axis=1)[:, ::-1]
    energy, residual = logsumexp(logits, axis=1), analysis.residual
    among = photos.scores.analysis("global", drawn.learnt, drawn.learnt.photos)
    scale = logits.max(1).mean() / max(among.residual.mean(), 1e-6)
    return {
        "maximum cosine to a class mean": analysis.cosines.max(1),
        "nearest photo": nearest[:, 0],
        "third nearest photo": nearest[:, 2],
        "Mahalanobis": -analysis.distances.min(1),
        "relative Mahalanobis": analysis.background - analysis.distances.min(1),
        "ViM": energy - scale * residual,
    }


def figures(score: np.ndarray, known: int) -> dict[str, float]:
    """AUROC, and the share of unknown photos taken for known where 5 in 100 known ones are called unknown."""
    least = np.quantile(score[:known], FALSE_ALARM)
    auroc = roc_auc_score(np.arange(len(score)) < known, score)
    return {"auroc": float(auroc), "false_accept": float((score[known:] >= least).mean())}


def measure(photos: Photos, drawn: Draw) -> dict[str, dict[str, float]]:
    """The figures of every score on one draw."""
    own = knows(photos, drawn.learnt)
    known = len(drawn.known)
    values = scores(photos, drawn, own)
    found = {name: figures(one, known) for name, one in values.items()}
    if own.calibration is not None:
        least = own.calibration.threshold(FALSE_ALARM)
        found[OWN]["own_false_alarm"] = float((values[OWN][:known] < least).mean())
        found[OWN]["own_false_accept"] = float((values[OWN][known:] >= least).mean())
    for one in found.values():
        one["auroc_gain"] = one["auroc"] - found[MARGIN]["auroc"]
    return found


def summary(draws: list[dict[str, dict[str, float]]], asked: float) -> dict[str, dict[str, dict[str, float]]]:
    """score -> figure -> mean and 95% interval over draws that share photos, each of which asks about a share."""
    return {
        name: {
            figure: asdict(Accuracy.over_splits(np.array([one[name][figure] for one in draws]), asked))
            for figure in draws[0][name]
        }
        for name in draws[0]
    }


def table(results: dict[str, Any]) -> str:
    """As markdown: AUROC, and the share of unknowns taken for known, in %."""
    cells = [(folder, shot) for folder in results for shot in results[folder]]
    names = dict.fromkeys(name for folder, shot in cells for name in results[folder][shot])
    lines = [f"| | {' | '.join(f'{folder}, {shot}' for folder, shot in cells)} |", f"|---{'|---' * len(cells)}|"]
    for name in names:
        row = []
        for folder, shot in cells:
            one = results[folder][shot][name]
            auroc, accepted = one["auroc"], one["false_accept"]
            row.append(f"{with_interval(auroc['mean'], auroc['ci95'], 1)} ({100 * accepted['mean']:.0f})")
        lines.append(f"| {name} | {' | '.join(row)} |")
    return "\n".join(lines)


def run(
    photos: Photos, shots: list[int], seeds: int, drawn_classes: int | None, progress: Callable[[dict[str, Any]], None]
) -> None:
    """Measure a folder at each number of photos; what is known so far is handed on after each."""
    total = drawn_classes or int(photos.labels.max()) + 1
    found: dict[str, Any] = {}
    for shot in shots:
        known = total // 2
        draws = [draw(photos.labels, seed, shot, known, total - known) for seed in range(seeds)]
        rows = [measure(photos, one) for one in track(draws, f"{photos.name}, {shot}", total=seeds)]
        asked = np.mean([len(one.known) + len(one.unknown) for one in draws]) / len(photos.labels)
        found[str(shot)] = summary(rows, float(asked))
        progress(found)


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="+", help="folders of class folders")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 2, 5])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--classes", type=int, help="drawn of each folder, half of which are known; by default all")
    parser.add_argument("--cache", type=Path, help="a folder that keeps encoded photos")
    parser.add_argument("--json", type=Path, help="results of other folders in it are kept")
    return parser.parse_args()


def main() -> None:
    given = asked_for()
    start = time.perf_counter()
    method = load_method("mml-efficientnet-lite0")
    result = json.loads(given.json.read_text()) if given.json and given.json.exists() else {"folders": {}, "data": {}}
    result |= {
        "false_alarm": FALSE_ALARM,
        "weights_sha256": weights_hash(method),
        "machine": machine(torch.device("cpu")),
        "versions": versions(("torch", "numpy")),
    }
    for folder in given.photos:
        photos = read_folder(method, folder, cache=given.cache)
        name = folder.name if given.classes is None else f"{folder.name}, {given.classes} classes"
        result["data"][folder.name] = photos.fingerprint

        def keep(found: dict[str, Any], name: str = name) -> None:
            result["folders"][name] = found
            result["seconds"] = round(time.perf_counter() - start, 1)
            result["seeds"] = given.seeds
            if given.json:
                write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())

        run(photos, given.shots, given.seeds, given.classes, keep)
    print(table(result["folders"]))


if __name__ == "__main__":
    main()
