"""Peers on a folder of photos: Triptych, plain heads on its network, and adaptshot, on the same splits.

python benchmarks/peers.py PHOTOS_DIR --adaptshot OTHER_ENV/bin/python --cache CACHE_DIR \\
    --json benchmarks/results/peers.json

In each split some classes are known and the others unknown; all contenders learn from the same photos and are asked
about the same others. What a contender costs is measured on the first split by a process of
its own, as a user meets it: paths in, answers out, in processor time. adaptshot 0.3.0 is run by the Python of an
environment that has it (`pip install adaptshot==0.3.0`); without one its row is left out. What was measured is kept in
CACHE_DIR, so that a run can be stopped and goes on, and several runs can share the splits. Empty it when the code has
changed.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from adaptshot_peer import installed_bytes, peak_memory
from heads import HEADS
from machine import machine
from peer_splits import Draw, draw
from sklearn.metrics import roc_auc_score

import triptych
from triptych import Recognizer, load_method
from triptych.comparison.baselines import pooled
from triptych.data import list_folder, read_photos
from triptych.evaluation import Accuracy
from triptych.methods import Encoded, Method, weights_hash
from triptych.recognizer.knowledge import Knowledge
from triptych.recognizer.temperature import calibration_error
from triptych.recognizer.unknowns import known_features, known_score, usual_known_weights
from triptych.similarity import class_members
from triptych.support import encode, support_of
from triptych.system.environment import versions
from triptych.system.files import write_whole
from triptych.system.progress import track
from triptych.weights import DEFAULT

TRIPTYCH = {"Triptych": DEFAULT, "Triptych, mml-conv64f": "mml-conv64f"}
ADAPTSHOT = "adaptshot 0.3.0"
PEER = Path(__file__).with_name("adaptshot_peer.py")
Forecast = tuple[np.ndarray, np.ndarray, np.ndarray]  # answers, their probabilities, how known: (Q,) each


@torch.no_grad()
def recognised(method: Method, support: Encoded, labels: np.ndarray, asked: Encoded) -> Forecast:
    """What a ``Recognizer`` answers, from encoded photos."""
    members = class_members(torch.from_numpy(labels), len(labels))
    classes = [support_of(method, support[mine]) for mine in members]
    learnt = Knowledge.learn(method, dict(enumerate(classes)), None, calibrate=True)
    levels = method.compare(asked.float(), learnt.classes)
    probabilities = learnt.probabilities(learnt.logits(levels))
    features = known_features(learnt.fusion.contributions(levels), method.absolute_levels)
    calibrated = learnt.learnt.calibration
    weights = (
        usual_known_weights(len(levels), len(method.absolute_levels))
        if calibrated is None
        else torch.tensor(calibrated.known_weights, dtype=torch.float64)
    )
    return probabilities.argmax(1), probabilities.max(1), known_score(features, weights).numpy()


def headed(name: str, support: Encoded, labels: np.ndarray, asked: Encoded) -> Forecast:
    """What a plain head on the pooled features of encoded photos answers."""
    probabilities, known = HEADS[name](pooled(support.maps), labels, pooled(asked.maps))
    return probabilities.argmax(1), probabilities.max(1), known


def asked_adaptshot(python: str, support: Sequence[str], labels: np.ndarray, asked: Sequence[str]) -> dict[str, Any]:
    """What ``adaptshot_peer.py`` says; classes go by as texts."""
    task = {"support": list(support), "labels": [f"class {n}" for n in labels], "asked": list(asked)}
    done = subprocess.run([python, PEER], input=json.dumps(task), capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{PEER.name} failed: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
    return json.loads(done.stdout)


def adaptshot_forecast(found: dict[str, Any]) -> Forecast:
    """Its answers as those of the others."""
    answers = np.array([int(answer.removeprefix("class ")) for answer in found["answers"]])
    return answers, np.array(found["confidence"]), -np.array(found["strangeness"])


def figures(forecast: Forecast, truth: np.ndarray) -> dict[str, Any]:
    """Of photos of known classes, as many as ``truth`` has, then unknown ones."""
    answers, stated, known = forecast
    right = answers[: len(truth)] == truth
    return {
        "accuracy": float(right.mean()),
        "auroc": float(roc_auc_score(np.arange(len(known)) < len(truth), known)),
        "right": right.tolist(),
        "stated": np.round(stated[: len(truth)], 4).tolist(),
    }


def calibration(measured: Sequence[dict[str, Any]]) -> float:
    """The expected calibration error of the answers of all splits together."""
    right, stated = (np.concatenate([one[key] for one in measured]) for key in ("right", "stated"))
    return calibration_error(stated[:, None], np.where(right, 0, 1))


def forecasts_of(
    drawn: Draw, encoded: Callable[[str, Sequence[str]], Encoded], adaptshot: str | None
) -> dict[str, Forecast]:
    """Contender -> what it says of the known and the unknown photos of one split."""
    support, labels, queries, _, others = drawn
    asked = [*queries, *others]
    found: dict[str, Forecast] = {}
    for title, name in TRIPTYCH.items():
        found[title] = recognised(load_method(name), encoded(name, support), labels, encoded(name, asked))
    for name in HEADS:
        found[name] = headed(name, encoded(DEFAULT, support), labels, encoded(DEFAULT, asked))
    if adaptshot:
        found[ADAPTSHOT] = adaptshot_forecast(asked_adaptshot(adaptshot, support, labels, asked))
    return found


def encoder() -> Callable[[str, Sequence[str]], Encoded]:
    """(name of a method, paths) -> what the method keeps of these photos, each encoded once."""
    method_of = cache(load_method)

    @cache
    @torch.no_grad()
    def one(name: str, path: str) -> Encoded:
        method = method_of(name)
        (photo,) = read_photos([path], method.preprocess)
        return encode(method, photo.pixels[None]).to_keep()

    return lambda name, paths: Encoded.join([one(name, path) for path in paths])


def cost(title: str, task: dict[str, Any]) -> dict[str, float]:
    """What one of ours takes in this process: seconds to learn, milliseconds a photo, the most memory."""
    support, labels, asked = task["support"], np.array(task["labels"]), task["asked"]
    start = time.process_time()
    if title in TRIPTYCH:
        recognizer = Recognizer(TRIPTYCH[title]).fit(support, labels)
        fitted = time.process_time()
        recognizer.predict(asked[:1])
        warm = time.process_time()
        for photo in asked:
            recognizer.predict([photo])
        return _costs(fitted - start, time.process_time() - warm, len(asked))
    method = load_method()
    learnt = _vectors(method, support)
    HEADS[title](learnt, labels, learnt[:1])
    fitted = time.process_time()
    vectors = [_vectors(method, [photo]) for photo in asked]
    answering = time.process_time() - fitted  # what the head itself adds to a photo is too little to count
    assert len(vectors) == len(asked)
    return _costs(fitted - start, answering, len(asked))


def _costs(fitting: float, answering: float, photos: int) -> dict[str, float]:
    return {"fit_s": fitting, "photo_ms": 1000 * answering / photos, "memory_bytes": peak_memory()}


@torch.no_grad()
def _vectors(method: Method, paths: Sequence[str]) -> np.ndarray:
    read = read_photos(paths, method.preprocess)
    return np.concatenate([pooled(encode(method, photo.pixels[None]).maps) for photo in read])


def costs(drawn: Draw, adaptshot: str | None, photos: int) -> dict[str, dict[str, float]]:
    """Contender -> what it takes, each in a process of its own with one thread."""
    support, labels, queries, _, _ = drawn
    task = {"support": support, "labels": labels.tolist(), "asked": queries[:photos]}
    ours = {"import_s": _import_seconds(), "installed_bytes": float(sum(_installed().values()))}
    found = {}
    for title in (*TRIPTYCH, *HEADS):
        command = [sys.executable, __file__, "--cost", title]
        done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, env=_one_thread())
        if done.returncode:
            raise RuntimeError(f"{title}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        found[title] = {**json.loads(done.stdout), **ours}
    if adaptshot:
        said = asked_adaptshot(adaptshot, support, labels, queries[:photos])
        kept = ("fit_s", "photo_ms", "memory_bytes", "import_s")
        found[ADAPTSHOT] = {**{key: said[key] for key in kept}, "installed_bytes": sum(said["installed"].values())}
    return found


def _one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def _import_seconds() -> float:
    """Processor seconds of importing what a user of Triptych does, the best of three."""
    code = (
        "import time; start = time.process_time(); from triptych import Recognizer; print(time.process_time() - start)"
    )
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True) for _ in range(3)]
    return min(float(run.stdout) for run in runs)


def _installed() -> dict[str, int]:
    """Package -> bytes; of Triptych itself its folder, as a clone may stand in its place."""
    own = Path(triptych.__file__).parent
    files = [file for file in own.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    return {**installed_bytes("triptych"), "triptych": sum(file.stat().st_size for file in files)}


def summary(rows: list[dict[str, Any]], share: float) -> dict[str, Any]:
    """Shot -> contender -> accuracy and AUROC with intervals, by how much Triptych is better, calibration error."""
    found: dict[str, Any] = {}
    for shot in sorted({row["shot"] for row in rows}):
        mine = [row["figures"] for row in rows if row["shot"] == shot]
        found[str(shot)] = {}
        for name in mine[0]:
            own = {key: np.array([one[name][key] for one in mine]) for key in ("accuracy", "auroc")}
            best = np.array([one["Triptych"]["accuracy"] for one in mine])
            found[str(shot)][name] = {
                **{key: _over(values, share) for key, values in own.items()},
                "triptych_better_by": _over(best - own["accuracy"], share),
                "ece": calibration([one[name] for one in mine]),
            }
    return found


def _single_numbers(figures_of: dict[str, Any]) -> dict[str, Any]:
    return {name: {key: one[key] for key in ("accuracy", "auroc")} for name, one in figures_of.items()}


def _over(values: np.ndarray, share: float) -> dict[str, float]:
    return asdict(Accuracy.over_splits(values, share)) if len(values) > 1 else {"mean": float(values[0])}


def table(result: dict[str, Any]) -> str:
    """As markdown, a row a contender."""
    shots = list(result["summary"])
    columns = [f"{shot}: {what}" for shot in shots for what in ("accuracy", "AUROC of unknowns", "ECE")]
    heads = [*columns, "fit, s", "ms a photo", "memory, MB", "installed, MB", "import, s"]
    lines = [f"| photos a class | {' | '.join(heads)} |", f"|---{'|---' * len(heads)}|"]
    for name, cost_of in result["costs"].items():
        cells = []
        for shot in shots:
            one = result["summary"][shot][name]
            cells += [_percent(one["accuracy"]), _percent(one["auroc"]), f"{100 * one['ece']:.1f}"]
        cells += [f"{cost_of['fit_s']:.1f}", f"{cost_of['photo_ms']:.0f}", f"{cost_of['memory_bytes'] / 1e6:.0f}"]
        cells += [f"{cost_of['installed_bytes'] / 1e6:.0f}", f"{cost_of['import_s']:.1f}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(figure: dict[str, float]) -> str:
    return f"{100 * figure['mean']:.1f}" + (f" ± {100 * figure['ci95']:.1f}" if "ci95" in figure else "")


def kept(file: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What was measured before, or now."""
    if not file.is_file():
        write_whole(file, json.dumps(measure()).encode())
    return json.loads(file.read_text())


