"""EfficientNet-Lite equals an independent implementation, and its weights name photos as ImageNet does."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor

import triptych.samples
from triptych.backbones import EfficientNetLite, build_backbone, pretrained_efficientnet_lite
from triptych.backbones.efficientnet_lite import rename_published
from triptych.data.images import read_image, squash
from triptych.weights.packages import WEIGHT_PACKAGES, read_package_weights

NAMES = ["efficientnet-lite0", "efficientnet-lite2"]
SAMPLES = Path(triptych.samples.__file__).parent
IN_IMAGENET = {"Lemon": 951, "Pomegranate": 957, "Yellow-Bell-Pepper": 945}
GROCERY_STORE = 582  # a right answer to these photos too


def independent(name: str) -> EfficientNet:
    """Another project's network with the same weights; without a fixed image size it pads as the input asks for."""
    network = EfficientNet.from_name(name, image_size=None)
    network.load_state_dict(read_package_weights(WEIGHT_PACKAGES[name]))
    return network.eval()


def independent_maps(network: EfficientNet, images: Tensor) -> dict[str, Tensor]:
    x = torch.nn.functional.relu6(network._bn0(network._conv_stem(images)))
    outputs = []
    for block in network._blocks:
        x = block(x)
        outputs.append(x)
    # Each layer is what precedes the next fall in size or the head.
    sizes = [one.shape[2] for one in outputs]
    last_at = {size: max(i for i, one in enumerate(sizes) if one == size) for size in sizes}
    by_size = [outputs[last_at[size]] for size in sorted(last_at, reverse=True)]
    names = ["stride4", "stride8", "stride16", "last"]
    return dict(zip(names, by_size[-4:], strict=True)) | {"head": network.extract_features(images)}


@pytest.fixture(scope="module")
def lite0() -> EfficientNetLite:
    return pretrained_efficientnet_lite()


@pytest.mark.parametrize(("name", "size"), [(NAMES[0], (128, 128)), (NAMES[0], (75, 130)), (NAMES[1], (97, 64))])
def test_maps_and_logits_equal_an_independent_implementation(name: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, *size) * 2 - 1
    network, other = pretrained_efficientnet_lite(name), independent(name)
    with torch.no_grad():
        expected = independent_maps(other, images)
        maps = network.maps(images, list(network.layer_channels))
        torch.testing.assert_close(network.classify(images), other(images), atol=1e-4, rtol=1e-4)
    assert maps.keys() == expected.keys()
    for layer, one in maps.items():
        assert one.shape[1] == network.layer_channels[layer]
        torch.testing.assert_close(one, expected[layer], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("class_name", IN_IMAGENET)
def test_sample_photos_get_the_names_of_imagenet(lite0: EfficientNetLite, class_name: str) -> None:
    photos = sorted((SAMPLES / class_name).glob("*.jpg"))
    pixels = np.stack([np.asarray(squash(read_image(photo), 224)) for photo in photos])
    images = (torch.from_numpy(pixels).permute(0, 3, 1, 2).float() - 127) / 128
    with torch.no_grad():
        logits = lite0.classify(images)
    logits[:, GROCERY_STORE] = -torch.inf
    assert logits.argmax(1).mode().values == IN_IMAGENET[class_name]
    assert logits.softmax(1).mean(0).argmax() == IN_IMAGENET[class_name]


def test_maps_are_channels_last_and_end_at_the_deepest_asked_for(lite0: EfficientNetLite) -> None:
    with torch.no_grad():
        maps = lite0.maps(torch.rand(2, 3, 64, 64), ["stride16", "stride8"])
    assert list(maps) == ["stride16", "stride8"]
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in maps.values())
    passed = []
    handle = lite0.blocks[11].register_forward_hook(lambda *_: passed.append("block after stride16"))
    with torch.no_grad():
        lite0.maps(torch.rand(1, 3, 32, 32), ["stride16"])
    handle.remove()
    assert not passed


def test_an_unknown_layer_is_named(lite0: EfficientNetLite) -> None:
    with pytest.raises(ValueError, match=r"unknown layer 'stride3'; expected one of stride4, stride8, stride16, last"):
        lite0.maps(torch.rand(1, 3, 32, 32), ["stride3"])


def test_a_map_does_not_change_when_deeper_layers_are_computed(lite0: EfficientNetLite) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        alone = lite0.maps(images, ["stride4"])["stride4"]
        assert torch.equal(lite0.maps(images, ["stride4", "head"])["stride4"], alone)


def test_the_last_map_follows_from_the_one_before_it(lite0: EfficientNetLite) -> None:
    with torch.no_grad():
        _, last, head = lite0.taps(torch.rand(1, 3, 64, 64))
        assert torch.equal(lite0.last_of(last), head)


def test_folded_weights_follow_the_weights(lite0: EfficientNetLite) -> None:
    """Without a gradient the BatchNorm is folded into the convolution; the fold must not outlive a change."""
    network = copy.deepcopy(lite0)
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = network(images)
        network.head.norm.bias.add_(1.0)
        after = network(images)
        network.head.load_state_dict(lite0.head.state_dict())
        assert torch.equal(network(images), before)
    with_gradient = network(images)
    assert with_gradient.requires_grad
    torch.testing.assert_close(with_gradient.detach(), before, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(after, before, atol=1e-2)
    assert len(pickle.dumps(network.head)) == len(pickle.dumps(copy.deepcopy(lite0.head)))


def test_a_network_made_in_inference_mode_computes_the_same(lite0: EfficientNetLite) -> None:
    images = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        made = copy.deepcopy(lite0)
        assert torch.equal(made(images), lite0(images))


@pytest.mark.slow
def test_it_can_be_exported_with_any_number_of_images(lite0: EfficientNetLite) -> None:
    images = torch.rand(3, 3, 64, 64)
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(lite0, (images,), dynamic_shapes=({0: batch},))
    with torch.no_grad():
        torch.testing.assert_close(program.module()(images[:2]), lite0(images[:2]), atol=1e-4, rtol=1e-4)


def test_it_can_be_trained() -> None:
    network = EfficientNetLite().train()
    network(torch.rand(2, 3, 64, 64)).square().mean().backward()
    network.classifier(torch.zeros(1, 1280)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_renaming_gives_exactly_the_names_of_the_network(name: str) -> None:
    with torch.device("meta"):
        expected = {key: tuple(value.shape) for key, value in build_backbone(name).state_dict().items()}
    state = rename_published(read_package_weights(WEIGHT_PACKAGES[name]))
    classifier = {"classifier.weight": (1000, 1280), "classifier.bias": (1000,)}  # which maps do not need
    assert {key: tuple(value.shape) for key, value in state.items()} == expected | classifier


def test_a_foreign_weight_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"'_blocks.0._se_reduce.weight' is no weight of a published EfficientNet-Lite"
    ):
        rename_published({"_blocks.0._se_reduce.weight": 0})


def test_an_unknown_network_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no weights are known of 'efficientnet-b0'; expected one of efficientnet-l"):
        pretrained_efficientnet_lite("efficientnet-b0")
