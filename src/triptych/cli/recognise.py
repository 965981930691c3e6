"""Commands that recognise photos."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import app, resumable
from triptych.cli.options import (
    AsJson,
    Changes,
    Coverage,
    Device,
    FalseAlarm,
    Method,
    Overwrite,
    RecognizerFile,
    Unknown,
    ask_photo_folder,
    before_work,
    checked,
    options_from,
)
from triptych.cli.terminal import complain, print_json, say
from triptych.engines import EngineSettings
from triptych.system.kinds import PAGE, TABLE
from triptych.system.outputs import check_output
from triptych.system.settings import whole
from triptych.system.wording import counted, first_few
from triptych.weights import DEFAULT

__all__ = ["demo", "predict", "sort"]

_FALSE_ALARM = 0.05  # as in Recognizer.predict


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("triptych-demo.html"),
    shot: Annotated[
        int,
        typer.Option(help="Photos of each class to learn from, of 13 shipped ones.", callback=checked(whole(1, 12))),
    ] = 5,
    method: Method = DEFAULT,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Recognise the shipped sample photos and write a page with the answers."""
    check_output(out, PAGE, [Path(method)], overwrite)
    from triptych.reports import demo as run_demo

    result = run_demo(out, shot, method)
    if as_json:
        return print_json(result)
    say(
        f"{result['right']} of {result['photos']} photos recognised ({result['accuracy']:.1%}), "
        f"{result['classes']} classes, {counted(shot, 'photo')} of each to learn from."
    )
    say(f"Page: {out}")
    return None


@app.command()
@options_from(engine=EngineSettings)
def predict(
    recognizer: RecognizerFile,
    images: Annotated[
        list[str],
        typer.Argument(
            help="Photos to recognise, and places of them: folders, Parquet files, addresses such as s3://BUCKET/DIR.",
            metavar="PHOTOS...",
        ),
    ],
    unknown: Unknown = None,
    false_alarm: FalseAlarm = None,
    coverage: Coverage = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Write the answers to the photos of one place to this .csv, .jsonl or .parquet file; goes on after a "
            "kill.",
        ),
    ] = None,
    device: Device = "cpu",
    *,
    changes: Changes,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Recognise photos, and those in folders of any size and their sub-folders."""
    settings = EngineSettings(**changes["engine"])
    share = _share(unknown, false_alarm)
    if out is None and overwrite:
        raise ValueError("--overwrite is for the table of --out, which is missing; leave it out")
    if out is not None:
        _check_table(out, images, recognizer, overwrite)
    from triptych.engines import Question, engine_of
    from triptych.folders import photos_of
    from triptych.recognizer import Recognizer

    model = Recognizer.load(recognizer, _own_device(settings, device))
    engine, question = engine_of(settings, device), Question(unknown, share, coverage)
    if out is not None:
        return _predict_folder(model, images[0], out, question, engine, overwrite, as_json)
    found = photos_of(images)
    answers = engine.answers(model, found.photos, question)
    told = [_tell(model, answer, coverage, as_json) for answer in _tracked(answers, len(found.photos.names), as_json)]
    _warn_of_learnt([answer["image"] for answer in told if "in_support" in answer])
    if found.not_images:
        are = "is no image" if found.not_images == 1 else "are no images"
        complain("warning", f"left out {counted(found.not_images, 'file')} that {are}")
    if as_json:
        print_json(told)
    if found.unread or any("error" in answer for answer in told):
        raise typer.Exit(1)
    return None


@app.command()
def sort(
    recognizer: RecognizerFile,
    photos: Annotated[
        Path,
        typer.Argument(help="The folder of photos to sort.", metavar="DIR", callback=before_work(ask_photo_folder)),
    ],
    place: Annotated[
        Path | None, typer.Argument(help="Gets a folder per class, with copies.", metavar="OUT_DIR")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="In place of OUT_DIR.", metavar="OUT_DIR")] = None,
    unknown: Unknown = None,
    false_alarm: FalseAlarm = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Copy photos into folders by what they are recognised as; nothing is overwritten."""
    share, out = _share(unknown, false_alarm), _one_place(place, out)
    from triptych.folders import beside_photos, check_copies, sort_photos

    check_copies(photos, out)
    from triptych.recognizer import Recognizer
    from triptych.system.devices import usable_device

    usable_device(device)
    with resumable("the same command copies the others"):
        summary = sort_photos(Recognizer.load(recognizer, device), photos, out, unknown, share)
    for name, reason in summary.unreadable.items():
        complain("error", f"{photos / name}: {reason}")
    if as_json:
        print_json({"out": str(out), **asdict(summary)})
    else:
        for folder, count in summary.folders.items():
            say(f"{counted(count, 'photo'):>12}  {out / folder}")
        told = counted(sum(summary.folders.values()), "photo")
        repeated = f", {summary.repeated} the same as another" if summary.repeated else ""
        say(
            f"{told}: {summary.copied} copied, {summary.already_there} already there{repeated}, "
            f"{len(summary.unreadable)} unreadable{beside_photos(summary.not_images, summary.unread)}"
        )
    if summary.unreadable or summary.unread:
        raise typer.Exit(1)


