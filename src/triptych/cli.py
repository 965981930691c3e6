"""The ``triptych`` command: one sub-command per public function.

Heavy modules are imported where they are used, so that help and usage errors come at once.
"""

import json
import sys
import warnings
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(
    help="Few-shot image recognition that shows its evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

DATA_HELP = (
    "A folder of class folders, a folder with images/ and train.csv, val.csv, test.csv, Parquet files, or hf:NAME."
)
Data = Annotated[str, typer.Argument(help=DATA_HELP, metavar="DATA")]
Method = Annotated[str, typer.Option(help="An embedded name, a .safetensors file, or a published checkpoint.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
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
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("triptych-demo.html"),
    shot: Annotated[int, typer.Option(help="Photos of each class to learn from.")] = 5,
    method: Method = "mml-conv64f",
    as_json: AsJson = False,
) -> None:
    """Recognise the shipped sample photos and write a page with the answers."""
    from triptych.demo import demo as run_demo

    result = run_demo(out, shot, method)
    if as_json:
        return _print_json(result)
    print(
        f"{result['right']} of {result['photos']} photos recognised ({result['accuracy']:.1%}), "
        f"{result['classes']} classes, {shot} photos of each to learn from.\nPage: {out}"
    )
    return None


@app.command()
def fit(
    photos: Annotated[Path, typer.Argument(help="A folder with one sub-folder of photos per class.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .triptych file to write.")],
    method: Method = "mml-conv64f",
    min_shot: Annotated[int, typer.Option("--shot", help="Fail if a class has fewer photos than this.", min=1)] = 1,
    as_json: AsJson = False,
) -> None:
    """Learn the classes of a folder of photos, one sub-folder a class."""
    from triptych.data import list_folder
    from triptych.recognizer import Recognizer

    if not photos.is_dir():
        raise ValueError(f"{photos}: no such folder; expected one with a sub-folder of photos per class")
    if out.is_dir() or not out.parent.is_dir():
        raise ValueError(f"{out}: expected a file in a folder that exists")
    listing = list_folder(photos)
    labels = [listing.classes[label] for label in listing.labels]
    recognizer = Recognizer(method).fit([str(source) for source in listing.sources], labels)
    counts = {str(label): len(recognizer.support_[label]) for label in recognizer.classes_}
    for label, count in counts.items():
        if count < min_shot:
            raise ValueError(f"class {label!r} has {count} usable photos, expected at least {min_shot}: add photos")
    recognizer.save(out)
    if as_json:
        return _print_json({"file": str(out), "classes": counts, "method": method})
    print(f"{out}: {len(counts)} classes, {sum(counts.values())} photos")
    return None


@app.command()
def predict(
    recognizer: Annotated[Path, typer.Argument(help="A .triptych file.")],
    images: Annotated[list[str], typer.Argument(help="Photos to recognise.")],
    as_json: AsJson = False,
) -> None:
    """Recognise photos."""
    from triptych.data import ImageError
    from triptych.recognizer import Recognizer

    model = Recognizer.load(recognizer)
    answers: list[dict[str, Any]] = []
    for image in images:
        try:
            answers.append(_answer(model, image))
        except ImageError as error:
            answers.append({"image": image, "error": str(error)})
            _complain("error", str(error))
        if not as_json and "label" in answers[-1]:
            print(f"{image}: {answers[-1]['label']} ({answers[-1]['probability']:.1%})")
    if as_json:
        _print_json(answers)
    if any("error" in answer for answer in answers):
        raise typer.Exit(1)


def _answer(model: Any, image: str) -> dict[str, Any]:
    probabilities = model.predict_proba([image])[0]
    labels = model.classes_.tolist()
    best = int(probabilities.argmax())
    answer = {
        "image": image,
        "label": labels[best],
        "probability": float(probabilities[best]),
        "probabilities": {str(label): float(p) for label, p in zip(labels, probabilities, strict=True)},
    }
    if model.knows(image):
        answer["in_support"] = True
        _complain("warning", f"{image}: one of the photos that were learnt from; its answer proves nothing")
    return answer


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
    from triptych.evaluation import evaluate as run_evaluation
    from triptych.methods import load_method

    record = run_evaluation(
        data, load_method(method, device), method, split, way, shot, queries, episodes, seed, precision, flips
    )
    if as_json:
        return _print_json(record)
    print(f"{way}-way {shot}-shot, {episodes} episodes of {split}, seed {seed}: accuracy in %")
    for subset, figure in record["levels"].items():
        print(f"  {subset:<30} {100 * figure['mean']:6.2f} +- {100 * figure['ci95']:.2f}")
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
        precision=precision,
        seed=seed,
    )
    first = chosen.pretrain and _with(chosen.pretrain, epochs=epochs, precision=precision, seed=seed)
    print(run_training(data, out or Path("runs") / method, method, Preset(first, episodic), init, resume))


def main() -> None:
    """Run the command: 0 done, 1 could not, 2 wrong usage; one line says what is wrong."""
    warnings.showwarning = _show_warning
    try:
        app()
    except ValueError as error:
        _fail(2, error)
    except (OSError, RuntimeError) as error:
        _fail(1, error)
    except KeyboardInterrupt:
        sys.exit(130)


def _with(settings: Any, **changes: Any) -> Any:
    return replace(settings, **{name: value for name, value in changes.items() if value is not None})


def _print_json(result: Any) -> None:
    print(json.dumps(result, indent=2, ensure_ascii=False))


def _fail(code: int, error: Exception) -> None:
    _complain("error", str(error))
    sys.exit(code)


def _complain(kind: str, message: str) -> None:
    print(f"{kind}: {message}", file=sys.stderr)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    _complain("warning", str(message))


if __name__ == "__main__":
    main()
