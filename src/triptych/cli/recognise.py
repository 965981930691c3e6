"""Commands that learn from a few photos and recognise others."""

from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import AsJson, Method, app, complain, print_json

__all__ = ["demo", "fit", "predict"]


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
        return print_json(result)
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
        return print_json({"file": str(out), "classes": counts, "method": method})
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
            complain("error", str(error))
        if not as_json and "label" in answers[-1]:
            print(f"{image}: {answers[-1]['label']} ({answers[-1]['probability']:.1%})")
    if as_json:
        print_json(answers)
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
        complain("warning", f"{image}: one of the photos that were learnt from; its answer proves nothing")
    return answer