def _share(unknown: str | None, false_alarm: float | None) -> float:
    """The share of false alarms; where no photo is called unknown, there is none to set."""
    if unknown is None and false_alarm is not None:
        raise ValueError(
            f"--false-alarm {false_alarm}: expected --unknown beside it; it says what to call unknown photos"
        )
    return _FALSE_ALARM if false_alarm is None else false_alarm


def _one_place(place: Path | None, out: Path | None) -> Path:
    """The folder that was named, as an argument or as an option."""
    if place is None and out is None:
        raise ValueError("expected a folder for the copies: OUT_DIR, or --out with it")
    if place is not None and out is not None:
        raise ValueError(f"expected one folder for the copies, got {place} and --out {out}")
    return place or out  # type: ignore[return-value]


def _check_table(out: Path, images: list[str], recognizer: Path, overwrite: bool) -> None:
    from triptych.folders import is_place

    if len(images) != 1 or not is_place(images[0]):
        raise ValueError(
            f"--out {out}: expected one folder of photos, Parquet file or address, got {', '.join(images)}"
        )
    check_output(out, TABLE, [Path(images[0]), recognizer], overwrite)


def _own_device(settings: EngineSettings, device: str) -> Any:
    """Where this process computes: workers use the device in its place, and ONNX Runtime the processor."""
    from triptych.system.devices import usable_device

    if settings.engine == "onnxruntime" and device != "cpu":
        raise ValueError(f"device {device}: the engine onnxruntime computes on the processor; expected cpu")
    return usable_device("cpu" if settings.engine == "ray" else device)


def _tracked(answers: Iterator[Any], total: int, quiet: bool) -> Iterable[Any]:
    """Answers that are not printed as they come are waited for."""
    from triptych.system.progress import track

    return track(answers, "recognising", total) if quiet else answers


def _tell(model: Any, answer: Any, coverage: float | None, as_json: bool) -> dict[str, Any]:
    """Say what a photo is, and return it for JSON."""
    if answer.error is not None:
        complain("error", answer.error)
        return {"image": answer.image, "error": answer.error}
    if not as_json:
        among = "" if coverage is None else f"; {_among(answer.prediction_set, coverage)}"
        nearest = "" if answer.label == answer.nearest else f"most like {answer.nearest}, "
        say(f"{answer.image}: {answer.label} ({nearest}{answer.probability:.1%}){among}")
    told = {
        "image": answer.image,
        "label": answer.label,
        "probability": answer.probability,
        "nearest": answer.nearest,
        "probabilities": _probabilities(model, answer),
    }
    if coverage is not None:
        told["prediction_set"] = [str(label) for label in answer.prediction_set]
    if answer.in_support:
        told["in_support"] = True
    return told


def _probabilities(model: Any, answer: Any) -> dict[str, float]:
    """Of all classes; of a bank's, those of the shortlist."""
    found = answer.probabilities
    places = range(len(found)) if model.bank is None else found.nonzero()[0]
    return {str(answer.classes[place]): float(found[place]) for place in places}


def _among(labels: Sequence[Any], coverage: float) -> str:
    """A set of classes in words."""
    return f"set at {100 * coverage:.4g}%: {', '.join(map(str, labels))}"


def _warn_of_learnt(names: list[str]) -> None:
    """Say which photos were learnt from; of many, the first few."""
    if len(names) == 1:
        complain("warning", f"{names[0]}: one of the photos that were learnt from; its answer proves nothing")
    elif names:
        several = f"{len(names)} of the photos were learnt from; their answers prove nothing"
        complain("warning", f"{several}: {first_few(names)}")


def _predict_folder(
    model: Any, place: str, out: Path, question: Any, engine: Any, overwrite: bool, as_json: bool
) -> None:
    from triptych.folders import beside_photos, predict_folder

    unknown = question.unknown
    with resumable("the same command goes on from here"):
        summary = predict_folder(
            model, place, out, unknown, question.false_alarm, overwrite, question.coverage, engine=engine
        )
    if as_json:
        print_json(asdict(summary))
    else:
        unknowns = "" if unknown is None else f", {summary.unknown} {unknown}"
        resumed = f", {summary.resumed} of them by an earlier run" if summary.resumed else ""
        say(
            f"{out}: {counted(summary.photos, 'photo')}{resumed}{unknowns}, {summary.unreadable} unreadable; "
            f"{summary.photos_per_second:.0f} images/s{beside_photos(summary.not_images, summary.unread)}"
        )
    if summary.unreadable or summary.unread:
        raise typer.Exit(1)
