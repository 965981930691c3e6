"""Training over other networks than the smallest: which photos, which weights, what the run's file says."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from commands import Command
from models import SIDE, save_model
from photos import split_folders

from triptych import Recognizer, load_method
from triptych.interop import pretrained_method, pretrained_side
from triptych.methods import FEAT, METHODS, WEIGHTS, Preprocessing, build_method
from triptych.training import PRESETS, Preset, TrainSettings, config_to_train, train
from triptych.training.starting import chosen_preset, side_of

FEW = ["--preset", "paper", "--steps", 1, "--episodes-per-step", 1, "--way", 2, "--queries", 1, "--device", "cpu"]
FEW += ["--validation-episodes", 1, "--validation-queries", 1, "--precision", "32", "--logger", "csv"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folders(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "tiny")


def test_a_method_is_trained_over_a_model_of_transformers_by_one_command(
    command: Command, data: Path, dinov2: Path, tmp_path: Path
) -> None:
    run, again = tmp_path / "run", tmp_path / "again"
    ended = command("train", data, "--method", "feat", "--backbone", dinov2, "--out", run, *FEW)
    assert ended.code == 0, ended.err
    method = load_method(run)
    assert isinstance(method, FEAT)
    assert method.config.backbone == "tiny"
    assert method.preprocess.side == SIDE
    start = pretrained_method(dinov2, "feat").backbone.state_dict()
    moved = [(value - start[key]).abs().max() for key, value in method.backbone.state_dict().items()]
    assert 0 < max(moved) < 0.01, "one step from the model's own weights"
    ended = command("train", "--config", run / "config.yaml", "--out", again)
    assert ended.code == 0, ended.err
    assert all(torch.equal(one, load_method(again).state_dict()[key]) for key, one in method.state_dict().items())
    ended = command("evaluate", data, "--method", run, "--split", "val", "--way", 2, "--queries", 1, "--episodes", 2)
    assert ended.code == 0, ended.err
    assert Recognizer(method=run).get_params()["method"] == run


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--method", "mml-conv64f"], "has a backbone of its own; over another, name the method alone: mml"),
        (["--method", "feat-conv64f"], "has a backbone of its own; over another, name the method alone: feat"),
        (["--method", "vgg"], "unknown method 'vgg' over a model of transformers; expected some of adm, "),
        (["--init", "mml-conv64f"], "--init and --backbone both say what the weights start from; leave one out"),
        (["--epochs", "2"], "--backbone {0} leaves out pre-training; leave out --epochs too"),
    ],
)
def test_what_a_backbone_does_not_go_with_is_told(
    command: Command, data: Path, dinov2: Path, tmp_path: Path, typed: list[str], told: str
) -> None:
    ended = command("train", data, "--backbone", dinov2, "--out", tmp_path / "run", *typed, *FEW)
    assert ended.code == 2
    assert told.format(dinov2) in ended.err
    assert not (tmp_path / "run").exists()


def test_a_method_without_a_name_of_its_own_is_the_default_one_over_a_backbone(dinov2: Path) -> None:
    config = config_to_train(backbone=dinov2)
    assert pretrained_method(dinov2, config).config == pretrained_method(dinov2).config
    assert side_of(config, dinov2) == pretrained_side(dinov2) == SIDE


def test_presets_suit_the_side_of_the_images() -> None:
    for name, preset in PRESETS.items():
        assert chosen_preset(name, 84) == preset
        larger = chosen_preset(name, 256)
        assert larger.train.sides == ()
        assert replace(
            larger.train, sides=preset.train.sides, store_side=preset.train.store_side, padding=0
        ) == replace(preset.train, padding=0)
    assert chosen_preset("paper", 256).train.store_side == 305
    assert chosen_preset("fast", 256).train.padding == 12
    first = chosen_preset("fast", 224).pretrain
    assert first is not None
    assert first.sides == ()
    assert chosen_preset(PRESETS["paper"], 256) is PRESETS["paper"], "a recipe is what it says"
    with pytest.raises(ValueError, match="unknown preset 'slow'; expected one of paper, fast"):
        chosen_preset("slow", 84)


def test_photos_too_small_for_the_network_are_told_before_anything_is_written(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="store_side is 100, and the method's images have 256 pixels; expected 256"):
        train(data, tmp_path / "run", "feat-efficientnet-lite0", Preset(None, TrainSettings()))
    assert not (tmp_path / "run").exists()


def test_the_pretrained_network_is_a_start(data: Path, tmp_path: Path) -> None:
    settings = TrainSettings(
        steps=1,
        episodes_per_step=1,
        way=2,
        queries=1,
        learning_rate=1e-9,
        freeze_norm_after=0,
        store_side=None,
        validation_episodes=1,
        validation_queries=1,
        precision="32",
        loggers=(),
    )
    config = replace(METHODS["feat-efficientnet-lite0"], preprocessing=Preprocessing(side=64))
    assert "mml-efficientnet-lite0" in WEIGHTS
    trained = load_method(train(data, tmp_path / "run", config, Preset(None, settings), init="mml-efficientnet-lite0"))
    shipped = load_method("mml-efficientnet-lite0").backbone.state_dict()
    for key, value in trained.backbone.state_dict().items():
        torch.testing.assert_close(value, shipped[key], rtol=0, atol=1e-6)
    fresh = build_method(config).backbone.state_dict()
    assert any(not torch.equal(value, shipped[key]) for key, value in fresh.items())
