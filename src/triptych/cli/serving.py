"""The command that serves a web page and an HTTP API."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from triptych.cli.app import app
from triptych.cli.options import Changes, Device, Method, ask_recognizer, before_work, checked, options_from
from triptych.cli.terminal import say
from triptych.serve import Settings
from triptych.system.files import read_named
from triptych.system.settings import whole
from triptych.weights import DEFAULT

__all__ = ["serve"]


@app.command()
@options_from(limits=Settings)
def serve(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A .triptych file to have on a shelf.", metavar="FILE", callback=before_work(ask_recognizer)
        ),
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; other than this machine's own needs a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0 for any.", callback=checked(whole(0, 65535)))] = 8000,
    data: Annotated[
        Path | None, typer.Option(help="The folder of shelves.", show_default="~/.local/share/triptych", metavar="DIR")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="A file with the token; else TRIPTYCH_TOKEN is.", metavar="FILE")
    ] = None,
    allow_host: Annotated[
        list[str] | None, typer.Option(help="A name by which others call it; may be given several times.")
    ] = None,
    method: Method = DEFAULT,
    device: Device = "cpu",
    *,
    changes: Changes,
) -> None:
    """Serve a web page and an HTTP API on this machine, until it is ended."""
    settings, token = Settings(**changes["limits"]), _token(token_file)
    from triptych.serve.running import check_token
    from triptych.serve.running import serve as run_service
    from triptych.system.devices import usable_device

    check_token(host, token, allow_host or [])
    usable_device(device)
    run_service(data or _data(), file, host, port, token, allow_host or [], method, device, settings, _ready)


def _ready(address: str) -> None:
    say(f"Triptych serves {address} (Ctrl-C ends it)")
    sys.stdout.flush()


def _token(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get("TRIPTYCH_TOKEN") or None
    try:
        return read_named(file, "a file with the token").decode().strip()
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}: no text in UTF-8; expected a file with the token") from error


def _data() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "triptych"
