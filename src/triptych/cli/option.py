"""An option of a command that comes from a field of settings."""

import inspect
from dataclasses import Field, dataclass
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typer

from triptych.system.settings import Check

__all__ = ["Option"]


@dataclass(frozen=True)
class Option:
    """An option of a command, and the field that it sets in each of some stages."""

    name: str
    field: Field
    settings: type
    stages: tuple[str, ...]
    panel: str | None

    @property
    def flag(self) -> str:
        """As it is typed."""
        return f"--{self.name.replace('_', '-')}"

    def ask(self, value: Any) -> None:
        """Refuse what it may not be; of several values the wrong one is named."""
        check: Check = self.field.metadata["check"]
        check = check.given or check  # None is what is left out
        for one in value if check.member else [value]:
            (check.member or check).ask(self.flag, one)

    def parameter(self, with_default: bool) -> inspect.Parameter:
        """The parameter of the command."""
        kind = _kind(get_type_hints(self.settings)[self.field.name])
        default = self.field.default if with_default and not isinstance(self.field.default, tuple) else None
        option = typer.Option(self.flag, help=self.field.metadata["help"], rich_help_panel=self.panel)
        return inspect.Parameter(
            self.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind | None, option]
        )


def _kind(hint: Any) -> Any:
    """The type of an option for a field's: of a tuple of any length a list, and of what may be None the other."""
    arguments = [one for one in get_args(hint) if one is not NoneType]
    if get_origin(hint) is tuple:
        return list[arguments[0]] if arguments[-1] is Ellipsis else hint  # type: ignore[valid-type]
    return arguments[0] if arguments else hint
