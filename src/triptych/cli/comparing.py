"""The command that compares contenders on a user's own photos."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import app
from triptych.cli.options import AsJson, Backbone, Changes, Device, Method, Overwrite, Photos, Split, options_from
from triptych.cli.terminal import print_json, say
from triptych.comparison import CompareSettings
from triptych.system.kinds import PAGE
from triptych.system.outputs import check_output
from triptych.weights import DEFAULT

__all__ = ["compare"]


@app.command()
@options_from(compare=CompareSettings)
def compare(
    photos: Photos,
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("triptych-compare.html"),
    method: Method = DEFAULT,
    backbone: Backbone = None,
    split: Split = None,
    *,
    changes: Changes,
    device: Device = "cpu",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Is it worth it on my photos? Compare with plain classifiers and write a page with the answer."""
    settings = CompareSettings(**changes["compare"])
    check_output(out, PAGE, [photos, Path(method)], overwrite)
    from triptych.comparison import compare as run_comparison
    from triptych.reports import comparison_page, verdicts
    from triptych.system.devices import usable_device
    from triptych.system.files import write_whole

    usable_device(device)
    record = run_comparison(photos, None, method, settings, device, backbone, split)
    write_whole(out, comparison_page(record).encode(errors="backslashreplace"))
    if as_json:
        return print_json(record)
    for line in [*verdicts(record), f"Page: {out}"]:
        say(line)
    return None
