"""EfficientNet-Lite, a small network pretrained on ImageNet."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.backbones.base import Backbone, initialise
from triptych.backbones.convolution import NormedConvolution
from triptych.weights.packages import WEIGHT_PACKAGES, read_package_weights

__all__ = ["EfficientNetLite", "pretrained_efficientnet_lite", "rename_published"]

# Kernel, stride, expansion, channels and repeats of each stage (Tan and Le 2019, table 1).
_STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
_LAYERS = {"stride4": 1, "stride8": 2, "stride16": 4, "last": 6}  # name -> index of the stage that ends there
_COEFFICIENTS = {"efficientnet-lite0": (1.0, 1.0), "efficientnet-lite2": (1.1, 1.2)}  # width, depth


class EfficientNetLite(Backbone):
    """EfficientNet without squeeze-and-excitation, with ReLU6: a 256x256 image gives a (1280, 8, 8) map.

    Lite0 has the coefficients 1.0 and 1.0, Lite2 has 1.1 and 1.2. Stem (32 channels), first stage, last stage's depth
    and head (1,280 channels) keep their size, whatever the coefficients. Strided convolutions pad as TensorFlow
    does: one more pixel below and on the right where the total is odd. Source: Tan and Le, "EfficientNet: Rethinking
    Model Scaling for Convolutional Neural Networks", ICML 2019, table 1; the Lite variant is the authors' release
    of 2020. Dropout and stochastic depth, which only training from scratch uses, are left out.

    Images of any size are taken, normalised as (pixel - 127) / 128 with pixels in 0..255.

    Args:
        width: scales the channels of the stages.
        depth: scales the number of blocks of the stages between the first and the last.
        classifies: whether it has the linear layer of ``classify``, which maps do not need.

    Attributes:
        layer_channels: the channels of each layer that ``maps`` gives.

    >>> import torch
    >>> from triptych.backbones import EfficientNetLite
    >>> network = EfficientNetLite().eval()
    >>> {name: tuple(one.shape) for name, one in network.maps(torch.zeros(1, 3, 64, 64), ["stride16", "last"]).items()}
    {'stride16': (1, 112, 4, 4), 'last': (1, 320, 2, 2)}
    """

    channels = 1280
    last_follows = True

    def __init__(self, width: float = 1.0, depth: float = 1.0, classifies: bool = True) -> None:
        super().__init__()
        self.stem = NormedConvolution(3, 32, kernel=3, stride=2)
        blocks: list[nn.Module] = []
        ends = []  # after how many blocks each stage ends
        outputs = []
        inputs = 32
        for stage, (kernel, stride, expansion, channels, repeats) in enumerate(_STAGES):
            channels = _scaled_channels(channels, width)
            fixed = stage in {0, len(_STAGES) - 1}
            for block in range(repeats if fixed else _scaled_repeats(repeats, depth)):
                blocks.append(_Block(inputs, channels, kernel, stride if block == 0 else 1, expansion))
                inputs = channels
            ends.append(len(blocks))
            outputs.append(channels)
        self.blocks = nn.ModuleList(blocks)
        self.head = NormedConvolution(inputs, self.channels, kernel=1)
        self.classifier = nn.Linear(self.channels, 1000) if classifies else None
        self.layer_channels = {name: outputs[stage] for name, stage in _LAYERS.items()} | {"head": self.channels}
        self._layer_at = {ends[stage]: name for name, stage in _LAYERS.items()}  # blocks passed -> layer
        initialise(self, negative_slope=0.0)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 1280 H W"]:
        return self.maps(images, ["head"])["head"]

    def taps(self, images: Float[Tensor, "B 3 h w"]) -> tuple[Tensor, ...]:
        """Maps of the layers "stride16", "last" and "head"."""
        return tuple(self.maps(images, ["stride16", "last", "head"]).values())

    def last_of(self, before: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 1280 H W"]:
        """The map of "head" from that of "last"."""
        return self.head(before.contiguous(memory_format=torch.channels_last))

    def maps(self, images: Float[Tensor, "B 3 h w"], layers: Sequence[str]) -> dict[str, Tensor]:
        """Feature maps (B, C, H, W) of several layers in one pass, which ends at the deepest of them.

        Args:
            images: normalised images.
            layers: names out of ``layer_channels``. "last" is the input of the head convolution, "head" its output.

        Raises:
            ValueError: no such layer.
        """
        if unknown := [name for name in layers if name not in self.layer_channels]:
            raise ValueError(f"unknown layer {unknown[0]!r}; expected one of {', '.join(self.layer_channels)}")
        found: dict[str, Tensor] = {}
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        for passed, block in enumerate(self.blocks, start=1):
            if len(found) == len(set(layers)):
                break
            x = block(x)
            if (name := self._layer_at.get(passed)) in layers and name is not None:
                found[name] = x
        if "head" in layers:
            found["head"] = self.head(x)
        return {name: found[name] for name in layers}

    def classify(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 1000"]:
        """Logits of ImageNet's 1,000 classes, in the usual order of their WordNet ids."""
        if self.classifier is None:
            raise ValueError("this network was made without its classifier; expected classifies=True")
        return self.classifier(self(images).mean(dim=(2, 3)))