def splits(given: argparse.Namespace) -> list[dict[str, Any]]:
    """What each split gave at each number of photos a class."""
    encoded, rows = encoder(), []
    for seed in track(range(*given.splits), "splits", total=given.splits[1] - given.splits[0]):
        for shot in given.shots:
            drawn = draw(given.photos, seed, shot, given.known, given.asked, given.strange)

            def measure(drawn: Draw = drawn) -> dict[str, Any]:
                found = forecasts_of(drawn, encoded, given.adaptshot)
                return {name: figures(forecast, drawn[3]) for name, forecast in found.items()}

            file = given.cache / f"split-{seed}-{shot}.json"
            rows.append({"split": seed, "shot": shot, "figures": kept(file, measure)})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, nargs="?", help="a folder of class folders")
    parser.add_argument("--adaptshot", help="the Python of an environment that has adaptshot 0.3.0")
    parser.add_argument("--splits", type=int, nargs=2, default=[0, 10], help="the first, and that after the last")
    parser.add_argument("--shots", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--known", type=int, default=30, help="classes; the others are unknown")
    parser.add_argument("--asked", type=int, default=3, help="photos of each known class")
    parser.add_argument("--strange", type=int, default=5, help="photos of each unknown class")
    parser.add_argument("--timed", type=int, default=40, help="photos whose answers are timed")
    parser.add_argument("--cache", type=Path, default=Path("peers-cache"), help="what was measured is kept here")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--cost", choices=[*TRIPTYCH, *HEADS], help=argparse.SUPPRESS)  # of a process that is measured
    given = parser.parse_args()
    if given.cost:
        print(json.dumps(cost(given.cost, json.load(sys.stdin))))
        return
    given.cache.mkdir(parents=True, exist_ok=True)
    listing, rows = list_folder(given.photos), splits(given)
    first = draw(given.photos, 0, given.shots[-1], given.known, given.asked, given.strange)
    result = {
        "summary": summary(rows, (len(first[2]) + len(first[4])) / len(listing.labels)),
        "costs": kept(given.cache / "costs.json", lambda: costs(first, given.adaptshot, given.timed)),
        "costs_are": f"of {given.known} classes x {given.shots[-1]} photos; processor time",
        "rows": [{**row, "figures": _single_numbers(row["figures"])} for row in rows],
        "splits": len(rows) // len(given.shots),
        **{key: getattr(given, key) for key in ("known", "asked", "strange")},
        "weights_sha256": weights_hash(load_method()),
        "data": given.photos.name,
        "data_fingerprint": listing.fingerprint(),
        "machine": machine(torch.device("cpu")),
        "versions": versions(("torch", "numpy", "scikit-learn")),
    }
    if given.json:
        write_whole(given.json, (json.dumps(result, indent=1) + "\n").encode())
    print(table(result))


if __name__ == "__main__":
    main()
