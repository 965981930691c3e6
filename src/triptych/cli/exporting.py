"""The command that takes a recogniser out of Triptych."""

import json
from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import app
from triptych.cli.options import AsJson, Changes, Overwrite, RecognizerFile, options_from
from triptych.cli.terminal import print_json, say
from triptych.export import ExportSettings
from triptych.system.outputs import check_output

__all__ = ["export"]


@app.command()
@options_from(export=ExportSettings)
def export(
    file: RecognizerFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .onnx or .pt2 file to write.")],
    *,
    changes: Changes,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write a .triptych file as one model that runs without Triptych: network, levels, calibration, support."""
    settings = ExportSettings(**changes["export"])
    check_output(out, settings.kind, [file], overwrite)
    from triptych.export import export as run_export
    from triptych.recognizer import Recognizer

    written = run_export(Recognizer.load(file), out, settings, overwrite)
    told = written.description
    classes = json.loads(told["classes"])
    if as_json:
        return print_json(
            {
                "file": written.file,
                "format": settings.format,
                "precision": settings.precision,
                "bytes": written.size,
                "classes": len(classes),
                "difference": written.difference,
                "method": told["method"],
                "fingerprint": told["fingerprint"],
            }
        )
    say(f"{out}: {len(classes)} classes, {written.size / 1e6:.1f} MB")
    say(f"Its probabilities differ from triptych's by at most {written.difference:.1g} for a few photos and noise.")
    return None