class _Block(nn.Module):
    """Inverted residual block: expand, filter each channel, project; with a shortcut where the shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        self.expand: nn.Module = NormedConvolution(inputs, inner, kernel=1) if expansion > 1 else nn.Identity()
        self.depthwise = NormedConvolution(inner, inner, kernel, stride, groups=inner)
        self.project = NormedConvolution(inner, outputs, kernel=1, activation=False)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


def pretrained_efficientnet_lite(name: str = "efficientnet-lite0", classifies: bool = True) -> EfficientNetLite:
    """An EfficientNet-Lite with the weights of ImageNet that an installed package carries, in evaluation mode.

    Args:
        name: "efficientnet-lite0", or "efficientnet-lite2" with the extra ``lite2``.
        classifies: whether it has the linear layer of ``classify``, which maps do not need.

    Raises:
        ValueError: no such network.
        RuntimeError: the package is missing, of another version or altered.

    >>> from triptych.backbones import pretrained_efficientnet_lite
    >>> pretrained_efficientnet_lite().classifier.out_features
    1000
    """
    if name not in _COEFFICIENTS:
        raise ValueError(f"no weights are known of {name!r}; expected one of {', '.join(_COEFFICIENTS)}")
    state = rename_published(read_package_weights(WEIGHT_PACKAGES[name]))
    with torch.device("meta"):  # random weights would be drawn in vain
        network = EfficientNetLite(*_COEFFICIENTS[name], classifies)
    wanted = state if classifies else {key: value for key, value in state.items() if not key.startswith("classifier.")}
    network.load_state_dict(wanted, assign=True)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network.eval()


_PUBLISHED_NAMES = (  # pattern in the published state dict -> name here
    (r"^_conv_stem\.", "stem.convolution."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.convolution."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.norm."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.convolution."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.norm."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.convolution."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.norm."),
    (r"^_conv_head\.", "head.convolution."),
    (r"^_bn1\.", "head.norm."),
    (r"^_fc\.", "classifier."),
)


def rename_published(state: Mapping[str, Any]) -> dict[str, Any]:
    """A published state dict of EfficientNet-Lite with the names of ``EfficientNetLite``.

    Raises:
        ValueError: a name that no published EfficientNet-Lite has.

    >>> from triptych.backbones.efficientnet_lite import rename_published
    >>> rename_published({"_blocks.3._bn1.bias": 0})
    {'blocks.3.depthwise.norm.bias': 0}
    """
    return {_renamed(name): value for name, value in state.items()}


def _renamed(name: str) -> str:
    for pattern, replacement in _PUBLISHED_NAMES:
        new, count = re.subn(pattern, replacement, name)
        if count:
            return new
    raise ValueError(f"{name!r} is no weight of a published EfficientNet-Lite; expected names such as '_fc.weight'")


def _scaled_channels(channels: int, width: float) -> int:
    """The scaled number of channels, as the nearest multiple of 8 that is not below 90% of it."""
    scaled = channels * width
    rounded = max(8, int(scaled + 4) // 8 * 8)
    return rounded if rounded >= 0.9 * scaled else rounded + 8


def _scaled_repeats(repeats: int, depth: float) -> int:
    return -(-repeats * round(depth * 10) // 10)  # rounded up, without 3 * 1.2 being a little above 3.6
