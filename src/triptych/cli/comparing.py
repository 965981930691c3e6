"""The command that compares contenders on a user's own photos."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import AsJson, Backbone, Method, app, print_json, spare

__all__ = ["compare"]


@app.command()
def compare(
    photos: Annotated[Path, typer.Argument(help="A folder with one sub-folder of photos per class, or a CSV file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The page to write.")] = Path("triptych-compare.html"),
    method: Method = "mml-conv64f",
    backbone: Backbone = None,
    repeats: Annotated[int, typer.Option(help="Random splits.", min=2)] = 10,
    queries: Annotated[int, typer.Option(help="Photos of each class asked about in a split, at most.", min=1)] = 5,
    seed: Annotated[int, typer.Option(help="Of the splits.", min=0)] = 0,
    precision: Annotated[str, typer.Option(help="32; bf16-search: faster where the processor has it.")] = "32",
    device: Annotated[str, typer.Option(help="Where to compute: cpu or cuda.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Is it worth it on my photos? Compare with plain classifiers and write a page with the answer."""
    from triptych.comparison import compare as run_comparison
    from triptych.reports import comparison_page, verdicts
    from triptych.system.files import write_whole

    if out.is_dir() or not out.parent.is_dir():  # known before minutes of work
        raise ValueError(f"{out}: expected a file in a folder that exists")
    spare(out, photos)
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
    )
    write_whole(out, comparison_page(record).encode())
    if as_json:
        return print_json(record)
    print("\n".join([*verdicts(record), f"Page: {out}"]))
    return None
