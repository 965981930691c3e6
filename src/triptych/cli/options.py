"""Options: those that several commands share, and those that come from the dataclasses of settings."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import Field, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.config import Config, config_parameter
from triptych.cli.option import Option
from triptych.system.devices import check_device_name
from triptych.system.files import check_named
from triptych.system.kinds import RECOGNIZER_FILE
from triptych.system.settings import DEVICE_HELP, NAME, Check
from triptych.system.wording import LAYOUTS, SPLIT_LAYOUTS

__all__ = [
    "AsJson",
    "Backbone",
    "Changes",
    "Coverage",
    "Data",
    "DataSets",
    "Device",
    "FalseAlarm",
    "Method",
    "Overwrite",
    "Photos",
    "PhotosFrom",
    "RecognizerFile",
    "Resume",
    "RunFolder",
    "Split",
    "TrainData",
    "Unknown",
    "as_typed",
    "ask_backbone",
    "ask_method",
    "ask_photo",
    "ask_photo_folder",
    "ask_recognizer",
    "before_work",
    "checked",
    "options_from",
]


def checked(check: Check) -> Callable[..., Any]:
    """A callback of an option that refuses, in one line, what it may not be."""

    def callback(param: typer.CallbackParam, value: Any) -> Any:
        if value is not None:
            check.ask(param.opts[0], value)
        return value

    return callback


def before_work(check: Callable[[Any], None]) -> Callable[..., Any]:
    """A callback of an option or an argument: asks of each value what can be known before torch is loaded."""

    def callback(value: Any) -> Any:
        for one in value if isinstance(value, list) else [value]:
            if one is not None:
                check(one)
        return value

    return callback


def ask_recognizer(file: Path) -> None:
    """Refuse what is no file and no bank."""
    from triptych.bank import is_bank

    if not is_bank(file):
        check_named(file, RECOGNIZER_FILE)


def _ask_data(source: str | Path) -> None:
    from triptych.data import check_data

    check_data(source)


def _ask_splits(source: str | Path) -> None:
    """Refuse what is no data, and warn of what two splits share."""
    from triptych.data import check_data, warn_of_shared

    check_data(source)
    warn_of_shared(source)


def ask_method(name: str) -> None:
    """Refuse a method that cannot be had."""
    from triptych.interop import check_method

    check_method(name)


def ask_photo(photo: str | Path) -> None:
    """Refuse what cannot be opened as a photo."""
    from triptych.data import check_photo

    check_photo(photo)


def ask_photo_folder(folder: Path) -> None:
    """Refuse what is no folder."""
    from triptych.data import check_photo_folder

    check_photo_folder(folder)


def ask_backbone(name: str) -> None:
    """Refuse a model of transformers that cannot be had."""
    from triptych.interop import check_backbone

    check_backbone(name)


Method = Annotated[
    str,
    typer.Option(
        help="Weights that triptych methods lists, a .safetensors file, a run's folder, hf:OWNER/NAME, or a published "
        "checkpoint.",
        callback=before_work(ask_method),
    ),
]
Backbone = Annotated[
    str | None,
    typer.Option(
        help="A transformers vision model to recognise by: its name on the hub, or its folder. Of --method it takes a "
        "method alone that needs no training, such as frn.",
        callback=before_work(ask_backbone),
    ),
]
Device = Annotated[str, typer.Option(help=DEVICE_HELP, callback=before_work(check_device_name))]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]
Split = Annotated[
    str | None, typer.Option(help="train, val or test, where the photos have splits; none is taken by chance.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a file that such a command wrote.")]
Photos = Annotated[
    Path, typer.Argument(help=f"Photos by class: {LAYOUTS}.", metavar="DATA", callback=before_work(_ask_data))
]
PhotosFrom = Annotated[
    Path | None,
    typer.Option(
        "--from", help=f"In place of LABEL and PHOTOS: {LAYOUTS}.", metavar="DATA", callback=before_work(_ask_data)
    ),
]
RecognizerFile = Annotated[
    Path, typer.Argument(help="A .triptych file, or a bank.", metavar="FILE", callback=before_work(ask_recognizer))
]
Unknown = Annotated[
    str | None,
    typer.Option(help="Answer this where a photo is of none of the classes.", metavar="LABEL", callback=checked(NAME)),
]
FalseAlarm = Annotated[
    float | None,
    typer.Option(
        help="With --unknown: the share of photos of known classes that may be called so.", show_default="0.05"
    ),
]
Coverage = Annotated[
    float | None,
    typer.Option(help="Also give the set of classes that holds the true one so often, for example 0.9."),
]
Data = Annotated[
    str, typer.Argument(help=f"Photos by class: {LAYOUTS}.", metavar="DATA", callback=before_work(_ask_data))
]
DataSets = Annotated[
    list[str],
    typer.Argument(
        help=f"Photos by class, or several such data sets for a cross-domain table: {LAYOUTS}.",
        metavar="DATA...",
        callback=before_work(_ask_data),
    ),
]
TrainData = Annotated[
    str,
    typer.Argument(
        help=f"Photos by class, with splits train and val: {SPLIT_LAYOUTS}.",
        metavar="DATA",
        callback=before_work(_ask_splits),
    ),
]
RunFolder = Annotated[Path | None, typer.Option("--out", "-o", help="The run's folder; by default runs/METHOD.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue the run in --out, if there is one.")]

Changes = dict[str, dict[str, Any]]  # stage -> field -> the value that was given

_CONTEXT = "context"  # of the call, which knows what was typed


def options_from(
    shared: type | None = None, /, *, config: bool = False, **stages: type
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command an option for each field of the settings of its stages; it gets what was set as ``changes``.

    The option is called as the field, or as its ``option`` says; its help, its type and its check are the field's. What
    the stages inherit from ``shared`` is one option of them all. Another name that two stages have gets the first one's
    name in front there: ``--pretrain-jitter``. In the help, the options stand where ``changes`` does. With ``config``
    the command takes them from a file too; see ``triptych.cli.config``.
    """
    options = list(_options(shared, stages))
    several = len(stages) > 1

    def with_options(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def called(**given: Any) -> Any:
            file: Config = given.pop("config", None) or Config()
            changes: Changes = {stage: dict(file.changes.get(stage, {})) for stage in stages}
            context: typer.Context = given.pop(_CONTEXT)
            for option in options:
                value = given.pop(option.name, None)
                if value in (None, []) or _is_default(context, option):
                    continue
                value = tuple(value) if isinstance(value, list) else value
                option.ask(value)
                for stage in option.stages:
                    changes[stage][option.field.name] = value
            return command(**given, changes=changes)

        own = inspect.signature(command, eval_str=True)
        wanted = [option.parameter(with_default=not several) for option in options]
        if config:
            wanted.insert(0, config_parameter(options, stages, own.parameters))
        parameters = [
            parameter
            for name, one in own.parameters.items()
            for parameter in (wanted if name == "changes" else [one.replace(kind=inspect.Parameter.KEYWORD_ONLY)])
        ]
        parameters.append(inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context))
        called.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {one.name: one.annotation for one in parameters}
        return called

    return with_options


