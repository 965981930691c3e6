"""The unit and the container file start the service with options that it has."""

import json
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.core import TyperGroup

from triptych.cli.app import app
from triptych.serve.client import Client
from triptych.serve.running import check_token

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def of_unit() -> list[str]:
    [line] = [one for one in (DEPLOY / "triptych.service").read_text().splitlines() if one.startswith("ExecStart=")]
    return shlex.split(line.partition("=")[2])


def of_container() -> list[str]:
    text = (DEPLOY / "Containerfile").read_text()
    [line] = [one for one in text.splitlines() if one.startswith("ENTRYPOINT ")]
    [more] = re.findall(r" triptych (--allow-host \S+)$", text, re.MULTILINE)
    return [*json.loads(line.partition(" ")[2]), *more.split()]


def options(command: list[str]) -> dict[str, object]:
    """What the command line reads from it, without running it."""
    program, name, *rest = command
    assert Path(program).name == "triptych"
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    return group.commands[name].make_context(name, rest).params


@pytest.mark.parametrize("command", [of_unit(), of_container()], ids=["unit", "container"])
def test_its_options_are_those_of_the_command(command: list[str]) -> None:
    found = options(command)
    assert found["allow_host"] == ["fruit.example"]
    assert found["port"] == 8000
    check_token(str(found["host"]), "0123456789abcdef", ["fruit.example"])
    with pytest.raises(Exception, match="no-such-option"):
        options([*command, "--no-such-option"])


def test_what_it_names_is_there() -> None:
    unit, container = options(of_unit()), options(of_container())
    text = (DEPLOY / "triptych.service").read_text()
    assert str(unit["data"]) == "%S/triptych"
    assert "StateDirectory=triptych" in text
    assert str(unit["token_file"]) == "%d/token"
    assert "LoadCredential=token:" in text
    text = (DEPLOY / "Containerfile").read_text()
    assert f"VOLUME {container['data']}\n" in text
    assert f"EXPOSE {container['port']}\n" in text
    copied = re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE)
    for name in (name for line in copied for name in line.split()):
        assert (DEPLOY.parent / name).exists()


def test_the_docs_name_every_request_and_parameter(client: Client) -> None:
    text = (DEPLOY.parent / "docs" / "serve.md").read_text()
    paths = client.ask("GET", "/openapi.json").json["paths"]
    parameters = {one["name"] for path in paths.values() for way in path.values() for one in way.get("parameters", [])}
    in_paths = {name for path in paths for name in re.findall("{(\\w+)}", path)}
    for name in parameters - in_paths - {"if-match", "if-none-match"}:
        assert f"| `{name}` |" in text
    for path in paths:
        assert f"/{path.rpartition('/')[2]}`" in text or f"/{path.rpartition('/')[2]}?" in text, path


def test_the_proxies_lead_to_where_the_service_listens() -> None:
    text = (DEPLOY.parent / "docs" / "serve.md").read_text()
    port = options(of_unit())["port"]
    assert text.count(f"127.0.0.1:{port}\n") + text.count(f"127.0.0.1:{port};") == 2
    [line] = [one for one in text.splitlines() if one.startswith("triptych serve --data")]
    assert options(line.split())["allow_host"] == ["fruit.example"]
