"""The command that looks at a data set: which splits it has, and whether they are those that others measured on."""

from typing import Annotated

import typer

from triptych.cli.app import app
from triptych.cli.options import AsJson, Data
from triptych.cli.terminal import print_json, say
from triptych.system.wording import counted

__all__ = ["splits"]


@app.command()
def splits(
    data: Data,
    expect: Annotated[
        str | None,
        typer.Option(help="Check that it is this one of the well-known data sets; an unknown name tells all names."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Count the classes and images of each split of a data set."""
    from triptych.data import SPLITS, check_known, count_splits

    found = count_splits(data) if expect is None else check_known(data, expect)
    if as_json:
        return print_json(found)
    for split, one in found.items():
        each = "{smallest_class} to {largest_class}".format_map(one)
        held = f"{counted(one['classes'], 'class', 'classes')}, {counted(one['images'], 'image')}"
        say(f"{split}: {held}, {each} in a class")
    for split in SPLITS:
        if split not in found and "all" not in found:
            say(f"{split}: missing")
    return None
