"""Commands that train methods."""

from contextlib import AbstractContextManager
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import app, resumable
from triptych.cli.method_settings import MethodSettings, read_method_settings
from triptych.cli.options import (
    Changes,
    Resume,
    RunFolder,
    TrainData,
    as_typed,
    ask_backbone,
    before_work,
    options_from,
)
from triptych.cli.terminal import say
from triptych.system.outputs import check_run_folder, has_checkpoint
from triptych.system.wording import listed
from triptych.training import METHOD, PRESETS, Preset, PretrainSettings, RunSettings, TrainSettings

__all__ = ["pretrain", "train"]

TrainMethod = Annotated[
    str | None,
    typer.Option(
        "--method",
        help="What to train: a name that triptych methods lists; with --backbone a method alone, such as feat. By "
        "default mml, over Conv-64F or the backbone; with --init the method of those weights.",
    ),
]
PretrainMethod = Annotated[str, typer.Option("--method", help="What to train: a name that triptych methods lists.")]
TrainBackbone = Annotated[
    str | None,
    typer.Option(
        help="Train the method over this transformers vision model, from its weights; no pre-training. Its name on the "
        "hub, or its folder.",
        callback=before_work(ask_backbone),
    ),
]
Init = Annotated[
    str | None,
    typer.Option(
        help="Start from this method file, or from weights that triptych methods lists, such as "
        "mml-efficientnet-lite0; no pre-training. Its level plda is not kept: --plda-images learns it anew."
    ),
]
KeepFusion = Annotated[
    bool, typer.Option("--keep-fusion/--new-fusion", help="With --init: how much each level counts is kept too.")
]
PresetName = Annotated[str, typer.Option(help=f"The recipe, which the options below change: {', '.join(PRESETS)}.")]

_STAGES: dict[str, type] = {"pretrain": PretrainSettings, "train": TrainSettings}


@app.command()
@options_from(config=True, pretrain=PretrainSettings)
def pretrain(
    data: TrainData,
    out: RunFolder = None,
    method: PretrainMethod = METHOD,
    setting: MethodSettings = None,
    resume: Resume = False,
    *,
    changes: Changes,
) -> None:
    """Train a backbone to classify the train split; validation episodes pick the epoch.

    Processes that torchrun or srun starts share each step.
    """
    settings = PretrainSettings(**changes["pretrain"])
    folder = out or Path("runs") / f"{method}-pretrain"
    _check(folder, data, settings, resume)
    from triptych.methods import changed
    from triptych.training import config_to_train
    from triptych.training import pretrain as run_pretraining

    config = changed(config_to_train(method), read_method_settings(setting))
    with _resumable(folder):
        best = run_pretraining(data, folder, config, settings, resume)
    _say_once(best)


@app.command()
@options_from(RunSettings, config=True, **_STAGES)
def train(
    data: TrainData,
    out: RunFolder = None,
    method: TrainMethod = None,
    setting: MethodSettings = None,
    preset: PresetName = "fast",
    init: Init = None,
    keep_fusion: KeepFusion = True,
    backbone: TrainBackbone = None,
    resume: Resume = False,
    *,
    changes: Changes,
) -> None:
    """Train a method on episodes; validation picks the model and the test split is never opened.

    Processes that torchrun or srun starts share each step.
    """
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; expected one of {', '.join(PRESETS)}")
    if init is None and not keep_fusion:
        raise ValueError("--new-fusion is an option of --init, which is missing; leave it out or say where to start")
    if init is not None and backbone is not None:
        raise ValueError("--init and --backbone both say what the weights start from; leave one out")
    started = f"--init {init}" if init is not None else f"--backbone {backbone}" if backbone is not None else None
    if started is not None or PRESETS[preset].pretrain is None:
        _refuse_pretraining(changes, started or f"preset {preset}")
    folder = out or Path("runs") / _folder_name(method, init, backbone)
    _check(folder, data, replace(PRESETS[preset].train, **changes["train"]), resume)
    from triptych.methods import changed
    from triptych.training import chosen_preset, config_to_train, side_of
    from triptych.training import train as run_training

    config = config_to_train(method, init, backbone)
    recipe = _recipe(chosen_preset(preset, side_of(config, backbone)), changes, started is None)
    what = changed(config, read_method_settings(setting)) if setting or method is not None else None
    with _resumable(folder):
        best = run_training(data, folder, what, recipe, init, resume, keep_fusion, backbone)
    _say_once(best)


def _folder_name(method: str | None, init: str | None, backbone: str | None) -> str:
    if backbone is not None:
        return f"{method or 'mml'}-{Path(backbone).name}"
    return method or METHOD if init is None or method is not None else f"from-{Path(init).stem}"


def _recipe(preset: Preset, changes: Changes, pretrained: bool) -> Preset:
    """The preset with what was typed."""
    first = replace(preset.pretrain, **changes["pretrain"]) if preset.pretrain is not None and pretrained else None
    return Preset(first, replace(preset.train, **changes["train"]))


def _resumable(folder: Path) -> AbstractContextManager[None]:
    return resumable("the same command with --resume goes on from the last checkpoint", lambda: has_checkpoint(folder))


def _say_once(best: Path) -> None:
    """One of several processes names the result."""
    from triptych.training import is_first_process

    if is_first_process():
        say(str(best))


def _check(folder: Path, data: str, settings: RunSettings, resume: bool) -> None:
    """What can be known before torch is loaded, and then the device."""
    check_run_folder(folder, [Path(data)], resume)
    if settings.device != "auto":
        from triptych.system.devices import usable_device

        usable_device(settings.device)


def _refuse_pretraining(changes: Changes, reason: str) -> None:
    """Options of a stage that does not take place are a mistake."""
    own = sorted(set(changes["pretrain"]) - {one.name for one in fields(RunSettings)})
    if own:
        options = listed([as_typed("pretrain", one, RunSettings, **_STAGES) for one in own])
        raise ValueError(f"{reason} leaves out pre-training; leave out {options} too")
