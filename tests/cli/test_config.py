"""``--config FILE.yaml``: the same settings as on the command line, which wins."""

from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import typer
from commands import Command
from photos import class_folders
from toys import small_method
from typer.testing import CliRunner

from triptych import save_method
from triptych.cli.options import Changes, options_from
from triptych.evaluation import EvaluateSettings
from triptych.system.settings import each, number, optional, setting, whole
from triptych.system.yaml_files import read_yaml
from triptych.training import PRESETS


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
    limit: int | None = setting(5, "How many.", optional(whole(1)))


def run(path: Path, text: str, *arguments: str, single: bool = False) -> dict:
    """What a command of two stages, or of the first alone, gets."""
    path.write_text(text)
    app, found = typer.Typer(), {}
    stages = {"train": First} if single else {"pretrain": First, "train": Second}

    @app.command()
    @options_from(Shared, config=True, **stages)
    def command(data: str, quick: bool = False, out: Path | None = None, *, changes: Changes) -> None:
        found.update(changes, data=data, quick=quick, out=out)

    ended = CliRunner().invoke(app, [*arguments, "--config", str(path)], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.yaml"


def test_a_key_is_an_option_without_its_dashes(file: Path) -> None:
    found = run(
        file, "data: x\nquick: true\nseed: 7\nrate: 1e-1\npretrain-rate: 1\nepochs: 9\nside: [56, 84]\nlimit: 3"
    )
    assert (found["data"], found["quick"]) == ("x", True)
    assert found["pretrain"] == {"seed": 7, "rate": 1.0, "epochs": 9}
    assert found["train"] == {"seed": 7, "rate": 0.1, "sides": (56, 84), "limit": 3}
    assert type(found["pretrain"]["rate"]) is float


def test_a_section_is_of_one_stage_and_those_of_other_commands_are_passed_over(file: Path) -> None:
    text = "seed: 7\nevaluate: {wey: 3}\npretrain: {seed: 1, rate: 0.5}\ntrain: {quick: true, sides: 56, pair: [0, 1]}"
    found = run(file, text, "x")
    assert found["pretrain"] == {"seed": 1, "rate": 0.5}
    assert found["train"] == {"seed": 7, "sides": (56,), "pair": (0.0, 1.0)}
    assert found["quick"] is True


@pytest.mark.parametrize("single", [False, True])
def test_the_command_line_wins(file: Path, single: bool) -> None:
    text = "data: x\nseed: 7\nquick: true\nout: here\ntrain: {rate: 0.25}"
    found = run(file, text, "y", "--seed", "8", "--no-quick", single=single)
    assert (found["data"], found["quick"], found["out"]) == ("y", False, Path("here"))
    assert found["train"]["seed"] == 8
    assert found["train"]["rate"] == 0.25


def test_nothing_is_a_value_where_a_setting_may_be_none(file: Path) -> None:
    assert run(file, "train: {limit: null}", "x")["train"] == {"limit": None}
    with pytest.raises(ValueError, match=r"x.yaml: train: epochs must be a whole number of at least 1, got None"):
        run(file, "train: {epochs: null}", "x", single=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sead: 1", "x.yaml: unknown key 'sead'; did you mean 'seed'?"),
        ("train: {sids: 1}", "x.yaml: unknown key 'sids' in train; did you mean 'sides'?"),
        ("seed: one", "x.yaml: seed must be a whole number of at least 0, got 'one'"),
        ("seed: true", "x.yaml: seed must be a whole number of at least 0, got True"),
        ("rate: [0.1]", r"x.yaml: rate must be a number from 0 to 1, got [0.1]"),
        ("pretrain: {rate: 3}", "x.yaml: pretrain: rate must be a number from 0 to 1, got 3.0"),
        ("side: [1, 0]", "x.yaml: side must be a whole number of at least 1, got 0"),
        ("quick: 1", "x.yaml: quick must be true or false, got 1"),
        ("data: 5", "x.yaml: data must be a text, got 5"),
        ("train: 5", "x.yaml: train must be a section of settings by name, got 5"),
        ("resume: true", "x.yaml: unknown key 'resume'"),
        ("data: ''", "x.yaml: data is empty; give a value, or leave it out"),
    ],
)
def test_what_is_wrong_is_one_sentence_with_the_nearest_key(file: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (compared below)
        run(file, text, "x")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_evaluation_writes_a_folder_whose_settings_give_it_again(command: Command, tmp_path: Path) -> None:
    data = class_folders(tmp_path / "photos", classes=3, each=4)
    asked = ("--way", 2, "--queries", 2, "--episodes", 3, "--seed", 5)
    first = command("evaluate", data, *asked, "--run-folder", tmp_path / "run", "--json")
    assert first.code == 0, first.err
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"config.yaml", "environment.json", "record.json"}
    config = read_yaml(tmp_path / "run" / "config.yaml")
    settings = EvaluateSettings(way=2, queries=2, episodes=3, seed=5, precision=first.json["precision"])
    assert config["evaluate"] == asdict(settings)
    assert settings.precision != "auto"
    again = command("evaluate", "--config", tmp_path / "run" / "config.yaml", "--json")
    assert again.code == 0, again.err
    assert again.json["levels"] == first.json["levels"]
    refused = command("evaluate", "--config", tmp_path / "run" / "config.yaml", "--run-folder", tmp_path / "run")
    assert refused.code == 2
    assert "an evaluation already lies here; replace it with --overwrite" in refused.err
    assert "holds other things" in command("evaluate", data, "--run-folder", tmp_path).err


