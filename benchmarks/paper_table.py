"""The paper's whole table: every method on every data set that lies in a folder, 1-shot and 5-shot.

    python benchmarks/paper_table.py ROOT --report runs/paper-table/table

ROOT has the data sets under the names of ``triptych splits --expect``: ROOT/cub, ROOT/dogs, ROOT/cars and so on, as
docs/paper-table.md says; those that are missing are passed over. Counts and splits are checked first. With preset
"paper" a method is trained for each shot, as in the paper; with "fast" once for both, after one pre-training for all
methods over a network. A row that is measured is kept in --out and not measured again, and a run that was killed goes
on: give the same command again.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from triptych import load_method
from triptych.data import KNOWN_DATA, SPLITS, KnownData, check_known, list_images
from triptych.evaluation import EvaluateSettings, evaluate
from triptych.methods import METHODS
from triptych.system.files import write_whole
from triptych.system.wording import with_interval
from triptych.training import PRESETS, Preset, pretrain, train

# Version 1 of the paper, and what it compares with.
PAPER = (
    "protonet-conv64f",
    "relation-conv64f",
    "covamnet-conv64f",
    "dn4-conv64f",
    "adm-conv64f",
    "mml-paper-kl-conv64f",
    "mml-paper-conv64f",
)
SHOTS = (1, 5)


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        root: the folder of data sets.
        out: the folder of runs and rows.
        preset: "paper" or "fast".
        epochs: of pre-training, where the preset has it; None for the preset's.
        steps: of training; None for the preset's.
        validation_episodes: of each validation; None for the preset's.
        episodes: of the test split.
        seed: of all that is drawn.
        known: what the data sets should hold.
    """

    root: Path
    out: Path
    preset: str = "paper"
    epochs: int | None = None
    steps: int | None = None
    validation_episodes: int | None = None
    episodes: int = 2000
    seed: int = 0
    known: Mapping[str, KnownData] = field(default_factory=lambda: KNOWN_DATA)

    def recipe(self, shot: int) -> Preset:
        """The preset, for one shot where the paper trains so."""
        chosen = PRESETS[self.preset]
        changes: dict[str, Any] = {"seed": self.seed}
        if self.preset == "paper":
            changes |= {"shots": (shot,), "validation_shots": (shot,)}
        if self.steps is not None:
            changes |= {"steps": self.steps, "validate_every": min(chosen.train.validate_every, self.steps)}
        first, few = chosen.pretrain, self.validation_episodes
        if few is not None:
            changes |= {"validation_episodes": few, "balance_episodes": min(chosen.train.balance_episodes, few)}
        if first is not None:
            epochs = first.epochs if self.epochs is None else self.epochs
            asked = first.validation_episodes if few is None else few
            first = replace(first, epochs=epochs, validation_episodes=asked, seed=self.seed)
        return Preset(first, replace(chosen.train, **changes))

    def run(self, data: str, method: str, shot: int) -> Path:
        """The folder of a training run."""
        return self._runs(data) / (f"{method}-{shot}-shot" if self.preset == "paper" else method)

    def pretraining(self, data: str, method: str) -> Path:
        """The folder of the pre-training that all methods over the same network share."""
        return self._runs(data) / f"pretrain-{METHODS[method].backbone}"

    def _runs(self, data: str) -> Path:
        return self.out / "runs" / data

    def row(self, data: str, fingerprint: str, method: str, shot: int) -> Path:
        """Where a figure is kept; other recipes, settings, images and configurations of the method have other rows."""
        recipe, config = asdict(self.recipe(shot)), METHODS[method].to_dict()
        what = json.dumps([recipe, config, fingerprint, self.episodes, self.seed])
        key = hashlib.sha256(what.encode()).hexdigest()[:12]
        return self.out / "rows" / f"{data} {method} {shot}-shot {self.preset}-{key}.json"


def fingerprint_of(place: Path) -> str:
    """Of the images, labels and classes of all splits."""
    return "-".join(list_images(place, split).fingerprint() for split in SPLITS)


