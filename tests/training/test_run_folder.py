"""What a run's folder says of the run."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from photos import split_folders

from triptych.evaluation import config_text
from triptych.methods import METHODS, MethodConfig, Preprocessing
from triptych.system.yaml_files import read_yaml
from triptych.training import Preset, PretrainSettings, TrainSettings, train
from triptych.training.run import Run

METHOD = replace(METHODS["dn4-conv64f"], preprocessing=Preprocessing(side=32))
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
    assert "method" not in config  # which has no name
    assert "no registered one" in (tmp_path / "run" / "config.yaml").read_text()
    assert config["train"] == {"preset": "fast", **json.loads(json.dumps(asdict(SHORT.train)))}
    assert config["pretrain"] == json.loads(json.dumps(asdict(SHORT.pretrain)))
    assert read_yaml(tmp_path / "run" / "pretrain" / "config.yaml")["pretrain"] == config["pretrain"]
    train(data, tmp_path / "run", METHOD, SHORT, resume=True)
    starts = json.loads((tmp_path / "run" / "environment.json").read_text())["starts"]
    assert [start["step"] for start in starts] == [0, 1]
    assert {"processor", "threads", "git", "versions", "device", "command"} <= starts[0].keys()


def test_a_registered_configuration_has_its_name() -> None:
    assert "method: dn4-conv64f\n" in config_text("x", METHODS["dn4-conv64f"], "train", {})


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
