"""Any backbone: models of the transformers library, saved in folders as they are published."""

import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from commands import Command
from files import forge
from models import PROCESSOR, SIDE, TINY, save_model, side_of, tiny_model
from numpy.testing import assert_array_equal
from photos import class_folders, photo
from safetensors.torch import load_file, save_file
from sklearn.base import clone
from toys import small_method

from triptych import Recognizer, load_method, save_method
from triptych.backbones.pretrained import FAMILIES, Pretrained, architecture_of
from triptych.data import Preprocessing, list_images, read_photos
from triptych.interop import pretrained_method
from triptych.methods import LEVELS, METHODS, ONE_LAYER, MMLConfig, SalientMML, SimpleShot, build_method
from triptych.methods.files import weights_hash
from triptych.system.hub import hub_or_cache

QUICK = {"convnext", "dinov2", "swin", "vit"}  # one of each kind of map; `make test-all` has every family
TRAINING = [photo(kind, number) for kind in range(3) for number in range(4)]
LABELS = np.repeat(["a", "b", "c"], 4)
QUERIES = [photo(kind, number) for kind in range(3) for number in range(100, 103)]


@pytest.fixture(scope="module")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("dinov2"))


def as_backbone(model: torch.nn.Module) -> Pretrained:
    backbone = Pretrained(architecture_of(model.config))
    backbone.network.load_state_dict(model.state_dict())
    return backbone


def test_every_family_is_tested() -> None:
    assert set(FAMILIES) == set(TINY)


