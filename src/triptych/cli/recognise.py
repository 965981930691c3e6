"""Commands that recognise photos."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from os.path import isdir
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import AsJson, Method, app, complain, print_json
from triptych.system.wording import counted

__all__ = ["demo", "predict", "sort"]

_FALSE_ALARM = 0.05  # as in Recognizer.predict

Unknown = Annotated[
    str | None, typer.Option(help="Answer this where a photo is of none of the classes.", metavar="LABEL")
]
FalseAlarm = Annotated[
    float | None,
    typer.Option(
        help="With --unknown: the share of photos of known classes that may be called so.",
        show_default=str(_FALSE_ALARM),
    ),
]


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("triptych-demo.html"),
    shot: Annotated[int, typer.Option(help="Photos of each class to learn from.")] = 5,
    method: Method = "mml-conv64f",
    as_json: AsJson = False,
) -> None:
    """Recognise the shipped sample photos and write a page with the answers."""
    from triptych.reports.demo import demo as run_demo

    result = run_demo(out, shot, method)
    if as_json:
        return print_json(result)
    print(
        f"{result['right']} of {result['photos']} photos recognised ({result['accuracy']:.1%}), "
        f"{result['classes']} classes, {counted(shot, 'photo')} of each to learn from.\nPage: {out}"
    )
    return None


@app.command()
def predict(
    recognizer: Annotated[Path, typer.Argument(help="A .triptych file.", metavar="FILE")],
    images: Annotated[list[Path], typer.Argument(help="Photos to recognise; with --out, a folder of them.")],
    unknown: Unknown = None,
    false_alarm: FalseAlarm = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Write the answers to this .csv, .jsonl or .parquet file; goes on after a kill."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Recognise photos, or a folder of any size."""
    from triptych.recognizer import Recognizer

    share = _share(unknown, false_alarm)
    folders = [image for image in images if isdir(image)]  # never an error, as that of Path is
    if out is not None and (len(folders), len(images)) != (1, 1):
        raise ValueError(f"--out {out}: expected one folder of photos, got {', '.join(map(str, images))}")
    if out is None and folders:
        raise ValueError(f"{folders[0]}: a folder; name a file for the answers to its photos with --out")
    model = Recognizer.load(recognizer)
    if out is not None:
        return _predict_folder(model, images[0], out, unknown, share, as_json)
    answers = model.answers(images, unknown, share)
    told = [_tell(model, answer, as_json) for answer in _tracked(answers, len(images), as_json)]
    if as_json:
        print_json(told)
    if any("error" in answer for answer in told):
        raise typer.Exit(1)
    return None


@app.command()
def sort(
    recognizer: Annotated[Path, typer.Argument(help="A .triptych file.", metavar="FILE")],
    photos: Annotated[Path, typer.Argument(help="The folder of photos to sort.", metavar="DIR")],
    out: Annotated[Path, typer.Argument(help="Gets a folder per class, with copies.", metavar="OUT_DIR")],
    unknown: Unknown = None,
    false_alarm: FalseAlarm = None,
    as_json: AsJson = False,
) -> None:
    """Copy photos into folders by what they are recognised as; nothing is overwritten."""
    from triptych.folders.predict import beside_photos
    from triptych.folders.sort import sort_photos
    from triptych.recognizer import Recognizer

    share = _share(unknown, false_alarm)
    summary = sort_photos(Recognizer.load(recognizer), photos, out, unknown, share)
    for name, reason in summary.unreadable.items():
        complain("error", f"{photos / name}: {reason}")
    if as_json:
        print_json({"out": str(out), **asdict(summary)})
    else:
        for folder, count in summary.folders.items():
            print(f"{count:6}  {out / folder}")
        repeated = f", {summary.repeated} the same as another" if summary.repeated else ""
        print(
            f"{summary.copied} copied, {summary.already_there} already there{repeated}, "
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


def _tracked(answers: Iterator[Any], total: int, quiet: bool) -> Iterable[Any]:
    """Answers that are not printed as they come are waited for."""
    from triptych.system.progress import track

    return track(answers, "recognising", total) if quiet else answers


def _tell(model: Any, answer: Any, as_json: bool) -> dict[str, Any]:
    """Say what a photo is, and return it for JSON."""
    if answer.error is not None:
        complain("error", answer.error)
        return {"image": answer.image, "error": answer.error}
    if not as_json:
        print(f"{answer.image}: {answer.label} ({answer.probability:.1%})")
    told = {
        "image": answer.image,
        "label": answer.label,
        "probability": answer.probability,
        "probabilities": {str(label): float(p) for label, p in zip(model.classes_, answer.probabilities, strict=True)},
    }
    if answer.in_support:
        told["in_support"] = True
        complain("warning", f"{answer.image}: one of the photos that were learnt from; its answer proves nothing")
    return told


def _predict_folder(
    model: Any, folder: Path, out: Path, unknown: str | None, false_alarm: float, as_json: bool
) -> None:
    from triptych.folders.predict import beside_photos, predict_folder

    summary = predict_folder(model, folder, out, unknown, false_alarm)
    if as_json:
        print_json(asdict(summary))
    else:
        unknowns = "" if unknown is None else f", {summary.unknown} {unknown}"
        resumed = f", {summary.resumed} of them by an earlier run" if summary.resumed else ""
        print(
            f"{out}: {counted(summary.photos, 'photo')}{resumed}{unknowns}, {summary.unreadable} unreadable; "
            f"{summary.photos_per_second:.0f} images/s{beside_photos(summary.not_images, summary.unread)}"
        )
    if summary.unreadable or summary.unread:
        raise typer.Exit(1)
