"""Method files: what is saved is loaded, and nothing else; the registry of weights."""

import hashlib
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from files import forge, rewrite
from registry import EACH
from safetensors.torch import load

from triptych import Recognizer, load_method, save_method
from triptych.fusion import LevelFusion
from triptych.methods import (
    METHODS,
    MML,
    WEIGHTS,
    MMLConfig,
    Preprocessing,
    build_method,
    packaged_method,
    weights_hash,
)
from triptych.weights import DEFAULT


@pytest.mark.parametrize("name", EACH)
def test_a_saved_method_is_the_same(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    method = build_method(name)
    save_method(method, tmp_path / "m.safetensors")
    loaded = load_method(tmp_path / "m.safetensors")
    assert not loaded.training
    assert type(loaded) is type(method)
    assert loaded.config == method.config
    assert weights_hash(loaded) == weights_hash(method)


@pytest.mark.parametrize("name", WEIGHTS)
def test_registered_weights_are_what_the_registry_says(name: str) -> None:
    weights, method = WEIGHTS[name], load_method(name)
    assert name in METHODS or weights.backbone_only  # a frozen network need not be built without its weights
    assert method.config == weights.config
    assert method.preprocess == weights.config.preprocessing
    fitted_to_photos = weights.backbone_only and isinstance(method.fusion, LevelFusion)
    assert method.fusion.trained == (not fitted_to_photos)
    where = metadata.distribution(weights.package).locate_file("") if weights.backbone_only else None
    data = ((where and Path(str(where))) or resources.files(weights.package)).joinpath(weights.file).read_bytes()
    assert hashlib.sha256(data).hexdigest() == weights.sha256
    assert len(data) < 30_000_000
    assert resources.files("triptych.weights").joinpath(weights.card).is_file()
    assert weights.licence


def test_the_default_is_registered() -> None:
    assert DEFAULT in WEIGHTS
    assert load_method().config == WEIGHTS[DEFAULT].config


def test_altered_weights_of_the_package_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    monkeypatch.setitem(WEIGHTS, DEFAULT, replace(WEIGHTS[DEFAULT], sha256="0" * 64))
    with pytest.raises(ValueError, match="was altered; install triptych again"):
        load_method(DEFAULT)
    monkeypatch.setitem(WEIGHTS, DEFAULT, replace(WEIGHTS[DEFAULT], file="other.safetensors"))
    with pytest.raises(ValueError, match=r"other.safetensors of triptych.weights is missing"):
        load_method(DEFAULT)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_method(build_method("mml-conv64f"), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


def version_1(path: Path, config: dict[str, Any]) -> None:
    """A file as version 1 wrote it."""
    rewrite(path, version=1, config=config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 4}, "newer triptych"),
        ({"format": "other"}, "not a method file"),
        ({"config": {"pixel_k": 2}}, "damaged or altered"),
        ({"method": "frn"}, "damaged or altered"),
        ({"drop": "fusion.spread"}, "damaged or altered"),
    ],
)
def test_a_changed_method_file_is_refused(saved: Path, changes: dict, message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(ValueError, match=message):
        load_method(saved)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"colour": "red"}, "unknown setting 'colour'"),
        ({"backbone": "vgg"}, "unknown backbone 'vgg'"),
        ({"backbone": 7}, "backbone is 7; expected str"),
        ({"levels": ["smell"]}, "levels must be some of"),
        ({"levels": "pixel"}, "levels is 'pixel'; expected a list"),
        ({"levels": ["pixel", "pixel"]}, "each once"),
        ({"distance": "far"}, "distance must be one of"),
        ({"pixel_k": "x"}, "pixel_k is 'x'; expected int"),
        ({"pixel_k": True}, "pixel_k is True; expected int"),
        ({"pixel_k": 0}, "pixel_k must be a whole number of at least 1"),
        ({"architecture": []}, "architecture is \\[\\]; expected settings by name"),
        ({"side": 84.5}, "side is 84.5; expected int"),
        ({"side": 10**9}, "side is 1000000000; expected a whole number of pixels from 1 to 1024"),
        ({"mean": [1.0, 2.0]}, "mean is \\[1.0, 2.0\\]; expected a list of 3"),
        ({"slots": 10**9}, "slots must be a whole number from 1 to 16384"),
        ({"slots": -1}, "slots must be a whole number from 1 to 16384"),
        ({"components": 65}, "65 components of 64 channels"),
        ({"backbone": "resnet12"}, "do not fit its configuration: .* is missing, .* is missing, .* is missing, ...$"),
    ],
)
def test_a_wrong_configuration_is_refused(saved: Path, config: dict[str, Any], message: str) -> None:
    version_1(saved, config)
    with pytest.raises(ValueError, match=message):
        load_method(saved)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plda_classes": 1, "levels": ("pixel", "plda")}, "plda_classes must be a whole number from 2 to 4096"),
        ({"plda_classes": 3}, "both plda and plda_classes, or neither"),
        ({"levels": ("pixel", "plda")}, "both plda and plda_classes, or neither"),
        ({"plda_classes": 3, "levels": ("pixel", "plda"), "slots": 5}, "neither with slots nor with components"),
        ({"plda_classes": 3, "levels": ("pixel", "plda"), "components": 5}, "neither with slots nor with components"),
        ({"levels": ()}, "levels must be some of"),
        ({"backbone": ""}, "backbone must be a name, got ''"),
    ],
)
def test_a_configuration_checks_itself(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MMLConfig(**changes)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ("backbone=['conv64f']", "backbone must be a name, got ['conv64f']"),
        ("architecture=-1", "architecture must be the configuration of a transformers model, a dict, or None, got -1"),
        ("preprocessing=84", "preprocessing must be a Preprocessing, got 84"),
    ],
)
def test_a_configuration_checks_types_outside_of_tests_too(changes: str, message: str) -> None:
    code = f"from triptych.methods import MMLConfig; MMLConfig({changes})"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == f"ValueError: {message}"


