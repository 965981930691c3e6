"""The command that says why."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import AsJson, app, complain, print_json, spare
from triptych.cli.classes import RecognizerFile

__all__ = ["explain"]


@app.command()
def explain(
    file: RecognizerFile,
    photo: Annotated[str, typer.Argument(help="A photo.", metavar="PHOTO")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Draw the evidence into this PNG file.")] = None,
    top: Annotated[int, typer.Option(help="How many of the most probable classes.", min=1)] = 3,
    as_json: AsJson = False,
) -> None:
    """Show why a photo is recognised as what it is: the levels, the patches and the parts that match."""
    from triptych.recognizer import Recognizer

    if out is not None and (out.is_dir() or not out.parent.is_dir() or out.suffix.lower() != ".png"):
        raise ValueError(f"{out}: expected the name of a .png file in a folder that exists")
    if out is not None:
        spare(out, file, Path(photo))
    recognizer = Recognizer.load(file)
    why = recognizer.explain(photo, top)
    known = recognizer.knows(photo)
    if known:
        complain("warning", f"{photo}: one of the photos that were learnt from; its answer proves nothing")
    if out is not None:
        why.save(out)
    if as_json:
        return print_json({"image": photo, "in_support": known, **why.summary()})
    for evidence in why.classes:
        levels = ", ".join(f"{level} {value:+.2f}" for level, value in evidence.contributions.items())
        print(f"{evidence.label}  {evidence.probability:.1%}  ({levels})")
        for match in evidence.matches[:3]:
            print(f"    patch {match.query} as {match.support} of {match.name or match.photo}: {match.similarity:.2f}")
    if out is not None:
        print(f"Picture: {out}")
    return None
