"""Commands that train methods and measure them on episodes."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import AsJson, Method, app, print_json

__all__ = ["evaluate", "pretrain", "train"]

DATA_HELP = (
    "A folder of class folders, a folder with images/ and train.csv, val.csv, test.csv, Parquet files, or hf:NAME."
)
Data = Annotated[str, typer.Argument(help=DATA_HELP, metavar="DATA")]
Out = Annotated[Path | None, typer.Option("--out", help="The run's folder; by default runs/METHOD.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out, if there is one.")]
TrainMethod = Annotated[str, typer.Option("--method", help="What to train: mml-conv64f, mml-resnet12, ...")]
Seed = Annotated[int | None, typer.Option(help="Of weights, order and augmentation.", min=0)]
Device = Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")]


class PresetName(StrEnum):
    """Training recipes."""

    paper = "paper"
    fast = "fast"


@app.command()
def evaluate(
    data: Data,
    method: Method = "mml-conv64f",
    split: Annotated[str, typer.Option(help="train, val or test, where the data has splits.")] = "test",
    way: Annotated[int, typer.Option(help="Classes in an episode.")] = 5,
    shot: Annotated[int, typer.Option(help="Support images of each class.")] = 1,
    queries: Annotated[int, typer.Option(help="Query images of each class.")] = 15,
    episodes: Annotated[int, typer.Option(help="How many.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the episodes.", min=0)] = 0,
    precision: Annotated[
        str, typer.Option(help="32; bf16-search: fast, answers all but the same; bf16: fastest.")
    ] = "32",
    flips: Annotated[bool, typer.Option("--flips", help="Use mirror images too; published figures do not.")] = False,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure accuracy over episodes, with its 95% interval, and that of each level and pair."""
    from triptych.evaluation import EvaluateSettings
    from triptych.evaluation import evaluate as run_evaluation
    from triptych.interop import load_method

    settings = EvaluateSettings(split, way, shot, queries, episodes, seed, precision, flips)
    record = run_evaluation(data, load_method(method, device), method, settings)
    if as_json:
        return print_json(record)
    print(f"{way}-way {shot}-shot, {episodes} episodes of {split}, seed {seed}: accuracy in %")
    print(f"  {'levels':<30} {'':<14}   all levels minus these")
    for subset, figure in record["levels"].items():
        rest = figure["all_minus"]
        print(
            f"  {subset:<30} {100 * figure['mean']:6.2f} +- {100 * figure['ci95']:.2f}"
            f"   {100 * rest['mean']:+6.2f} +- {100 * rest['ci95']:.2f}"
        )
    return None


@app.command()
def pretrain(
    data: Data,
    out: Out = None,
    method: TrainMethod = "mml-conv64f",
    epochs: Annotated[int | None, typer.Option(help="Passes over the train split.", min=1)] = None,
    batch: Annotated[int | None, typer.Option(help="Images a step.", min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Peak learning rate.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16-mixed or 32-true.")] = None,
    seed: Seed = None,
    resume: Resume = False,
) -> None:
    """Train a backbone to classify the train split; validation episodes pick the epoch."""
    from triptych.training import PretrainSettings
    from triptych.training import pretrain as run_pretraining

    settings = _with(
        PretrainSettings(),
        epochs=epochs,
        batch=batch,
        learning_rate=learning_rate,
        precision=precision,
        seed=seed,
    )
    print(run_pretraining(data, out or Path("runs") / f"{method}-pretrain", method, settings, resume))


@app.command()
def train(
    data: Data,
    out: Out = None,
    method: TrainMethod = "mml-conv64f",
    preset: Annotated[PresetName, typer.Option(help="The recipe.")] = PresetName.fast,
    init: Annotated[str | None, typer.Option(help="Start from this method file; no pre-training.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of pre-training.", min=1)] = None,
    steps: Annotated[int | None, typer.Option(help="Episodic steps.", min=1)] = None,
    way: Annotated[int | None, typer.Option(help="Classes in a training episode.")] = None,
    shot: Annotated[
        list[int] | None, typer.Option(help="Shots of training and validation; may be given several times.")
    ] = None,
    queries: Annotated[int | None, typer.Option(help="Query images of each class.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Of the episodes.")] = None,
    side: Annotated[
        list[int] | None, typer.Option(help="Image sides of the episodes, each for an equal share of the steps.")
    ] = None,
    base_images: Annotated[
        int | None,
        typer.Option(
            help="Images of each training class from which is learnt what tells classes apart; 0: off.",
            min=0,
        ),
    ] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between two validations.", min=1)] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16-mixed or 32-true.")] = None,
    seed: Seed = None,
    resume: Resume = False,
) -> None:
    """Train a method on episodes; validation picks the model and the test split is never opened."""
    from triptych.training import PRESETS, Preset
    from triptych.training import train as run_training

    chosen = PRESETS[preset.value]
    shots = tuple(shot) if shot else None
    episodic = _with(
        chosen.train,
        steps=steps,
        way=way,
        shots=shots,
        validation_shots=shots,
        queries=queries,
        learning_rate=learning_rate,
        sides=tuple(side) if side else None,
        base_images=base_images,
        validate_every=validate_every,
        precision=precision,
        seed=seed,
    )
    first = chosen.pretrain and _with(chosen.pretrain, epochs=epochs, precision=precision, seed=seed)
    print(run_training(data, out or Path("runs") / method, method, Preset(first, episodic), init, resume))


def _with(settings: Any, **changes: Any) -> Any:
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})
