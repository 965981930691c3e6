"""The command that compares contenders on a user's own photos."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import app
from triptych.cli.options import AsJson, Backbone, Device, Method, Overwrite, Seed, Split, checked
from triptych.cli.terminal import print_json, say
from triptych.system.outputs import PAGE, check_output
from triptych.system.settings import whole
from triptych.weights import DEFAULT

__all__ = ["compare"]


@app.command()
def compare(
    photos: Annotated[Path, typer.Argument(help="A folder with one sub-folder of photos per class, or a CSV file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("triptych-compare.html"),
    method: Method = DEFAULT,
    backbone: Backbone = None,
    split: Split = None,
    repeats: Annotated[int, typer.Option(help="Random splits.", callback=checked(whole(2, 1000)))] = 10,
    queries: Annotated[
        int, typer.Option(help="Photos of each class asked about in a split, at most.", callback=checked(whole(1)))
    ] = 5,
    seed: Seed = 0,
    precision: Annotated[
        str, typer.Option(help="32; bf16-search: fast, answers all but the same; bf16: fastest; auto: what pays here.")
    ] = "auto",
    device: Device = "cpu",
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Is it worth it on my photos? Compare with plain classifiers and write a page with the answer."""
    check_output(out, PAGE, [photos, Path(method)], overwrite)
    from triptych.comparison import compare as run_comparison
    from triptych.reports import comparison_page, verdicts
    from triptych.system.devices import usable_device
    from triptych.system.files import write_whole

    usable_device(device)
    record = run_comparison(
        photos,
        None,
        method,
        repeats,
        queries=queries,
        seed=seed,
        precision=precision,
        device=device,
        backbone=backbone,
        split=split,
    )
    write_whole(out, comparison_page(record).encode(errors="backslashreplace"))
    if as_json:
        return print_json(record)
    for line in [*verdicts(record), f"Page: {out}"]:
        say(line)
    return None
