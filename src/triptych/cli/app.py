"""The application that the commands join, the options they share, and how they end."""

import io
import json
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = ["AsJson", "Backbone", "Method", "app", "complain", "main", "print_json", "spare"]

app = typer.Typer(
    help="Few-shot image recognition that shows its evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Method = Annotated[str, typer.Option(help="An embedded name, a .safetensors file, or a published checkpoint.")]
Backbone = Annotated[
    str | None, typer.Option(help="A transformers vision model to use instead: its name on the hub, or its folder.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")]


def main() -> None:
    """Run the command: 0 done, 1 could not, 2 wrong usage; one line says what is wrong."""
    warnings.showwarning = _show_warning
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # the name of a file may be no text
    try:
        app()
    except ValueError as error:
        _fail(2, error)
    except (OSError, RuntimeError) as error:
        _fail(1, error)
    except KeyboardInterrupt:
        sys.exit(130)


def print_json(result: Any) -> None:
    """Print one JSON document on stdout."""
    print(json.dumps(result, indent=2, ensure_ascii=False))


def spare(out: Path, *read: Path) -> None:
    """Refuse to write a result over what it is made of."""
    if out.exists() and any(path.exists() and out.samefile(path) for path in read):
        raise ValueError(f"{out}: is read by this command and would be lost; name another file to write")


def complain(kind: str, message: str) -> None:
    """Say on stderr what is wrong."""
    print(f"{kind}: {message}", file=sys.stderr)


def _fail(code: int, error: Exception) -> None:
    complain("error", str(error))
    sys.exit(code)


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    complain("warning", str(message))
