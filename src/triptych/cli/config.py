"""Settings of a command from a YAML file: ``--config FILE.yaml``. What is typed on the command line wins.

A key is an option without its dashes: ``learning-rate: 0.01``; what may be typed several times is a list, and
``setting:`` a section of settings of the method. A section ``pretrain:``, ``train:`` or ``evaluate:`` sets what that
command, or that stage of ``train``, takes. Sections of other commands are passed over, so one file can hold a whole
experiment. ``config.yaml`` in a run's folder is such a file.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from triptych.cli.method_settings import NAMED_VALUE, written_settings
from triptych.cli.option import Option
from triptych.system.settings import Check
from triptych.system.wording import nearest, printable
from triptych.system.yaml_files import read_yaml

__all__ = ["Config", "config_parameter", "read_config"]

SECTIONS = ("pretrain", "train", "evaluate")
_TYPED = {"config", "changes", "resume", "overwrite", "as_json"}  # about one call, and no settings of it


@dataclass(frozen=True)
class Config:
    """What a file sets.

    Attributes:
        own: of the command's own options and arguments.
        changes: stage -> field -> value.

    >>> from triptych.cli.config import Config
    >>> Config({"method": "dn4-conv64f"}, {"train": {"way": 5}}).changes["train"]
    {'way': 5}
    """

    own: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, dict[str, Any]] = field(default_factory=dict)


def read_config(
    path: Path, options: Sequence[Option], stages: Mapping[str, type], own: Mapping[str, type | None]
) -> Config:
    """What a YAML file sets of a command.

    Args:
        path: the file.
        options: of the command, those of its settings.
        stages: of the command, and their settings.
        own: its other options and arguments, and of which type each is.

    Raises:
        ValueError: no such file, an unknown key, which the message names with the nearest known one, or a value of
            another type.
    """
    file = printable(path)
    found = Config(changes={stage: {} for stage in stages})
    values = read_yaml(path)
    if not values:
        raise ValueError(f"{file}: no settings in it; expected some by name, such as way: 5")
    known = _by_name(options)
    for key, value in values.items():
        name = key.replace("-", "_")
        if key in SECTIONS:
            if not isinstance(value, dict | NoneType):
                raise ValueError(f"{file}: {key} must be a section of settings by name, got {value!r:.80}")
        elif name in own:
            _take(found, name, _own(f"{file}: {key}", value, own[name]), own[name])
        elif name in known:
            for stage in known[name].stages:
                found.changes[stage][known[name].field.name] = _checked(f"{file}: {key}", value, known[name])
        else:
            raise ValueError(f"{file}: unknown key {key!r}; {nearest(key, _typed([*own, *known, *SECTIONS]))}")
    last = list(stages)[-1]
    for stage in stages:
        _read_section(file, stage, values.get(stage) or {}, found, options, own if stage == last else {})
    return found


def config_parameter(
    options: Sequence[Option], stages: Mapping[str, type], parameters: Mapping[str, inspect.Parameter]
) -> inspect.Parameter:
    """The option ``--config``; its value is a ``Config``, and what a file sets are defaults of the other options."""
    own = {name: _kind(one.annotation) for name, one in parameters.items() if name not in _TYPED}

    def callback(context: typer.Context, value: str | None) -> Config | None:
        if value is None:
            return None
        config = read_config(Path(value), options, stages, own)
        defaults = {name: one for name, one in config.own.items() if one is not None}
        if len(stages) == 1:  # else the options of settings have no defaults, and are merged with what they change
            (changes,) = config.changes.values()
            fields = {option.field.name: option.name for option in options}
            defaults |= {fields[name]: _listed(one) for name, one in changes.items() if one is not None}
        context.default_map = {**(context.default_map or {}), **defaults}
        return config

    return inspect.Parameter(
        "config",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[str | None, _option(callback)],
    )


def _option(callback: Callable[..., Any]) -> Any:
    told = "Settings from this YAML file, such as config.yaml of a run; what is typed here wins."
    return typer.Option("--config", help=told, metavar="FILE", is_eager=True, callback=callback)


def _read_section(
    file: str,
    stage: str,
    values: Mapping[str, Any],
    found: Config,
    options: Sequence[Option],
    own: Mapping[str, type | None],
) -> None:
    known = _of_stage(options, stage)
    for key, value in values.items():
        name, called = str(key).replace("-", "_"), f"{file}: {stage}: {key}"
        if name in known:
            found.changes[stage][known[name].field.name] = _checked(called, value, known[name])
        elif name in own:
            _take(found, name, _own(called, value, own[name]), own[name])
        else:
            raise ValueError(f"{file}: unknown key {key!r} in {stage}; {nearest(str(key), _typed([*known, *own]))}")


def _by_name(options: Sequence[Option]) -> dict[str, Option]:
    """Options by what they are called, and by their fields where no option is called so."""
    called = {option.name: option for option in options}
    for option in options:
        called.setdefault(option.field.name, option)
    return called


def _of_stage(options: Sequence[Option], stage: str) -> dict[str, Option]:
    """Options that set a field of a stage, by the field and by what the option is called without the stage."""
    mine = [option for option in options if stage in option.stages]
    names = {option.name.removeprefix(f"{stage}_"): option for option in mine}
    return {**names, **{option.field.name: option for option in mine}}


def _checked(called: str, value: Any, option: Option) -> Any:
    """A value of YAML as the field takes it: lists are tuples there, and one thing may stand for a list of one."""
    check: Check = option.field.metadata["check"]
    hint = get_type_hints(option.settings)[option.field.name]
    kinds = [one for one in get_args(hint) if one is not NoneType and one is not Ellipsis] or [hint]
    if check.member is not None:
        given = value if isinstance(value, list) else [value]
        value = tuple(float(one) if kinds[0] is float and type(one) is int else one for one in given)
        for one in value:
            check.member.ask(called, one)
    elif kinds[0] is float and type(value) is int:
        value = float(value)
    check.ask(called, value)
    return value


def _own(called: str, value: Any, kind: type | None) -> Any:
    if value is None:
        return None
    if kind is dict:
        if not isinstance(value, dict) or not all(isinstance(one, str) for one in value):
            raise ValueError(f"{called} must be a section of settings by name, got {value!r:.80}")
        try:
            return written_settings(value)
        except ValueError as error:
            raise ValueError(f"{called}: {error}") from error
    if kind is list:
        value = value if isinstance(value, list) else [value]
        if not all(isinstance(one, str) for one in value):
            raise ValueError(f"{called} must be a text or a list of texts, got {value!r:.80}")
    elif not isinstance(value, bool if kind is bool else str):
        raise ValueError(f"{called} must be {'true or false' if kind is bool else 'a text'}, got {value!r:.80}")
    if value == "" or (isinstance(value, list) and "" in value):  # a path of no letters would be the folder at hand
        raise ValueError(f"{called} is empty; give a value, or leave it out")
    return value


def _take(found: Config, name: str, value: Any, kind: type | None) -> None:
    """Settings of the method in a section add to those outside."""
    found.own[name] = [*found.own.get(name, []), *value] if kind is dict and value else value


def _kind(annotation: Any) -> type | None:
    """What an annotation of a parameter asks for: bool, list, settings by name, or text, which paths are too."""
    if any(getattr(one, "metavar", None) == NAMED_VALUE for one in getattr(annotation, "__metadata__", ())):
        return dict
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    kinds = [one for one in get_args(plain) if one is not NoneType] if get_origin(plain) is not list else [list]
    kind = (kinds or [plain])[0]
    return kind if kind in (bool, list) else list if get_origin(kind) is list else str


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _typed(names: Sequence[str]) -> list[str]:
    return [name.replace("_", "-") for name in dict.fromkeys(names)]
