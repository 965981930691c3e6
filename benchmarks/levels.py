"""Does every level count? Each level alone, the published combinations, and all three with a loss on each.

    python benchmarks/levels.py train DATA --out runs/levels
    python benchmarks/levels.py table DATA benchmarks/checkpoints/levels --json benchmarks/results/levels.json

``train`` gives every contender the same start (a pre-trained backbone), images and number of steps. The published
fusion has statistics per class slot, so it is trained at its own way, and once per shot, as its authors do; the others
are trained once for all shots. Two have the weights of others and the level PLDA besides, for which nothing is trained
and no levels are balanced.
``table`` evaluates all of them on the same episodes; ``--also`` adds a method that is there, whatever its budget was.
"""

import argparse
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from triptych import load_method, save_method
from triptych.data import ImageStore, open_store
from triptych.evaluation import Accuracy, EpisodeSampler, evaluate_store
from triptych.methods import METHODS, Method, MMLConfig, weights_hash
from triptych.system.environment import versions
from triptych.system.files import write_whole
from triptych.system.memory import keep_freed_memory
from triptych.system.wording import with_interval
from triptych.training import PRESETS, Preset, TrainSettings, learn_closed_form, train

SHOTS = (1, 5)
REFERENCE = "paper"  # whom the others are compared with
WHOLE = "mml-plda"  # of whom each level is left out in turn
START = Path(__file__).parent / "checkpoints" / "conv64f-pretrain-42.safetensors"
OURS = replace(METHODS["mml-conv64f"], distance="wasserstein")  # of a few thousand steps it makes more: see LOG.md


@dataclass(frozen=True)
class Contender:
    """What is trained, and how the table calls it.

    Attributes:
        title: in the table.
        config: what is trained.
        taught_from: the contender whose weights it has, and the level PLDA besides; it is not trained itself.
    """

    title: str
    config: MMLConfig
    taught_from: str | None = None

    def file(self, shot: int) -> str:
        """The name of its weights for a shot; the published fusion has weights for each."""
        return f"{shot}-shot.safetensors" if self.config.slots else "all-shots.safetensors"


CONTENDERS = {
    "global": Contender("global level alone (ProtoNet)", METHODS["protonet-conv64f"]),
    "part": Contender("part level alone", replace(OURS, levels=("part",))),
    "distribution": Contender("distribution level alone", replace(OURS, levels=("distribution",))),
    "pixel": Contender("pixel level alone (DN4, k = 1)", replace(METHODS["dn4-conv64f"], pixel_k=1)),
    "adm": Contender("pixel + distribution (ADM, k = 1)", replace(METHODS["adm-conv64f"], slots=5, pixel_k=1)),
    "paper": Contender("pixel + part + distribution (MML, paper)", replace(METHODS["mml-paper-conv64f"], slots=5)),
    "mml": Contender("pixel + part + distribution, a loss on each (MML, Triptych)", OURS),
    "distribution-plda": Contender(
        "distribution + PLDA", replace(OURS, levels=("distribution",)), taught_from="distribution"
    ),
    "mml-plda": Contender("pixel + part + distribution + PLDA (MML, Triptych)", OURS, taught_from="mml"),
}


def settings(contender: Contender, shot: int, steps: int, sides: tuple[int, ...], seed: int) -> TrainSettings:
    """The budget of all, 70 to 90 images a step, and what a contender's fusion needs besides."""
    common = replace(
        PRESETS["fast"].train,
        steps=steps,
        sides=sides,
        seed=seed,
        average=0.995,
        validate_every=steps,
        pixel_share=1.0,
        plda_images=0,
        balance_episodes=0,
    )
    if contender.config.slots is None:
        return common
    return replace(common, way=contender.config.slots, shots=(shot,), queries=13 if shot == 1 else 10, level_loss=0.0)


def train_all(data: str, out: Path, names: list[str], steps: int, sides: tuple[int, ...], seed: int) -> None:
    """Train contenders one after the other; what an earlier call has trained or begun is continued."""
    for name in names:
        contender = CONTENDERS[name]
        if contender.taught_from is not None:
            teach(data, out / contender.taught_from / contender.file(1), out / name / contender.file(1))
            continue
        for file in dict.fromkeys(map(contender.file, SHOTS)):
            shot = next(shot for shot in SHOTS if contender.file(shot) == file)
            run = out / name / Path(file).stem
            recipe = Preset(None, settings(contender, shot, steps, sides, seed))
            best = train(data, run, contender.config, recipe, START, resume=True)
            (out / name / file).write_bytes(best.read_bytes())


def teach(data: str, trained: Path, out: Path, images: int = PRESETS["fast"].train.plda_images) -> None:
    """Let a trained method learn the level PLDA."""
    method = load_method(trained)
    store = open_store(data, "train", method.preprocess)
    out.parent.mkdir(parents=True, exist_ok=True)
    save_method(learn_closed_form(method, store, images, "bf16"), out)