@pytest.mark.parametrize(
    "family", [family if family in QUICK else pytest.param(family, marks=pytest.mark.slow) for family in FAMILIES]
)
@torch.no_grad()
def test_a_map_has_a_position_for_each_place_in_the_image(family: str) -> None:
    model, side, stride = tiny_model(family), side_of(family), TINY[family][1]
    backbone = as_backbone(model)
    images = torch.randn(2, 3, side, side)
    maps = backbone(images)
    assert maps.shape == (2, backbone.channels, side // stride, side // stride)
    features = model(images).last_hidden_state
    if features.ndim == 4:
        assert torch.equal(maps, features)
        return
    found = []
    for row, column in np.ndindex(maps.shape[2:]):
        changed = images[:1].clone()
        place = changed[:, :, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        place.copy_(torch.randn_like(place))
        change = (backbone(changed) - maps[:1]).norm(dim=1)[0]
        found.append(divmod(int(change.argmax()), maps.shape[3]) == (row, column))
    assert np.mean(found) > 0.9


@pytest.mark.parametrize(
    ("family", "before"),
    [
        ("vit", 1),
        ("deit", 2),
        ("dinov2_with_registers", 5),
        ("dinov3_vit", 5),
        ("clip_vision_model", 1),
        ("siglip_vision_model", 0),
    ],
)
@torch.no_grad()
def test_class_and_register_tokens_are_dropped(family: str, before: int) -> None:
    model = tiny_model(family)
    images = torch.randn(1, 3, SIDE, SIDE)
    tokens = model(images).last_hidden_state
    assert tokens.shape[1] == before + 16
    maps = as_backbone(model)(images)
    for row, column in np.ndindex(4, 4):
        assert torch.equal(maps[0, :, row, column], tokens[0, before + 4 * row + column])


@torch.no_grad()
def test_the_map_of_swin_is_that_of_its_last_stage() -> None:
    model = tiny_model("swin")
    images = torch.randn(1, 3, SIDE, SIDE)
    stage = model(images, output_hidden_states=True).reshaped_hidden_states[-1]
    expected = model.layernorm(stage.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(as_backbone(model)(images), expected)


@torch.no_grad()
def test_an_image_that_is_not_square_keeps_its_shape_where_the_model_takes_it() -> None:
    backbone = as_backbone(tiny_model("dinov2"))
    assert backbone(torch.randn(1, 3, 32, 64)).shape == (1, 32, 2, 4)


@pytest.mark.parametrize(
    ("changes", "side", "mean", "std"),
    [
        ({}, 64, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]),
        ({"crop_size": 48}, 48, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]),
        ({"do_center_crop": False, "size": {"height": 80, "width": 80}}, 80, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]),
        ({"crop_size": None, "size": 96}, 96, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]),
        ({"do_normalize": False}, 64, [0, 0, 0], [1, 1, 1]),
        ({"rescale_factor": 1 / 127.5}, 64, [0.2, 0.25, 0.3], [0.1, 0.125, 0.15]),
        ({"do_rescale": False}, 64, [0.4 / 255, 0.5 / 255, 0.6 / 255], [0.2 / 255, 0.25 / 255, 0.3 / 255]),
    ],
    ids=str,
)
def test_images_are_prepared_as_the_models_processor_says(
    tmp_path: Path, changes: dict, side: int, mean: list, std: list
) -> None:
    preprocess = pretrained_method(save_model(tmp_path, **changes)).preprocess
    assert preprocess.side == side
    pixels = torch.randint(0, 256, (1, side, side, 3), dtype=torch.uint8)
    factor = changes.get("rescale_factor", 1 / 255) if changes.get("do_rescale", True) else 1
    # What transformers' processors compute: rescale, then normalise.
    named = PROCESSOR if changes.get("do_normalize", True) else {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}
    expected = (pixels * factor - torch.tensor(named["image_mean"])) / torch.tensor(named["image_std"])
    torch.testing.assert_close(preprocess.normalise(pixels), expected.permute(0, 3, 1, 2), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose([preprocess.mean, preprocess.std], [mean, std], rtol=1e-6)


def test_its_levels_and_its_fusion_are_those_of_the_default_that_one_map_is_enough_for(dinov2: Path) -> None:
    method = pretrained_method(dinov2)
    assert isinstance(method, SalientMML)
    assert method.level_names == ONE_LAYER
    default = load_method("mml-efficientnet-lite0").fusion.restricted(ONE_LAYER)
    assert torch.equal(method.fusion.log_weight, default.log_weight)
    assert list(method.encode(torch.randn(1, 3, SIDE, SIDE)).tensors) == ["maps"]  # nothing is kept twice


def test_a_nested_processor_is_read(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    content = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": content}))
    assert pretrained_method(folder).preprocess.mean == pytest.approx((0.4, 0.5, 0.6))


def test_without_a_processor_it_says_what_it_assumes(tmp_path: Path) -> None:
    folder = save_model(tmp_path)
    (folder / "preprocessor_config.json").unlink()
    with pytest.warns(UserWarning, match="assuming the normalisation of ImageNet"):
        preprocess = pretrained_method(folder).preprocess
    assert (preprocess.side, preprocess.mean) == (SIDE, (0.485, 0.456, 0.406))


def test_the_vision_tower_of_a_model_of_images_and_text_is_used(tmp_path: Path) -> None:
    settings = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    config = transformers.CLIPConfig(
        vision_config={**settings, "image_size": SIDE, "patch_size": 16}, text_config={**settings, "vocab_size": 50}
    )
    whole = transformers.CLIPModel(config).eval()
    whole.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    method = pretrained_method(tmp_path)
    images = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        tokens = whole.vision_model(images).last_hidden_state
        assert torch.equal(method.encode(images).maps, tokens[:, 1:].mT.unflatten(2, (4, 4)))


def test_a_classifiers_head_and_missing_pooler_do_not_matter(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = transformers.ViTForImageClassification(transformers.ViTConfig(**TINY["vit"][0])).eval()
    model.save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    one, two = pretrained_method(tmp_path), pretrained_method(tmp_path)
    assert weights_hash(one) == weights_hash(two)
    images = torch.randn(1, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(one.encode(images).maps.flatten(2).mT, model.vit(images).last_hidden_state[:, 1:])


def test_weights_in_half_precision_are_computed_in_float32(tmp_path: Path) -> None:
    tiny_model("dinov2").half().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    encoded = pretrained_method(tmp_path).encode(torch.randn(1, 3, SIDE, SIDE))
    assert encoded.maps.dtype == torch.float32


def test_a_method_file_needs_neither_the_folder_nor_the_hub(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "my-model", "swin")
    method = pretrained_method(folder, MMLConfig(shrinkage="oas", distance="bures"))
    save_method(method, tmp_path / "m.safetensors")
    shutil.rmtree(folder)
    loaded = load_method(tmp_path / "m.safetensors")
    assert loaded.config == method.config
    assert loaded.config.distance == "bures"
    assert loaded.config.backbone == "my-model"
    images = torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert torch.equal(loaded.encode(images).maps, method.encode(images).maps)


def test_any_method_works_over_a_pretrained_model(tmp_path: Path) -> None:
    method = pretrained_method(save_model(tmp_path, "swin"), METHODS["simpleshot-conv64f"])
    assert isinstance(method, SimpleShot)
    assert method.preprocess.side == SIDE
    query, support = torch.randn(2, 3, SIDE, SIDE), torch.randn(2, 3, SIDE, SIDE)
    with torch.no_grad():
        assert method(query, support, torch.tensor([0, 1])).shape == (2, 2)


@pytest.mark.slow
def test_a_recognizer_file_answers_the_same_elsewhere(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "dinov3_vit")
    recognizer = Recognizer(backbone=folder, components=8).fit(TRAINING, LABELS)
    recognizer.save(tmp_path / "x.triptych")
    expected = recognizer.predict_proba(QUERIES)
    shutil.rmtree(folder)
    for number, query in enumerate(QUERIES):
        query.save(tmp_path / f"{number}.png")
    script = (
        "import sys, numpy; from triptych import Recognizer; "
        "answers = Recognizer.load('x.triptych').predict_proba([f'{i}.png' for i in range(9)]); "
        "numpy.save('answers.npy', answers)"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "empty")}
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, env=environment, check=True)
    assert_array_equal(np.load(tmp_path / "answers.npy"), expected)
    loaded = Recognizer.load(tmp_path / "x.triptych").add([photo(5, 0)], "d")
    assert_array_equal(loaded.predict_proba(QUERIES), recognizer.add([photo(5, 0)], "d").predict_proba(QUERIES))


@pytest.mark.parametrize(
    "family",
    [
        "dinov2",
        pytest.param("convnext", marks=pytest.mark.slow),
        pytest.param("clip_vision_model", marks=pytest.mark.slow),
    ],
)
def test_recognises_explains_and_grows(tmp_path: Path, family: str) -> None:
    recognizer = Recognizer(backbone=save_model(tmp_path, family)).fit(TRAINING, LABELS)
    assert recognizer.score(QUERIES, np.repeat(["a", "b", "c"], 3)) > 0.6  # random weights, but colours differ
    why = recognizer.explain(QUERIES[0])
    assert why.grid == (SIDE // TINY[family][1],) * 2
    first, second = why.classes[:2]
    margin = sum(first.contributions.values()) - sum(second.contributions.values())
    assert margin == pytest.approx(np.log(first.probability / second.probability), rel=1e-3)
    grown = Recognizer(backbone=tmp_path).fit(TRAINING[:10], LABELS[:10]).add(TRAINING[10:], "c")
    assert_array_equal(grown.predict_proba(QUERIES), recognizer.predict_proba(QUERIES))
    shrunk = recognizer.add([photo(7, 0)], "d").remove("d")
    assert_array_equal(shrunk.predict_proba(QUERIES), grown.predict_proba(QUERIES))


def test_a_fusion_is_learnt_from_the_photos_alone(dinov2: Path) -> None:
    recognizer = Recognizer(backbone=dinov2).fit(TRAINING, LABELS)
    backwards = Recognizer(backbone=dinov2).fit(TRAINING[::-1], LABELS[::-1])
    assert not recognizer.method_.fusion.trained
    for name, value in recognizer.fusion_.state_dict().items():
        assert torch.equal(value, backwards.fusion_.state_dict()[name])
    levels = recognizer.levels(QUERIES)
    spread = recognizer.fusion_.spread.numpy()
    seen = [levels[name].std(1).mean() for name in ONE_LAYER]
    assert (np.abs(np.log(seen / spread)) < np.log(4)).all()  # the levels count on one scale
    assert not np.allclose(spread, 1)


@pytest.mark.parametrize("kinds", [2, 4])
def test_classes_of_single_photos_have_a_fusion_too(dinov2: Path, kinds: int) -> None:
    images = [photo(kind, 0) for kind in range(kinds)]
    recognizer = Recognizer(backbone=dinov2).fit(images, list(range(kinds)))
    assert recognizer.calibration_ is None
    assert recognizer.fusion_.trained
    assert recognizer.predict(images).tolist() == list(range(kinds))


def test_a_trained_fusion_is_weighed_anew_where_photos_can_be_left_out() -> None:
    recognizer = Recognizer(small_method()).fit(TRAINING, LABELS)
    trained, fitted = recognizer.method_.fusion, recognizer.fusion_
    before = {name: value.clone() for name, value in trained.state_dict().items()}
    assert torch.equal(fitted.spread, trained.spread)
    assert torch.equal(fitted.log_temperature, trained.log_temperature)
    assert not torch.equal(fitted.log_weight, trained.log_weight)
    assert all(torch.equal(value, before[name]) for name, value in trained.state_dict().items())
    levels = {name: torch.from_numpy(scores) for name, scores in recognizer.levels(QUERIES).items()}
    logits = fitted(levels).double() / recognizer.calibration_.temperature
    np.testing.assert_allclose(recognizer.predict_proba(QUERIES), logits.softmax(1).detach(), rtol=1e-5)


def test_a_published_fusion_is_left_alone() -> None:
    recognizer = Recognizer(
        build_method(replace(small_method().config, levels=LEVELS, plda_classes=None, slots=3))
    ).fit(TRAINING, LABELS)
    assert recognizer.predict(QUERIES).shape == (9,)
    assert recognizer.calibration_ is not None
    assert recognizer.fusion_ is recognizer.method_.fusion


def test_a_trained_fusion_is_left_alone_where_every_class_has_one_photo() -> None:
    recognizer = Recognizer(small_method()).fit(TRAINING[:1] + TRAINING[-1:], [LABELS[0], LABELS[-1]])
    assert recognizer.fusion_ is recognizer.method_.fusion


@pytest.mark.parametrize("backbone", [None, "dinov2"])
def test_components_are_those_of_the_photos_that_fit_saw(dinov2: Path, backbone: str | None) -> None:
    model = dinov2 if backbone else None
    settings = {} if backbone else {"method": small_method()}
    recognizer = Recognizer(**settings, backbone=model, components=6).fit(TRAINING, LABELS)
    assert recognizer.support_["a"].encoded.maps.shape[1] == 6
    side = recognizer.method_.preprocess.side
    descriptors = recognizer.method_.backbone(
        torch.cat([recognizer.method_.preprocess.normalise(torch.from_numpy(p.pixels)[None]) for p in read(side)])
    )
    flat = descriptors.detach().permute(0, 2, 3, 1).flatten(0, 2).double()
    centred = flat - flat.mean(0)
    variances = torch.linalg.eigvalsh(centred.T @ centred / (len(flat) - 1)).flip(0)[:6]
    method = recognizer.method_
    reduced = torch.cat([method.restore(kept.encoded).maps for kept in recognizer.support_.values()])
    seen = reduced.permute(1, 0, 2, 3).flatten(1).double()
    torch.testing.assert_close(seen.var(1), variances, rtol=2e-2, atol=1e-4)
    assert recognizer.score(QUERIES, np.repeat(["a", "b", "c"], 3)) > 0.6


def read(side: int) -> list:
    return list(read_photos(TRAINING, Preprocessing(side)))


def test_components_stay_when_photos_are_added(dinov2: Path) -> None:
    grown = Recognizer(backbone=dinov2, components=6).fit(TRAINING[:8], LABELS[:8]).add(TRAINING[8:], "c")
    same = Recognizer(grown.method_).fit(TRAINING, LABELS)
    assert_array_equal(grown.predict_proba(QUERIES), same.predict_proba(QUERIES))
    anew = Recognizer(backbone=dinov2, components=6).fit(TRAINING, LABELS)
    assert not np.array_equal(grown.predict_proba(QUERIES), anew.predict_proba(QUERIES))
    backwards = Recognizer(backbone=dinov2, components=6).fit(TRAINING[::-1], LABELS[::-1])
    assert_array_equal(backwards.predict_proba(QUERIES), anew.predict_proba(QUERIES))


def test_components_that_cannot_be_are_refused(dinov2: Path) -> None:
    for components, limit in (
        (0, "a whole number"),
        (2.5, "a whole number"),
        (1, "a whole number of at least 2"),
        (33, "2 to 32"),
    ):
        with pytest.raises(ValueError, match=f"components must be {limit}.* got {components}"):
            Recognizer(backbone=dinov2, components=components).fit(TRAINING, LABELS)
    reduced = Recognizer(backbone=dinov2, components=4).fit(TRAINING, LABELS).method_
    with pytest.raises(ValueError, match="already reduces descriptors to 4 components"):
        Recognizer(reduced, components=3).fit(TRAINING, LABELS)


def test_scikit_learn_can_clone_it(dinov2: Path) -> None:
    recognizer = Recognizer(backbone=dinov2, components=4)
    assert clone(recognizer).get_params() == recognizer.get_params()
    named = clone(recognizer).set_params(method="dn4", components=None).fit(TRAINING, LABELS)
    assert named.method_.config == pretrained_method(dinov2, "dn4").config


@pytest.mark.parametrize(
    ("method", "told"),
    [
        ("dn4-conv64f", "has a backbone of its own; over another, name the method alone: dn4"),
        ("relation", "relation is to be trained: triptych train DATA --method relation --backbone "),
        ("laplacianshot", "laplacianshot is transductive"),
        ("none", "unknown method 'none' over a model of transformers"),
        (build_method("dn4-conv64f"), "a method itself and a backbone are given; give one"),
    ],
)
def test_which_methods_go_over_a_backbone_untrained_is_told(dinov2: Path, method: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Recognizer(method, backbone=dinov2).fit(TRAINING, LABELS)


def test_the_commands_take_a_method_over_a_backbone(command: Command, dinov2: Path, tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", classes=3, each=4)
    asked = ("--way", 2, "--queries", 2, "--episodes", 2, "--run-folder", tmp_path / "run", "--json")
    ended = command("evaluate", photos, "--method", "laplacianshot", "--backbone", dinov2, *asked)
    assert ended.code == 0, ended.err
    record = json.loads(ended.out)
    assert record["method"] == f"laplacianshot over {dinov2}"
    again = command("evaluate", "--config", tmp_path / "run" / "config.yaml", "--json")
    assert again.code == 0, again.err
    assert json.loads(again.out)["levels"] == record["levels"]
    fitted = command("fit", photos, "--method", "frn", "--backbone", dinov2, "-o", tmp_path / "x.triptych", "--json")
    assert fitted.code == 0, fitted.err
    assert json.loads(fitted.out)["method"] == f"frn over {dinov2}"
    shown = json.loads(command("show", tmp_path / "x.triptych", "--json").out)
    assert shown["method"] == f"frn over {dinov2.name}"


@pytest.fixture
def saved(dinov2: Path, tmp_path: Path) -> Path:
    save_method(pretrained_method(dinov2), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "no feature maps are known of a model of type 'bert'; expected one of aimv2"),
        ({"model_type": ["vit"]}, "no feature maps are known of a model of type"),
        ({"auto_map": {"AutoModel": "evil--code"}}, "no settings auto_map"),
        ({"_attn_implementation": "someone/kernel"}, "no settings _attn_implementation"),
        ({"attn_implementation": "someone/kernel"}, "no settings attn_implementation"),
        ({"hidden_size": 1 << 30}, "above 1048576"),
        ({"num_hidden_layers": 1_000_000}, "more weights than there are"),
        ({"hidden_size": 64}, "weights do not fit the architecture"),
        ({"hidden_size": 1_000_000}, "m.safetensors: .*backbone"),
        ({"num_attention_heads": 0}, "m.safetensors: .*backbone"),
        ({"hidden_act": "no such"}, "m.safetensors: .*backbone"),
    ],
    ids=str,
)
def test_an_altered_architecture_is_refused(saved: Path, changes: dict, message: str) -> None:
    config = load_method(saved).config.to_dict()
    config["architecture"] |= changes
    forge(saved, config=config)
    with pytest.raises(ValueError, match=message):
        load_method(saved)


def test_a_method_file_without_a_weight_is_refused(saved: Path) -> None:
    forge(saved, drop="backbone.network.layernorm.weight")
    with pytest.raises(ValueError, match=r"m\.safetensors: .*more weights than there are"):
        load_method(saved)


def broken(folder: Path, how: str) -> None:
    weights, config = folder / "model.safetensors", folder / "config.json"
    if how == "no config":
        config.unlink()
    elif how == "no weights":
        weights.unlink()
    elif how == "cut weights":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif how == "a weight less":
        state = load_file(weights)
        del state["embeddings.patch_embeddings.projection.weight"]
        save_file(state, weights, {"format": "pt"})
    elif how == "other model":
        transformers.BertConfig().save_pretrained(folder)
    elif how == "own code":
        config.write_text(json.dumps({"model_type": "mine", "auto_map": {"AutoConfig": "evil.Config"}}))
        (folder / "evil.py").write_text("raise SystemExit('this code must not run')")
    elif how == "not json":
        config.write_text("{")
    else:
        (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR | json.loads(how)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("no config", "not a model that can be used"),
        ("no weights", "holds no model|damaged or incomplete"),
        ("cut weights", "damaged or incomplete"),
        ("a weight less", "lacks 1 of its weights, the first embeddings.patch_embeddings.projection.weight"),
        ("other model", "no feature maps are known of a model of type 'bert'"),
        ("own code", "not a model that can be used|damaged or incomplete"),
        ("not json", "holds no model|not a model|damaged or incomplete"),
        ('{"crop_size": {"height": 64, "width": 96}}', "expected a square"),
        ('{"crop_size": 5000}', "side is 5000; expected a whole number of pixels from 1 to 1024"),
        ('{"do_flip_channel_order": true}', "reorders channels"),
        ('{"crop_size": 16}', "gives a single position"),
    ],
)
def test_a_broken_model_is_named(tmp_path: Path, how: str, message: str) -> None:
    folder = save_model(tmp_path / "model")
    broken(folder, how)
    with pytest.raises(ValueError, match=message) as caught:
        pretrained_method(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "triptych.cli", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=False)


def test_the_command_fits_over_a_folder(command: Command, dinov2: Path, tmp_path: Path) -> None:
    photos, out = class_folders(tmp_path / "photos", classes=2, each=3), tmp_path / "x.triptych"
    ended = command("fit", photos, "-o", out, "--backbone", dinov2, "--components", 8, "--json")
    assert ended.code == 0, ended.err
    assert ended.json["method"] == str(dinov2)
    assert Recognizer.load(out).method_.config.components == 8


def test_it_is_compared_with_plain_classifiers_of_its_own_features(
    command: Command, dinov2: Path, tmp_path: Path
) -> None:
    photos, page = class_folders(tmp_path / "photos", classes=3, each=4), tmp_path / "page.html"
    ended = command("compare", photos, "-o", page, "--backbone", dinov2, "--repeats", 2, "--json")
    assert ended.code == 0, ended.err
    assert (ended.json["method"], ended.json["backbone"]) == (str(dinov2), str(dinov2))
    assert all(figure["mean"] > 0.5 for figure in ended.json["curve"][-1]["contenders"].values())
    assert f"triptych compare {photos} --backbone {dinov2} --repeats 2" in page.read_text()


class _Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for a model that is not there, or not without consent."""

    def _refuse(self) -> None:
        gated = "gated" in self.path
        self.send_response(403 if gated else 404)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = _refuse  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def hub() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.slow
def test_a_model_that_cannot_be_had_is_one_line(tmp_path: Path, hub: str) -> None:
    script = (
        "import sys\nfrom triptych.interop import pretrained_method\n"
        "for name in sys.argv[1:]:\n    try: pretrained_method(name)\n    except ValueError as error: print(error)"
    )
    names = ["nobody/nothing", "nobody/gated", "/no/such/folder"]
    environment = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script, *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    missing, gated, no_folder = done.stdout.splitlines()
    assert missing.startswith("nobody/nothing: no such folder, and no such model on the hub")
    assert gated.startswith("nobody/gated: the model's owner asks for consent")
    assert no_folder.startswith("/no/such/folder: no such folder")
    assert done.stderr == ""


@pytest.mark.slow
def test_without_a_network_the_command_says_how_to_go_on(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", classes=2, each=1)
    done = run(
        "fit", str(photos), "-o", str(tmp_path / "x.triptych"), "--backbone", "a/model",
        HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "home"),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("error: a/model: no such folder, and the Hugging Face hub cannot be reached")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "x.triptych").exists()


@pytest.mark.slow
@pytest.mark.parametrize("known_to_have_none", [False, True])
def test_without_a_network_a_cached_model_needs_its_cached_processor(tmp_path: Path, known_to_have_none: bool) -> None:
    """As other programs leave it that loaded the model alone: its normalisation is not guessed."""
    cached = tmp_path / "hub" / "models--a--model"
    snapshot = save_model(cached / "snapshots" / ("0" * 40))
    (snapshot / "preprocessor_config.json").unlink()
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0" * 40)
    if known_to_have_none:
        for name in ("preprocessor_config.json", "processor_config.json"):
            mark = cached / ".no_exist" / ("0" * 40) / name
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
    photos = class_folders(tmp_path / "photos", classes=2, each=1)
    arguments = ("fit", str(photos), "-o", str(tmp_path / "x.triptych"), "--backbone", "a/model")
    done = run(*arguments, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    if known_to_have_none:
        assert (done.returncode, "assuming the normalisation of ImageNet" in done.stderr) == (0, True)
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("error: a/model: no such folder, and the Hugging Face hub cannot be reached")


def test_a_missing_library_says_what_to_install(dinov2: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RuntimeError, match=r"pip install 'triptych\[pretrained\]'"):
        Recognizer(backbone=dinov2).fit(TRAINING, LABELS)


def test_nothing_is_said_where_all_is_well(dinov2: Path, capfd: pytest.CaptureFixture) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pretrained_method(dinov2)
    assert capfd.readouterr() == ("", "")


def test_an_unreachable_hub_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{closed.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(OSError, match="a/model: no such folder, and the Hugging Face hub cannot be reached"):
            pretrained_method("a/model")
        with pytest.raises(OSError, match="hf:a/data: no such folder, and the Hugging Face hub cannot be reached"):
            list_images("hf:a/data")
    assert time.monotonic() - started < 5


@pytest.mark.slow
def test_a_hub_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with hub_or_cache() as answered:
            assert not answered
    assert time.monotonic() - started < 3  # which leaves a command two to start


def test_weights_that_would_run_code_are_refused_without_advice(tmp_path: Path) -> None:
    folder = save_model(tmp_path / "model", "resnet")
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Path("x")))
    with pytest.raises(ValueError, match="its weights are damaged, or hold more than numbers") as caught:
        pretrained_method(folder)
    assert "weights_only" not in str(caught.value)