def as_typed(stage: str, field: str, shared: type | None = None, /, **stages: type) -> str:
    """What the option for a field of a stage is called; the other arguments are those of ``options_from``.

    >>> from triptych.cli.options import as_typed
    >>> from triptych.training import PretrainSettings, TrainSettings
    >>> as_typed("pretrain", "sides", pretrain=PretrainSettings, train=TrainSettings)
    '--pretrain-side'
    """
    options = _options(shared, stages)
    return next(one.flag for one in options if stage in one.stages and one.field.name == field)


def _is_default(context: typer.Context, option: Option) -> bool:
    """Whether an option was neither typed nor set by a file."""
    source = context.get_parameter_source(option.name)
    return source is not None and source.name == "DEFAULT"


def _options(shared: type | None, stages: Mapping[str, type]) -> Iterator[Option]:
    last, common = list(stages)[-1], {} if shared is None else _names(shared)
    for stage, settings in reversed(list(stages.items())):
        panel = inspect.cleandoc(settings.__doc__ or "").splitlines()[0].rstrip(".") if len(stages) > 1 else None
        for name, one in _names(settings).items():
            called = one.metadata["option"] or name
            if name in common:
                if stage == last:
                    yield Option(called, one, settings, tuple(stages), None)
            elif stage != last and name in _names(stages[last]):
                yield Option(f"{stage}_{called}", one, settings, (stage,), panel)
            else:
                yield Option(called, one, settings, (stage,), panel)


def _names(settings: type) -> dict[str, Field]:
    return {one.name: one for one in fields(settings)}
