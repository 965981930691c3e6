"""Options that come from the dataclasses of settings."""

import re
from dataclasses import dataclass, fields

import pytest
import typer
from commands import Command
from typer.testing import CliRunner

from triptych.cli.option import Option
from triptych.cli.options import Changes, options_from
from triptych.comparison import CompareSettings
from triptych.engines import EngineSettings
from triptych.evaluation import EvaluateSettings
from triptych.system.settings import NAME, each, number, setting, whole
from triptych.training import PretrainSettings, RunSettings, TrainSettings


@dataclass(frozen=True)
class Shared:
    seed: int = setting(0, "Of what is drawn.", whole(0))


@dataclass(frozen=True)
class First(Shared):
    """The first stage."""

    rate: float = setting(0.1, "How fast.", number(0, 1))
    epochs: int = setting(3, "How often.", whole(1))


@dataclass(frozen=True)
class Second(Shared):
    """The second stage."""

    rate: float = setting(0.2, "How fast in the end.", number(0, 1))
    sides: tuple[int, ...] = setting((), "How large.", each(whole(1)), option="side")
    pair: tuple[float, float] = setting((0.1, 0.2), "Two of them.", each(number(0, 1), 2, 2))
    name: str | None = setting(None, "How called.", NAME)


def changed(*arguments: str) -> Changes:
    """What a command of two stages gets."""
    app, found = typer.Typer(), {}

    @app.command()
    @options_from(Shared, first=First, second=Second)
    def run(data: str, quick: bool = False, *, changes: Changes) -> None:
        found.update(changes, data=data, quick=quick)

    ended = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return found


ENGINE = Option("workers", EngineSettings.__dataclass_fields__["workers"], EngineSettings, ("engine",), None)


def test_only_what_is_given_changes() -> None:
    assert changed("x") == {"data": "x", "quick": False, "first": {}, "second": {}}


def test_an_option_sets_the_fields_of_its_stages() -> None:
    found = changed("x", "--quick", *["--seed", "7", "--rate", "0.5", "--first-rate", "0.25", "--epochs", "9"])
    assert found["quick"] is True
    assert found["first"] == {"seed": 7, "rate": 0.25, "epochs": 9}
    assert found["second"] == {"seed": 7, "rate": 0.5}


def test_tuples_and_what_may_be_none() -> None:
    found = changed("x", "--side", "56", "--side", "84", "--pair", "0.3", "0.4", "--name", "y")
    assert found["second"] == {"sides": (56, 84), "pair": (0.3, 0.4), "name": "y"}


def test_what_an_option_may_not_be_is_said_of_the_option() -> None:
    with pytest.raises(ValueError, match=r"^--first-rate must be a number from 0 to 1, got 2\.0$"):
        changed("x", "--first-rate", "2")
    with pytest.raises(ValueError, match=r"^--side must be a whole number of at least 1, got 0$"):
        changed("x", "--side", "56", "--side", "0")
    with pytest.raises(ValueError, match=r"^--pair must be a number from 0 to 1, got 3\.0$"):
        changed("x", "--pair", "0.5", "3")
    with pytest.raises(ValueError, match=r"^--workers must be a whole number from 1 to 100000, got 0$"):
        ENGINE.ask(0)


@pytest.mark.parametrize(("verb", "settings"), [("evaluate", EvaluateSettings), ("compare", CompareSettings)])
def test_every_setting_of_a_measurement_is_an_option_with_its_default(
    command: Command, monkeypatch: pytest.MonkeyPatch, verb: str, settings: type
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    told = command(verb, "--help").out
    for one in fields(settings):
        line = next(line for line in told.splitlines() if f"--{one.metadata['option'] or one.name} " in line)
        assert one.metadata["help"][:40] in line
        assert isinstance(one.default, bool | tuple) or f"[default: {one.default}]" in line


def test_every_setting_of_training_is_an_option(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    pretrain, train = (command(verb, "--help").out for verb in ("pretrain", "train"))
    shared, later = {one.name for one in fields(RunSettings)}, {one.name for one in fields(TrainSettings)}
    for one in fields(PretrainSettings):
        name = (one.metadata["option"] or one.name).replace("_", "-")
        assert re.search(rf"--{name} ", pretrain)
        front = "pretrain-" if one.name in later - shared else ""
        assert re.search(rf"--{front}{name} ", train)
    for one in fields(TrainSettings):
        name = (one.metadata["option"] or one.name).replace("_", "-")
        assert re.search(rf"--{name} ", train)
    assert "Passes over the train split." in pretrain
    assert "[default: 14]" in pretrain
