"""Commands that recognise photos."""

from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import AsJson, Method, app, complain, print_json

__all__ = ["demo", "predict"]


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
