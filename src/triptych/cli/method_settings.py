"""Settings of a method on the command line, NAME=VALUE, and in YAML, where they are a section ``setting:``."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

__all__ = ["NAMED_VALUE", "MethodSettings", "read_method_settings", "written_settings"]

NAMED_VALUE = "NAME=VALUE"


def _with_file(context: typer.Context, value: list[str] | None) -> list[str]:
    """What a file sets stays, but for what is typed."""
    return [*(context.default_map or {}).get("setting", []), *(value or [])]


MethodSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--setting",
        help="Another value of a setting of the method, as JSON: pixel_k=5, scale=null; once for each setting.",
        metavar=NAMED_VALUE,
        callback=_with_file,
    ),
]


def read_method_settings(given: Sequence[str] | None) -> dict[str, Any]:
    """Settings by name, of texts NAME=VALUE; a value is JSON, or else a text. The last one of a name counts.

    Raises:
        ValueError: a text of another form.

    >>> from triptych.cli.method_settings import read_method_settings
    >>> read_method_settings(["pixel-k=5", "distance=kl", 'levels=["pixel"]'])
    {'pixel_k': 5, 'distance': 'kl', 'levels': ['pixel']}
    """
    found = {}
    for one in given or ():
        name, equals, value = one.partition("=")
        if not name or not equals:
            raise ValueError(f"--setting {one!r:.80}: expected {NAMED_VALUE}, such as pixel_k=5")
        found[name.replace("-", "_")] = _read(value)
    return found


def written_settings(values: Mapping[str, Any]) -> list[str]:
    """The texts of settings by name.

    Raises:
        ValueError: a value that JSON cannot hold, such as a date of YAML.

    >>> from triptych.cli.method_settings import written_settings
    >>> written_settings({"pixel_k": 5, "distance": "kl"})
    ['pixel_k=5', 'distance="kl"']
    """
    try:
        return [f"{name}={json.dumps(value)}" for name, value in values.items()]
    except TypeError as error:
        raise ValueError(f"expected numbers, texts, lists and sections as settings of a method ({error})") from error


def _read(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