def test_plda_is_for_backbones_of_few_channels() -> None:
    with pytest.raises(ValueError, match="for backbones of few channels, which resnet12 is not"):
        MML(MMLConfig(backbone="resnet12", plda_classes=3, levels=("pixel", "plda")))


def test_settings_of_a_file_by_earlier_names_are_understood(tmp_path: Path) -> None:
    config = MMLConfig(levels=("pixel", "plda"), plda_classes=3)
    save_method(MML(config), tmp_path / "m.safetensors")
    before = config.to_dict()
    before["base_classes"] = before.pop("plda_classes")
    forge(tmp_path / "m.safetensors", config=before)
    assert load_method(tmp_path / "m.safetensors").config == config


def test_version_1_gives_the_same_logits() -> None:
    file = Path(__file__).parents[2] / "benchmarks/checkpoints/levels/mml-plda/all-shots.safetensors"
    method = load_method(file)
    assert method.level_names == ("distribution", "pixel", "part", "plda")
    state = load(file.read_bytes())
    torch.manual_seed(0)
    query, support, labels = torch.randn(3, 3, 84, 84), torch.randn(4, 3, 84, 84), torch.tensor([0, 0, 1, 1])
    with torch.no_grad():
        levels, contributions = (method.levels(query, support, labels), None)
        contributions = method.fusion.contributions(levels)
    scale = (state["fusion.log_weight"] + state["fusion.log_temperature"]).exp() / state["fusion.spread"]
    both = scale[0] * (levels["distribution"] + state["base.weight"] * levels["plda"])
    torch.testing.assert_close(contributions["distribution"] + contributions["plda"], both)


@pytest.mark.parametrize(
    ("tensor", "value"),
    [
        ("scorers.plda.origin", torch.nan),
        ("scorers.plda.axes", torch.inf),
        ("scorers.plda.between", -1.0),
        ("backbone.layers.0.0.weight", torch.nan),
    ],
)
def test_damaged_weights_are_refused(tmp_path: Path, tensor: str, value: float) -> None:
    config = MMLConfig(preprocessing=Preprocessing(side=32), levels=("pixel", "plda"), plda_classes=3)
    method = MML(config)
    save_method(method, tmp_path / "m.safetensors")
    load_method(tmp_path / "m.safetensors")
    method.state_dict()[tensor].view(-1)[0] = value
    save_method(method, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"m.safetensors: its weights are damaged"):
        load_method(tmp_path / "m.safetensors")


def test_an_unknown_kind_of_method_is_refused(saved: Path) -> None:
    forge(saved, method="smell", config={})
    with pytest.raises(ValueError, match="its method is 'smell'; expected one of"):
        load_method(saved)


def test_a_truncated_method_file_is_named(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"m.safetensors: truncated"):
        load_method(saved)


def test_a_method_without_weights_says_how_to_train_it() -> None:
    with pytest.raises(ValueError, match=r"^frn-conv64f is to be trained: triptych train DATA --method frn-conv64f$"):
        load_method("frn-conv64f")


def test_a_transductive_method_is_refused_before_it_is_trained() -> None:
    with pytest.raises(ValueError, match="laplacianshot-conv64f is transductive: it looks at all queries together"):
        Recognizer(method="laplacianshot-conv64f").fit([np.zeros((8, 8, 3), np.uint8)] * 2, ["a", "b"])


def test_a_recogniser_is_no_method(tmp_path: Path) -> None:
    (tmp_path / "fruit.triptych").write_bytes(b"anything")
    with pytest.raises(ValueError, match=r"fruit\.triptych is a recogniser, not a method; expected the method"):
        load_method(tmp_path / "fruit.triptych")


def test_a_missing_method_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"nope: no such file or registered weights; expected mml-conv64f"):
        load_method("nope")


def test_weights_of_no_such_name_are_told() -> None:
    with pytest.raises(ValueError, match="no weights 'mml'; expected one of mml-"):
        packaged_method("mml")