def found_data(plan: Plan) -> list[str]:
    """The data sets that are there, after a look at what they hold."""
    names = [name for name in plan.known if (plan.root / name).exists()]
    if not names:
        raise ValueError(f"{plan.root}: none of {', '.join(plan.known)} is in it; see docs/paper-table.md")
    for name in names:
        check_known(plan.root / name, name, plan.known)
    return names


def measure(plan: Plan, data: str, fingerprint: str, method: str, shot: int) -> dict[str, Any]:
    """Train where that is not done, evaluate on the test split, and keep the record."""
    file = plan.row(data, fingerprint, method, shot)
    if file.is_file():
        return json.loads(file.read_text())
    print(f"{method} on {data}, {shot}-shot", flush=True)
    place, run, recipe = plan.root / data, plan.run(data, method, shot), plan.recipe(shot)
    start = None
    if recipe.pretrain is not None:
        start = pretrain(
            place, plan.pretraining(data, method), f"mml-paper-{METHODS[method].backbone}", recipe.pretrain, True
        )
    best = train(place, run, method, Preset(None, recipe.train), start, resume=True)
    settings = EvaluateSettings(shot=shot, episodes=plan.episodes, seed=plan.seed)
    record = evaluate(place, load_method(best), method, settings)
    row = {"data_set": data, "preset": plan.preset, "recipe": asdict(recipe), "run": str(run), **record}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, (json.dumps(row, indent=1) + "\n").encode())
    return row


def markdown(rows: list[dict[str, Any]]) -> str:
    """One line a method, two columns a data set; in % with 95% intervals over episodes."""
    names = list(dict.fromkeys(row["data_set"] for row in rows))
    figures = {(row["method"], row["data_set"], row["shot"]): row for row in rows}
    columns = [(name, shot) for name in names for shot in SHOTS]
    lines = [
        "| method | " + " | ".join(f"{name}, {shot}-shot" for name, shot in columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    for method in dict.fromkeys(row["method"] for row in rows):
        cells = [_percent(figures.get((method, *column))) for column in columns]
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(row: dict[str, Any] | None) -> str:
    return "" if row is None else with_interval(row["accuracy"], row["ci95"])


def table(plan: Plan, methods: list[str], report: Path | None) -> str:
    """Measure all that is missing; the table is written anew after each row."""
    rows: list[dict[str, Any]] = []
    for data in found_data(plan):
        fingerprint = fingerprint_of(plan.root / data)
        for method in methods:
            for shot in SHOTS:
                rows.append(measure(plan, data, fingerprint, method, shot))
                if report is not None:
                    report.parent.mkdir(parents=True, exist_ok=True)
                    write_whole(report.with_suffix(".json"), (json.dumps(rows, indent=1) + "\n").encode())
                    write_whole(report.with_suffix(".md"), (markdown(rows) + "\n").encode())
    return markdown(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="the folder of data sets")
    parser.add_argument("--methods", nargs="+", default=list(PAPER), choices=sorted(METHODS), metavar="METHOD")
    parser.add_argument("--data", nargs="+", default=list(KNOWN_DATA), choices=list(KNOWN_DATA), help="these alone")
    parser.add_argument("--preset", choices=list(PRESETS), default="paper")
    parser.add_argument("--epochs", type=int, help="of pre-training, where the preset has it; by default its own")
    parser.add_argument("--steps", type=int, help="of training; by default the preset's")
    parser.add_argument("--validation-episodes", type=int, help="of each validation; by default the preset's")
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/paper-table"))
    parser.add_argument("--report", type=Path, help="where to write .json and .md")
    given = parser.parse_args()
    known = {name: KNOWN_DATA[name] for name in given.data}
    if given.epochs is not None and PRESETS[given.preset].pretrain is None:
        parser.error(f"preset {given.preset} has no pre-training; leave --epochs out")
    settings = (given.preset, given.epochs, given.steps, given.validation_episodes, given.episodes, given.seed)
    plan = Plan(given.root, given.out, *settings, known)
    try:
        print(table(plan, given.methods, given.report))
    except (ValueError, OSError) as error:
        parser.exit(1, f"error: {error}\n")


if __name__ == "__main__":
    main()
