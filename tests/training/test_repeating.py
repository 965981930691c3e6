"""What a run's folder says is enough to repeat it, and to go on with it elsewhere."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from photos import split_folders

from triptych.methods import (
    DeepEMDConfig,
    MatchingConfig,
    MetaBaselineConfig,
    MMLConfig,
    Preprocessing,
    build_method,
    save_method,
)
from triptych.training import Preset, PretrainSettings, TrainSettings, train

IMAGES = Preprocessing(32)
METHOD = MMLConfig(preprocessing=IMAGES, levels=("pixel",))
SETTINGS = TrainSettings(
    steps=2,
    episodes_per_step=1,
    way=2,
    queries=1,
    store_side=None,
    validate_every=2,
    validation_episodes=2,
    validation_queries=1,
    loggers=("none",),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folders(tmp_path_factory.mktemp("data"))


def told(run: Path) -> tuple[str, str]:
    """The precision of a run, as its settings and as its configuration have it."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    return json.loads((run / "settings.json").read_text())["precision"], config["train"]["precision"]


def test_a_run_says_what_auto_became_and_goes_on_in_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = PretrainSettings(
        epochs=1, batch=8, validation_episodes=2, validation_shots=(1,), validation_queries=1, loggers=("none",)
    )
    preset = Preset(first, SETTINGS)
    monkeypatch.setenv("TRIPTYCH_HALF", "always")
    train(data, tmp_path / "whole", METHOD, preset)
    assert told(tmp_path / "whole") == ("bf16", "bf16")
    pretrained = yaml.safe_load((tmp_path / "whole" / "config.yaml").read_text())["pretrain"]
    assert pretrained["precision"] == "bf16"
    monkeypatch.setattr("triptych.training.run.Run.validated", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut", METHOD, Preset(None, SETTINGS))
    monkeypatch.undo()
    monkeypatch.setenv("TRIPTYCH_HALF", "never")  # as a processor without the units, or a busy one
    (tmp_path / "cut" / "settings.json").unlink()
    train(data, tmp_path / "cut", METHOD, Preset(None, SETTINGS), resume=True)
    assert told(tmp_path / "cut") == ("bf16", "bf16")
    with pytest.raises(ValueError, match="started differently \\(--precision bf16 -> 32\\)"):
        train(data, tmp_path / "cut", METHOD, Preset(None, replace(SETTINGS, precision="32")), resume=True)


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_run_begun_before_it_was_said_goes_on(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_HALF", "never")
    train(data, tmp_path, METHOD, Preset(None, SETTINGS))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    state["identity"]["precision"] = "auto"
    del state["identity"]["method"]["name"], state["identity"]["method"]["learns_plda"]
    torch.save(state, tmp_path / "checkpoint.pt")
    (tmp_path / "settings.json").write_text(json.dumps(state["identity"]))
    train(data, tmp_path, METHOD, Preset(None, SETTINGS), resume=True)
    assert told(tmp_path) == ("32", "32")


def test_a_setting_that_a_run_could_not_have_was_off(data: Path, tmp_path: Path) -> None:
    plain = DeepEMDConfig(preprocessing=IMAGES, grid=2)
    train(data, tmp_path, plain, Preset(None, SETTINGS))
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    del state["identity"]["method"]["structured_steps"], state["identity"]["method"]["structured_rate"]
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"differently \(method structured_steps 0 -> 2\)"):
        train(data, tmp_path, replace(plain, structured_steps=2), Preset(None, SETTINGS), resume=True)
    train(data, tmp_path, plain, Preset(None, SETTINGS), resume=True)


def test_methods_of_equal_settings_are_told_apart(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, MatchingConfig(preprocessing=IMAGES), Preset(None, SETTINGS))
    with pytest.raises(ValueError, match=r"differently \(method name matching -> meta-baseline"):
        train(data, tmp_path, MetaBaselineConfig(preprocessing=IMAGES), Preset(None, SETTINGS), resume=True)


def test_a_run_from_given_weights_names_no_preset(data: Path, tmp_path: Path) -> None:
    start, run = tmp_path / "start.safetensors", tmp_path / "run"
    save_method(build_method(METHOD), start)
    train(data, run, METHOD, Preset(None, SETTINGS), init=start)
    config = yaml.safe_load((run / "config.yaml").read_text())["train"]
    assert config["init"] == str(start)
    assert "preset" not in config


@pytest.mark.parametrize("size", [50, 5000])
def test_a_checkpoint_that_is_cut_short_is_damaged(data: Path, tmp_path: Path, size: int) -> None:
    train(data, tmp_path, METHOD, Preset(None, SETTINGS))
    whole = (tmp_path / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(whole[:size])
    with pytest.raises(ValueError, match=r"checkpoint.pt: damaged checkpoint; remove it to start anew"):
        train(data, tmp_path, METHOD, Preset(None, SETTINGS), resume=True)
