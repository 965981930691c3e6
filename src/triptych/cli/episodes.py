"""The command that writes the episodes of a seed to a file, so that others can rerun just those."""

from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import app
from triptych.cli.options import AsJson, Changes, Data, Overwrite, options_from
from triptych.cli.terminal import print_json, say
from triptych.evaluation import EpisodeSettings
from triptych.system.kinds import EPISODES
from triptych.system.outputs import check_output

__all__ = ["episodes"]


@app.command()
@options_from(episodes=EpisodeSettings)
def episodes(
    data: Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="The .json file.")],
    *,
    changes: Changes,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write the episodes of a seed to a file, for evaluate --episodes-file."""
    settings = EpisodeSettings(**changes["episodes"])
    check_output(out, EPISODES, [Path(data)], overwrite)
    from triptych.evaluation import write_episodes

    written = write_episodes(data, out, settings)
    if as_json:
        return print_json({"file": str(out), **written})
    say(
        f"{out}: {written['episodes']} episodes, {settings.way}-way {settings.shot}-shot, of {written['images']} images"
    )
    return None