def test_only_what_an_evaluation_wrote_is_replaced_by_one(command: Command, tmp_path: Path) -> None:
    data = class_folders(tmp_path / "photos", classes=3, each=4)
    asked = ("evaluate", data, "--way", 2, "--queries", 2, "--episodes", 2, "--overwrite", "--run-folder")
    run = tmp_path / "run"
    for _ in range(2):
        assert command(*asked, run).code == 0
    for name, text in (("config.yaml", "mine: 1\n"), ("table.md", "# Mine\n"), ("record.json", "{}")):
        before = {path: path.read_bytes() for path in run.iterdir()}
        (run / name).write_text(text)
        refused = command(*asked, run)
        assert (refused.code, f"{run / name}: exists and is no " in refused.err) == (2, True), refused.err
        assert (run / name).read_text() == text
        (run / name).unlink()
        for path, content in before.items():
            path.write_bytes(content)
    (run / "table.md").mkdir()
    assert "holds other things than an evaluation (table.md)" in command(*asked, run).err
    assert "whose photos are read; name a place outside" in command(*asked, data / "run").err
    assert not (data / "run").exists()


def test_a_record_may_lie_in_the_folder_of_the_method_s_run(command: Command, tmp_path: Path) -> None:
    data = class_folders(tmp_path / "photos", classes=3, each=4)
    (tmp_path / "run").mkdir()
    save_method(small_method(), tmp_path / "run" / "best.safetensors")
    asked = ("--way", 2, "--queries", 2, "--episodes", 2, "-o", tmp_path / "run" / "record.json")
    ended = command("evaluate", data, "--method", tmp_path / "run", *asked)
    assert (ended.code, (tmp_path / "run" / "record.json").is_file()) == (0, True), ended.err


def test_a_file_of_an_unknown_key_is_exit_2(command: Command, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("wya: 2")
    ended = command("evaluate", "nowhere", "--config", tmp_path / "x.yaml")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == f"error: {tmp_path / 'x.yaml'}: unknown key 'wya'; did you mean 'way'?\n"
    assert "y.yaml: no such file" in command("evaluate", "nowhere", "--config", tmp_path / "y.yaml").err


def test_the_settings_of_a_preset_can_be_given_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    """Every field of a recipe goes through a file and comes back as it was, None too."""
    from triptych.evaluation import config_text

    got = {}
    monkeypatch.setattr("triptych.training.train", lambda data, out, method, preset, *_: got.update(preset=preset))
    for name, preset in PRESETS.items():
        stages = {"train": {"preset": name, **asdict(preset.train)}}
        stages |= {} if preset.pretrain is None else {"pretrain": asdict(preset.pretrain)}
        (tmp_path / "x.yaml").write_text(config_text(tmp_path, "dn4-conv64f", "train", stages))
        ended = command("train", "--config", tmp_path / "x.yaml", "--out", tmp_path.parent / "out")
        assert ended.code == 0, ended.err
        assert got["preset"] == preset


def test_a_missing_file_is_wrong_usage(command: Command) -> None:
    ended = command("evaluate", "photos", "--config", "none.yaml")
    assert (ended.code, ended.err) == (2, "error: none.yaml: no such file; expected a YAML file of settings\n")
