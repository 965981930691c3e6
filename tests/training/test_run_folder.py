"""What a run's folder says of the run."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import torch
from commands import Command
from photos import split_folders

from triptych import load_method, save_method
from triptych.evaluation import config_text
from triptych.methods import METHODS, MethodConfig, Preprocessing, build_method, weights_hash
from triptych.system.yaml_files import read_yaml
from triptych.training import Preset, PretrainSettings, TrainSettings, train
from triptych.training.run import Run

METHOD = replace(METHODS["dn4-conv64f"], preprocessing=Preprocessing(side=32))
STEP = ["--preset", "paper", "--steps", 1, "--episodes-per-step", 1, "--way", 2, "--queries", 1, "--side", 16]
STEP += ["--precision", "32", "--validation-episodes", 1]
STEP += ["--validation-queries", 1, "--validation-shot", 1]
WITH_DROPOUT = replace(METHODS["covamnet-conv64f"], preprocessing=Preprocessing(side=32))
QUICK = {"sides": (16,), "validation_episodes": 1, "validation_shots": (1,), "validation_queries": 1, "precision": "32"}
SHORT = Preset(
    PretrainSettings(epochs=1, batch=24, **QUICK),
    TrainSettings(steps=1, episodes_per_step=1, way=2, queries=1, freeze_norm_after=None, store_side=None, **QUICK),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folders(tmp_path_factory.mktemp("data"))


def test_settings_environment_and_seed(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "run", METHOD, SHORT)
    config = read_yaml(tmp_path / "run" / "config.yaml")
    assert config["data"] == str(data)
    assert config["method"] == "dn4-conv64f"
    assert config["setting"] == {"preprocessing": json.loads(json.dumps(asdict(METHOD.preprocessing)))}
    assert config["train"] == {"preset": "fast", **json.loads(json.dumps(asdict(SHORT.train)))}
    assert config["pretrain"] == json.loads(json.dumps(asdict(SHORT.pretrain)))
    assert read_yaml(tmp_path / "run" / "pretrain" / "config.yaml")["pretrain"] == config["pretrain"]
    train(data, tmp_path / "run", METHOD, SHORT, resume=True)
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]
    assert [start["step"] for start in starts] == [0, 1]
    assert {"processor", "threads", "git", "versions", "device", "command"} <= starts[0].keys()


def test_a_registered_configuration_has_its_name() -> None:
    text = config_text("x", METHODS["dn4-conv64f"], "train", {})
    assert "method: dn4-conv64f\n" in text
    assert "setting" not in text


@dataclass(frozen=True)
class OwnConfig(MethodConfig):
    """Of a method that is not registered."""


def test_a_method_that_is_not_registered_is_not_taken_for_another(command: Command, data: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(config_text(data, OwnConfig(), "train", {}))
    ended = command("train", "--config", tmp_path / "own.yaml", "--out", tmp_path / "run")
    assert ended.code == 2
    assert "unknown method 'OwnConfig'" in ended.err


def test_the_command_says_of_a_method_s_settings_what_its_config_gives_back(
    command: Command, data: Path, tmp_path: Path
) -> None:
    one, other, third = (tmp_path / name for name in ("one", "other", "third"))
    small = [
        "--setting",
        f"preprocessing={json.dumps(METHODS['dn4-conv64f'].to_dict()['preprocessing'] | {'side': 32})}",
    ]
    asked = ["--method", "dn4-conv64f", "--setting", "pixel-k=2", *small, *STEP]
    ended = command("train", data, *asked, "--out", one)
    assert ended.code == 0, ended.err
    assert load_method(one).config == replace(METHOD, pixel_k=2)
    ended = command("train", "--config", one / "config.yaml", "--out", other)
    assert ended.code == 0, ended.err
    assert weights_hash(load_method(other)) == weights_hash(load_method(one))
    ended = command("train", "--config", one / "config.yaml", "--setting", "pixel_k=1", "--out", third)
    assert ended.code == 0, ended.err
    assert load_method(third).config == replace(METHOD, pixel_k=1), "what is typed wins, and the rest stays"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("pixel_k", "expected NAME=VALUE, such as pixel_k=5"),
        ("k=3", "unknown setting 'k'; expected some of architecture, backbone"),
        ("pixel=3", "unknown setting 'pixel'; did you mean 'pixel_k'?"),
        ("pixel_k=no", "pixel_k is 'no'; expected int"),
        ("pixel_k=0", "pixel_k must be a whole number"),
    ],
)
def test_a_setting_that_a_method_cannot_have_is_told(
    command: Command, data: Path, tmp_path: Path, typed: str, told: str
) -> None:
    for stage in ("train", "pretrain"):
        ended = command(stage, data, "--method", "dn4-conv64f", "--setting", typed, "--out", tmp_path / "run")
        assert ended.code == 2
        assert told in ended.err
        assert not (tmp_path / "run").exists()


def test_weights_to_start_from_say_what_is_trained(command: Command, data: Path, tmp_path: Path) -> None:
    start = replace(METHODS["frn-conv64f"], preprocessing=Preprocessing(side=32))
    save_method(build_method(start), tmp_path / "frn.safetensors")
    one, other = tmp_path / "one", tmp_path / "other"
    ended = command("train", data, "--init", tmp_path / "frn.safetensors", *STEP, "--out", one)
    assert ended.code == 0, ended.err
    assert load_method(one).config == start
    told = read_yaml(one / "config.yaml")
    assert told["method"] == "frn-conv64f"
    assert told["setting"] == {
        "preprocessing": start.to_dict()["preprocessing"] | {"mean": [0.5] * 3, "std": [0.5] * 3}
    }
    ended = command("train", "--config", one / "config.yaml", "--out", other)
    assert ended.code == 0, ended.err
    assert weights_hash(load_method(other)) == weights_hash(load_method(one))


@pytest.mark.parametrize("method", [METHOD, WITH_DROPOUT])
def test_a_killed_and_resumed_run_has_the_figures_of_a_whole_one(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: MethodConfig
) -> None:
    recipe = Preset(None, replace(SHORT.train, steps=2, validate_every=1, checkpoint_seconds=0, loggers=("csv",)))
    train(data, tmp_path / "whole", method, recipe)
    saved = Run.save_if_due

    def kill(run: Run) -> None:
        saved(run)
        if run.step == 1:
            run.log({"loss": 9.0})
            run.step = 2
            run.log({"loss": 9.0})  # of a step that no checkpoint has
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save_if_due", kill)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "killed", method, recipe)
    assert "\n2,loss" in (tmp_path / "killed" / "metrics.csv").read_text()
    train(data, tmp_path / "killed", method, recipe, resume=True)
    whole, killed = ((tmp_path / name / "metrics.csv").read_text() for name in ("whole", "killed"))
    assert killed.replace("1,loss,9.0\n", "") == whole
    ends = [torch.load(tmp_path / name / "checkpoint.pt", weights_only=True) for name in ("whole", "killed")]
    torch.testing.assert_close(ends[1]["modules"], ends[0]["modules"], rtol=0, atol=0)


def test_settings_of_a_file_add_up_and_are_what_json_can_hold(command: Command, data: Path, tmp_path: Path) -> None:
    file, out = tmp_path / "x.yaml", tmp_path / "run"
    file.write_text(
        "method: frn-conv64f\nsetting: {orthogonality: 0}\ntrain:\n  setting: {scale: 2, preprocessing: {side: 32}}\n"
    )
    ended = command("train", data, "--config", file, *STEP, "--out", out)
    assert ended.code == 0, ended.err
    expected = replace(METHODS["frn-conv64f"], orthogonality=0.0, scale=2.0, preprocessing=Preprocessing(side=32))
    assert load_method(out).config == expected
    file.write_text("setting: {scale: 2020-01-01}\n")
    ended = command("train", data, "--config", file, "--out", tmp_path / "other")
    assert ended.code == 2
    assert "x.yaml: setting: expected numbers, texts, lists and sections" in ended.err
