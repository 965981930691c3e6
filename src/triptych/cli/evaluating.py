"""The command that measures a method on episodes, and the one that lists what there is to measure."""

from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import app
from triptych.cli.options import AsJson, Backbone, Changes, DataSets, Device, Method, Overwrite, options_from
from triptych.cli.terminal import json_text, print_json, say
from triptych.data import warn_of_shared
from triptych.evaluation import EvaluateSettings
from triptych.system.kinds import RECORD
from triptych.system.outputs import check_output
from triptych.weights import DEFAULT

__all__ = ["evaluate", "methods"]


@app.command()
@options_from(config=True, evaluate=EvaluateSettings)
def evaluate(
    data: DataSets,
    method: Method = DEFAULT,
    backbone: Backbone = None,
    *,
    changes: Changes,
    device: Device = "cpu",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the record to this .json file too.")] = None,
    run_folder: Annotated[
        Path | None, typer.Option(help="Write the record, the settings and the environment to this folder.")
    ] = None,
    episodes_file: Annotated[
        Path | None, typer.Option(help="Just the episodes of this file, which triptych episodes writes.")
    ] = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure accuracy over episodes, with its 95% interval, and that of each level and pair."""
    settings = EvaluateSettings(**changes["evaluate"])
    if len(data) > 1 and episodes_file is not None:
        raise ValueError(f"{episodes_file}: its episodes are of one data set, and {len(data)} are given; give one")
    for one in data:
        warn_of_shared(one, settings.split)
    places = list(map(Path, data))
    if out is not None:  # a run's folder may hold the record too
        check_output(out, RECORD, [*places, *([Path(method)] if Path(method).is_file() else [])], overwrite)
    from triptych.evaluation import check_evaluation_folder, domain_table, read_episodes, write_evaluation_run
    from triptych.system.files import write_whole

    if run_folder is not None:
        check_evaluation_folder(run_folder, places, overwrite)
    episodes = None if episodes_file is None else read_episodes(episodes_file)
    if episodes is not None:
        settings = episodes.settings_for(settings, changes["evaluate"])  # what conflicts is told before any work
    record = _measured(data, method, backbone, device, settings, episodes)
    table = domain_table(record) if len(data) > 1 else None
    if run_folder is not None:
        write_evaluation_run(run_folder, record, data if table else data[0], settings, table, method, backbone)
    if out is not None:
        write_whole(out, f"{json_text(record)}\n".encode())
    if as_json:
        return print_json(record)
    first = record["domains"][0] if table else record
    together = ", all queries of an episode together (transductive)" if record["transductive"] else ""
    say("{way}-way {shot}-shot, {episodes} episodes, seed {seed}: accuracy in %{}".format(together, **first))
    for line in table.splitlines() if table else _table(record["levels"]):
        say(line)
    return None


def _measured(
    data: list[str], method: str, backbone: str | None, device: str, settings: EvaluateSettings, episodes: Any
) -> dict[str, Any]:
    """The record of one data set, or of several."""
    from triptych.evaluation import evaluate as run_evaluation
    from triptych.evaluation import evaluate_domains
    from triptych.interop import called, chosen_method
    from triptych.system.devices import usable_device

    loaded, name = chosen_method(method, backbone, inductive=False).to(usable_device(device)), called(method, backbone)
    if len(data) > 1:
        return evaluate_domains(data, loaded, name, settings)
    return run_evaluation(data[0], loaded, name, settings, episodes)


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the methods there are, and which have trained weights in the package."""
    import torch

    from triptych.methods import METHODS, WEIGHTS, build_method

    known: list[dict[str, Any]] = []
    for name in {**METHODS, **WEIGHTS}:
        weights = WEIGHTS.get(name)
        config = METHODS[name] if weights is None else weights.config
        with torch.device("meta"):  # what is asked of it needs no weights
            method = build_method(config)
        licence = None if weights is None else weights.licence
        known.append(
            {
                "name": name,
                "network": config.backbone,
                "levels": list(method.level_names),
                "transductive": method.transductive,
                "weights": licence,
            }
        )
    if as_json:
        return print_json(known)
    for one in known:
        ready = "to be trained" if one["weights"] is None else "has weights"
        apart = " (transductive: no recogniser takes it)" if one["transductive"] else ""
        say(f"{one['name']:<36} {one['network']:<18} {ready:<14} {' + '.join(one['levels'])}{apart}")
    say("Published checkpoints (.pth.tar), files that train wrote, and --backbone with a hub model are methods too.")
    return None


def _table(levels: dict[str, Any]) -> list[str]:
    """The accuracy of each subset of the levels, and what all levels are better by."""
    width = max(map(len, ["levels", *levels]))
    lines = [f"  {'levels':<{width}}  {'accuracy':<15}  all levels minus these"]
    for subset, figure in levels.items():
        rest = figure["all_minus"]
        own = f"{100 * figure['mean']:6.2f} ± {100 * figure['ci95']:5.2f}"
        lines.append(f"  {subset:<{width}}  {own:<15}  {100 * rest['mean']:+6.2f} ± {100 * rest['ci95']:5.2f}")
    return lines
