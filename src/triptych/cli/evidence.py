"""The command that says why."""

from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import app
from triptych.cli.options import AsJson, Device, Overwrite, RecognizerFile, ask_photo, before_work, checked
from triptych.cli.terminal import complain, print_json, say
from triptych.cli.words import for_and_against
from triptych.system.kinds import PICTURE
from triptych.system.outputs import check_output
from triptych.system.settings import whole

__all__ = ["explain"]


@app.command()
def explain(
    file: RecognizerFile,
    photo: Annotated[str, typer.Argument(help="A photo.", metavar="PHOTO", callback=before_work(ask_photo))],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Draw the evidence into this .png, .svg, .pdf or .html file."),
    ] = None,
    top: Annotated[int, typer.Option(help="How many of the most probable classes.", callback=checked(whole(1)))] = 3,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Show why a photo is recognised as what it is: each level's share, and what matches where."""
    if out is None and overwrite:
        raise ValueError("--overwrite is for the picture of --out, which is missing; leave it out")
    if out is not None:
        check_output(out, PICTURE, [file, Path(photo)], overwrite)
    from triptych.recognizer import Recognizer
    from triptych.system.devices import usable_device

    usable_device(device)
    recognizer = Recognizer.load(file, device)
    why = recognizer.explain(photo, top)
    known = recognizer.knows(photo)
    if known:
        complain("warning", f"{photo}: one of the photos that were learnt from; its answer proves nothing")
    if out is not None:
        why.save(out)
    if as_json:
        return print_json({"image": photo, "in_support": known, **why.summary()})
    for rank in range(len(why.classes)):
        _tell(why, rank)
    if out is not None:
        say(f"Picture: {out}")
    return None


def _tell(why: Any, rank: int) -> None:
    """Say what speaks for and against one class: the figures and the matches that the picture has."""
    from triptych.evidence import lead_in_words, shown_matches
    from triptych.reports import where

    evidence, grid = why.classes[rank], why.grid
    say(f"{evidence.label}  {evidence.probability:.1%}")
    for line in for_and_against(evidence.contributions):
        say(f"    {line}")
    if rank == 0 and (lead := why.lead()):
        say(f"    {lead_in_words(lead, why.patch_levels, str(why.classes[1].label))}")
    for number, match in enumerate(shown_matches(evidence.matches, grid), start=1):
        name = match.name or f"photo {match.photo + 1}"
        places = f"{where(match.query, grid)} looks like {where(match.support, grid)} of {name}"
        say(f"    {number}. {places} ({match.similarity:.2f} alike)")