def table(
    data: str,
    weights: Path,
    names: list[str],
    episodes: int,
    seed: int,
    precision: str,
    cache: Path | None = None,
    also: Sequence[str] = (),
) -> dict:
    """Accuracy of every contender, its paired difference to the paper's, and what each level is worth to ours."""
    keep_freed_memory()
    rows: dict[str, dict] = {name: {"title": CONTENDERS[name].title} for name in names}
    rows |= {name: {"title": name} for name in also}
    ablation, store = {}, None
    for shot in SHOTS:
        found: dict[str, np.ndarray] = {}
        for name, row in rows.items():
            file = str(weights / name / CONTENDERS[name].file(shot)) if name in CONTENDERS else name
            method = load_method(file)
            store = open_store(data, "test", method.preprocess)
            subsets = episode_accuracies(method, store, shot, episodes, seed, precision, cache)
            found[name] = subsets[" + ".join(method.level_names)]
            row[f"{shot}-shot"] = figure(method, file, found[name])
            if name == WHOLE:
                ablation[f"{shot}-shot"] = {
                    subset: {"accuracy": asdict(Accuracy.over(values)), "all_minus": difference(found[name], values)}
                    for subset, values in subsets.items()
                }
        for name, row in rows.items():
            row[f"{shot}-shot"]["minus_reference"] = difference(found[name], found[REFERENCE])
    assert store is not None
    how = {"split": "test", "way": 5, "queries": 15, "episodes": episodes, "seed": seed, "precision": precision}
    what = {"data": str(data), "data_fingerprint": store.fingerprint, **how, "versions": versions(("torch", "numpy"))}
    return {"rows": rows, "ablation": ablation, "reference": REFERENCE, **what}


def figure(method: Method, file: str, accuracies: np.ndarray) -> dict:
    """The accuracy of a method at one shot, and what it is of."""
    return {
        "accuracy": asdict(Accuracy.over(accuracies)),
        "weights": file,
        "weights_sha256": weights_hash(method),
        "config": asdict(method.config),
    }


def episode_accuracies(
    method: Method, store: ImageStore, shot: int, episodes: int, seed: int, precision: str, cache: Path | None
) -> dict[str, np.ndarray]:
    """``evaluate_store``, of which a cache keeps the outcome: an hour's work can be shared out or taken up again."""
    what = f"{weights_hash(method)} {asdict(method.config)} {store.fingerprint} {shot} {episodes} {seed} {precision}"
    key = f"{hashlib.blake2b(what.encode(), digest_size=16).hexdigest()}.npz"
    if cache is not None and (cache / key).is_file():
        with np.load(cache / key) as kept:
            return dict(kept)
    sampler = EpisodeSampler(store.labels, 5, shot, 15, seed, store.classes)
    found = evaluate_store(method, store, sampler, episodes, precision)
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        whole = io.BytesIO()
        np.savez(whole, **found)
        write_whole(cache / key, whole.getvalue())
    return found


def difference(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """Mean and interval of a difference on the same episodes."""
    return asdict(Accuracy.over(one - other))


def markdown(record: dict) -> str:
    """The record as two tables."""
    lines = ["| method | 1-shot | to the paper's | 5-shot | to the paper's |", "|---|---|---|---|---|"]
    for row in record["rows"].values():
        cells = [_percent(row[f"{shot}-shot"][key]) for shot in SHOTS for key in ("accuracy", "minus_reference")]
        lines.append(f"| {row['title']} | {' | '.join(cells)} |")
    lines += ["", "| levels of ours | 1-shot | all minus these | 5-shot | all minus these |", "|---|---|---|---|---|"]
    for subset in record["ablation"].get("1-shot", ()):
        pairs = [record["ablation"][f"{shot}-shot"][subset] for shot in SHOTS]
        cells = [_percent(pair[key]) for pair in pairs for key in ("accuracy", "all_minus")]
        lines.append(f"| {subset} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(figure: dict[str, float]) -> str:
    return with_interval(figure["mean"], figure["ci95"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("data")
    training.add_argument("--out", type=Path, default=Path("runs/levels"))
    training.add_argument("--steps", type=int, default=3_000)
    training.add_argument("--sides", type=int, nargs="*", default=PRESETS["fast"].train.sides)
    evaluation = commands.add_parser("table")
    evaluation.add_argument("data")
    evaluation.add_argument("weights", type=Path)
    evaluation.add_argument("--also", nargs="+", default=[], metavar="METHOD", help="methods beside the contenders")
    evaluation.add_argument("--episodes", type=int, default=2_000)
    evaluation.add_argument("--precision", default="bf16-search")
    evaluation.add_argument("--cache", type=Path, help="a folder that keeps what has been evaluated")
    evaluation.add_argument("--json", type=Path)
    for command in (training, evaluation):
        command.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
        command.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    if given.command == "train":
        train_all(given.data, given.out, given.only, given.steps, tuple(given.sides), given.seed)
        return
    record = table(
        given.data, given.weights, given.only, given.episodes, given.seed, given.precision, given.cache, given.also
    )
    print(markdown(record))
    if given.json:
        given.json.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
