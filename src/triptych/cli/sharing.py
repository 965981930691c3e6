"""Commands that give a method to others, and take one from them."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from triptych.cli.app import app
from triptych.cli.options import Overwrite, ask_method, before_work
from triptych.cli.terminal import say
from triptych.system.files import read_named
from triptych.system.kinds import METHOD
from triptych.system.outputs import check_output

__all__ = ["pull", "push"]

_NEEDED = {"accuracy", "ci95", "weights_sha256", "data", "episodes"}  # of a record
_PLACE = "A folder, or hf:OWNER/NAME on the Hugging Face hub."


@app.command()
def push(
    method: Annotated[
        str,
        typer.Argument(
            help="A .safetensors file, a run's folder, or a name that triptych methods lists.",
            callback=before_work(ask_method),
        ),
    ],
    place: Annotated[str, typer.Argument(help=_PLACE, metavar="PLACE")],
    licence: Annotated[
        str | None, typer.Option(help="Licence of the weights, as the hub calls it, such as mit.")
    ] = None,
    record: Annotated[
        list[Path] | None,
        typer.Option(help="A record that evaluate wrote with --out, for the card. Give it again for more."),
    ] = None,
    card: Annotated[Path | None, typer.Option(help="Your own card in place of the one that is made.")] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Only you can see the repository, if push makes it.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """Share a method with its card: to a folder, or to the Hugging Face hub."""
    _refuse_beside_card(card, licence, record)
    if private and not place.startswith("hf:"):
        raise ValueError(f"--private is of a repository on the hub, and {place} is a folder; leave it out")
    from triptych.interop import check_push, load_method, model_card, push_method, training_of

    check_push(place, overwrite)
    records = [one for path in record or [] for one in _records(path)]
    loaded = load_method(method)
    if card is not None:
        text = _text(card)
    else:
        run = Path(method) if Path(method).is_dir() else Path(method).parent
        training = training_of(run) if Path(method).exists() else {}
        text = model_card(loaded, Path(place.removeprefix("hf:")).resolve().name, licence, training, records)
    say(push_method(loaded, place, text, overwrite, private))


@app.command()
def pull(
    place: Annotated[str, typer.Argument(help=_PLACE, metavar="PLACE", callback=before_work(ask_method))],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file.")],
    overwrite: Overwrite = False,
) -> None:
    """Fetch a method that was pushed, and write it to a file."""
    check_output(out, METHOD, overwrite=overwrite)
    from triptych.interop import pull_method
    from triptych.methods import save_method

    save_method(pull_method(place), out)
    say(str(out))


def _refuse_beside_card(card: Path | None, licence: str | None, record: list[Path] | None) -> None:
    """What the made card would hold is not put into your own."""
    if card is not None and (licence is not None or record):
        given = "--record" if licence is None else f"--licence {licence}"
        raise ValueError(f"{given} is for the card that is made, and --card {card} is given; write it into that card")


def _records(path: Path) -> list[dict[str, Any]]:
    """What a file holds: the record of one data set, or those of several."""
    try:
        content = json.loads(read_named(path, "a record that triptych evaluate wrote"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not a record that triptych evaluate wrote (no JSON)") from error
    records = content["domains"] if isinstance(content, dict) and "domains" in content else [content]
    if not isinstance(records, list) or not all(isinstance(one, dict) and one.keys() >= _NEEDED for one in records):
        raise ValueError(f"{path}: not a record that triptych evaluate wrote (something is missing)")
    return records


def _text(card: Path) -> str:
    try:
        return read_named(card, "a model card").decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{card}: no text in UTF-8; expected a model card in Markdown") from error
