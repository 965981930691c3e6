"""Every registered method and backbone keeps the same promises."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from files import rewrite
from photos import photo
from torch import nn

from triptych import load_method, save_method
from triptych.backbones import BACKBONES, build_backbone
from triptych.data import ImageStore
from triptych.methods import EMBEDDED, METHODS, MML, MMLConfig, build_method
from triptych.methods.files import weights_hash
from triptych.similarity import code_class, codes_to_classes, gaussian_vectors
from triptych.training import learn_base_classes

SHAPES = {
    "conv64f": (64, 21, 21),
    "conv64f-bias": (64, 21, 21),
    "efficientnet-lite0": (1280, 3, 3),
    "efficientnet-lite2": (1280, 3, 3),
    "resnet12": (640, 5, 5),
}


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_maps_images_to_feature_maps(name: str) -> None:
    backbone = build_backbone(name).eval()
    maps = backbone(torch.randn(2, 3, 84, 84))
    assert maps.shape == (2, *SHAPES[name])
    assert backbone.channels == maps.shape[1]
    assert backbone(torch.randn(1, 3, 100, 120)).shape[1] == backbone.channels


def test_conv64f_has_the_published_size() -> None:
    assert sum(parameter.numel() for parameter in build_backbone("conv64f").parameters()) == 112_832


def test_pooling_before_the_activation_changes_no_value() -> None:
    torch.manual_seed(0)
    layer = build_backbone("conv64f").layers[0]
    conv, norm, pool, activation = layer
    images = torch.randn(2, 3, 84, 84)
    assert torch.equal(layer(images), pool(activation(norm(conv(images)))))


@pytest.mark.parametrize("name", ["conv64f", "conv64f-bias"])
def test_fixed_statistics_change_no_value_and_no_gradient(name: str) -> None:
    backbone = build_backbone(name).double()
    images = torch.randn(4, 3, 20, 20, dtype=torch.float64)
    for layer in backbone.layers:
        layer[1].weight.data.uniform_(-1, 1)  # a negative scale too
        layer[1].bias.data.normal_()
    backbone(images)  # statistics of its own
    backbone.eval()
    expected = nn.Sequential(*[module for layer in backbone.layers for module in layer])(images)
    torch.testing.assert_close(backbone(images), expected)
    parameters = list(backbone.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(backbone(images).square().sum(), parameters),
        torch.autograd.grad(expected.square().sum(), parameters),
    )


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg'; expected one of conv64f"):
        build_backbone("vgg")
    with pytest.raises(ValueError, match="unknown method 'vgg'; expected one of adm-conv64f"):
        build_method("vgg")


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("shots", [[1, 1], [3, 1, 2]], ids=str)
def test_method_takes_any_way_and_unequal_shots(name: str, shots: list[int]) -> None:
    torch.manual_seed(0)
    method = build_method(name).eval()
    labels = torch.repeat_interleave(torch.tensor(shots))
    query, support = torch.randn(2, 3, 84, 84), torch.randn(len(labels), 3, 84, 84)
    with torch.no_grad():
        levels, logits = method.levels(query, support, labels), method(query, support, labels)
    assert tuple(levels) == METHODS[name].levels
    assert all(scores.shape == (2, len(shots)) for scores in levels.values())
    torch.testing.assert_close(logits, method.fusion(levels))


@pytest.mark.parametrize("name", METHODS)
def test_a_saved_method_is_the_same(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    method = build_method(name)
    save_method(method, tmp_path / "m.safetensors")
    loaded = load_method(tmp_path / "m.safetensors")
    assert not loaded.training
    assert loaded.config == method.config
    assert weights_hash(loaded) == weights_hash(method)


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_weights_load_and_are_small(name: str) -> None:
    method = load_method(name)
    assert replace(method.config, base_classes=None) == METHODS[name]
    assert int(method.fusion.observed) > 0
    assert all(value.isfinite().all() for value in method.state_dict().values())
    file = Path(__import__("triptych.weights").weights.__file__).parent / f"{name}.safetensors"
    assert file.stat().st_size < 2_500_000


def test_preprocessing_is_resize_then_normalise() -> None:
    method = build_method("mml-conv64f")
    image = photo(0, 0, side=120)
    batch = method.preprocess([image, image.convert("L")])
    expected = np.asarray(image.resize((84, 84), 2)).transpose(2, 0, 1) / 255 * 2 - 1
    assert batch.shape == (2, 3, 84, 84)
    np.testing.assert_allclose(batch[0].numpy(), expected, atol=1e-6)
    assert torch.equal(batch[1, 0], batch[1, 1])


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_method(build_method("mml-conv64f"), tmp_path / "m.safetensors")
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "newer triptych"),
        ({"format": "other"}, "not a triptych-method file"),
        ({"config": {"colour": "red"}}, "unknown settings \\['colour'\\]"),
        ({"config": {"backbone": "vgg"}}, "unknown backbone 'vgg'"),
        ({"config": {"levels": ["smell"]}}, "unknown levels"),
        ({"config": {"distance": "far"}}, "unknown distance"),
        ({"config": {"side": 10**9}}, "image side must be 16 to 2048"),
        ({"config": {"slots": 10**9}}, "slots must be 1 to 16384"),
        ({"config": {"slots": -1}}, "slots must be 1 to 16384"),
        ({"config": {"base_classes": 1}}, "base classes must be 2 to 4096"),
        ({"config": {"base_classes": 2, "levels": ["pixel"]}}, "for the distribution level"),
        ({"config": {"base_classes": 2, "slots": 5}}, "neither for the published fusion"),
        ({"config": {"base_classes": 2, "components": 5}}, "nor for principal components"),
        ({"config": {"base_classes": 2, "backbone": "resnet12"}}, "for backbones of few channels"),
        ({"config": {"components": 65}}, "65 components of 64 channels"),
        ({"config": {"backbone": "resnet12"}}, "do not fit"),
        ({"drop": "fusion.spread"}, "fusion.spread"),
    ],
)
def test_a_wrong_method_file_is_refused(saved: Path, changes: dict, message: str) -> None:
    rewrite(saved, **changes)
    with pytest.raises(ValueError, match=message):
        load_method(saved)


def with_base_classes(side: int = 32) -> MML:
    torch.manual_seed(0)
    method = MML(MMLConfig(base_classes=3, side=side)).eval()
    assert method.base is not None
    with torch.no_grad():
        images = torch.randn(3, 4, 3, side, side) + torch.randn(3, 1, 3, 1, 1)
        method.base.learn([gaussian_vectors(method.backbone.taps(one)) for one in images], logit_scale=1.0)
    return method


@pytest.mark.parametrize(
    ("tensor", "value"), [("origin", torch.nan), ("axes", torch.inf), ("between", -1.0), ("weight", -1.0)]
)
def test_damaged_base_classes_are_refused(tmp_path: Path, tensor: str, value: float) -> None:
    method = with_base_classes()
    save_method(method, tmp_path / "m.safetensors")
    assert load_method(tmp_path / "m.safetensors").base is not None
    getattr(method.base, tensor).view(-1)[0] = value
    save_method(method, tmp_path / "m.safetensors")
    with pytest.raises(ValueError, match=r"m.safetensors: its base classes are damaged"):
        load_method(tmp_path / "m.safetensors")


def test_base_classes_tell_nothing_before_they_are_learnt() -> None:
    torch.manual_seed(0)
    plain = MML(MMLConfig(side=32)).eval()
    unlearnt = MML(MMLConfig(side=32, base_classes=3), plain.backbone).eval()
    images, labels = torch.randn(5, 3, 32, 32), torch.tensor([0, 1])
    for level, scores in plain.levels(images[2:], images[:2], labels).items():
        torch.testing.assert_close(unlearnt.levels(images[2:], images[:2], labels)[level], scores)


@pytest.mark.parametrize("side", [16, 32])
def test_base_classes_add_their_ratio_to_the_distribution_level_alone(side: int) -> None:
    method, plain = with_base_classes(side), MML(MMLConfig(side=side)).eval()
    assert method.base is not None
    plain.backbone = method.backbone
    images, labels = torch.randn(6, 3, side, side), torch.tensor([0, 1, 1])
    with torch.no_grad():
        codes = method.base.codes(method.backbone.taps(images))
        classes = [code_class(codes[:1], method.base.between), code_class(codes[1:3], method.base.between)]
        ratio = method.base.weight * codes_to_classes(codes[3:], classes, method.base.between)
        levels, without = (one.levels(images[3:], images[:3], labels) for one in (method, plain))
        maps = method.encode(images)
    torch.testing.assert_close(levels["distribution"] - without["distribution"], ratio.float(), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(levels["pixel"], without["pixel"])
    torch.testing.assert_close(levels["part"], without["part"])
    assert maps.shape[1] == method.planes(maps.shape[2] * maps.shape[3]) > method.channels
    torch.testing.assert_close(method.descriptors(maps), method.backbone(images))


def test_a_fifth_of_the_ratio_is_added_to_the_logits_of_a_trained_fusion() -> None:
    plain = MML(MMLConfig(side=32)).eval()
    plain.fusion.observe({name: 9 * torch.rand(4, 3) for name in plain.config.levels})
    nn.init.normal_(plain.fusion.log_weight)
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 1])
    store = ImageStore(
        torch.randint(0, 256, (9, 32, 32, 3), dtype=torch.uint8),
        np.arange(9) // 3,
        ("a", "b", "c"),
        tuple("123456789"),
        fingerprint="",
    )
    method = learn_base_classes(plain, store, images=3)
    assert method.base is not None
    with torch.no_grad():
        codes = method.base.codes(method.backbone.taps(images))
        classes = [code_class(codes[:1], method.base.between), code_class(codes[1:3], method.base.between)]
        ratio = codes_to_classes(codes[3:], classes, method.base.between)
        added = method(images[3:], images[:3], labels) - plain(images[3:], images[:3], labels)
    torch.testing.assert_close(added, 0.2 * ratio.float(), rtol=1e-2, atol=1e-3)


def test_codes_survive_half_precision() -> None:
    method = with_base_classes()
    images, labels = torch.randn(6, 3, 32, 32), torch.tensor([0, 1, 1])
    with torch.no_grad():
        maps = method.encode(images)
        exact = method.compare_maps(maps[3:], maps[:3], labels)["distribution"]
        kept = maps.half().float()
        torch.testing.assert_close(
            method.compare_maps(kept[3:], kept[:3], labels)["distribution"], exact, rtol=0.02, atol=0.02
        )


def test_base_classes_learn_as_many_as_they_are() -> None:
    with pytest.raises(ValueError, match="expected the vectors of 3 base classes, got 2"):
        with_base_classes().base.learn([torch.randn(4, 6432) for _ in range(2)], logit_scale=1.0)


@pytest.mark.parametrize("name", BACKBONES)
def test_taps_end_with_the_feature_map(name: str) -> None:
    backbone = build_backbone(name).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        taps = backbone.taps(images)
        torch.testing.assert_close(taps[-1], backbone(images))
    assert not backbone.tap_channels or tuple(one.shape[1] for one in taps) == backbone.tap_channels


def test_views_of_a_photo_tell_base_classes_as_much_as_the_photo() -> None:
    method = with_base_classes()
    with torch.no_grad():
        maps = method.encode(torch.randn(1, 3, 32, 32))
    once = method.summarise(maps)["distribution"].codes
    torch.testing.assert_close(method.summarise(maps.repeat(4, 1, 1, 1), views=4)["distribution"].codes, once)
    assert not torch.allclose(method.summarise(maps.repeat(4, 1, 1, 1))["distribution"].codes.variance, once.variance)


def test_principal_components_leave_base_classes_behind() -> None:
    method = with_base_classes()
    with torch.no_grad():
        reduced = method.reduced(method.encode(torch.randn(6, 3, 32, 32)), components=5)
    assert reduced.base is None
    assert reduced.config.base_classes is None


def test_a_truncated_method_file_is_named(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"m.safetensors: truncated"):
        load_method(saved)


def test_a_missing_method_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"nope: no such file or embedded method; expected mml-conv64f"):
        load_method("nope")


def test_config_checks_itself() -> None:
    with pytest.raises(ValueError, match="unknown levels"):
        MMLConfig(levels=())
