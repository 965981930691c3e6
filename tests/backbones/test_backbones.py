"""Every registered backbone keeps the same promises."""

import pytest
import torch
from torch import nn

from triptych.backbones import BACKBONES, build_backbone

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


@pytest.mark.parametrize("name", BACKBONES)
def test_taps_end_with_the_feature_map(name: str) -> None:
    backbone = build_backbone(name).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        taps = backbone.taps(images)
        torch.testing.assert_close(taps[-1], backbone(images))
    assert not backbone.tap_channels or tuple(one.shape[1] for one in taps) == backbone.tap_channels


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown backbone 'vgg'; expected one of conv64f"):
        build_backbone("vgg")
