"""Backbones: images (B, 3, h, w) -> feature maps (B, C, H, W)."""

from collections.abc import Callable, Mapping
from typing import Any

from triptych.backbones.base import Backbone
from triptych.backbones.conv64f import Conv64F
from triptych.backbones.efficientnet_lite import EfficientNetLite, pretrained_efficientnet_lite
from triptych.backbones.pretrained import Pretrained, architecture_of, check_weights, require_transformers
from triptych.backbones.resnet12 import ResNet12

__all__ = [
    "BACKBONES",
    "Backbone",
    "Conv64F",
    "EfficientNetLite",
    "Pretrained",
    "ResNet12",
    "architecture_of",
    "build_backbone",
    "check_weights",
    "pretrained_efficientnet_lite",
    "require_transformers",
]

BACKBONES: dict[str, Callable[[], Backbone]] = {
    "conv64f": Conv64F,
    "conv64f-bias": lambda: Conv64F(bias=True),
    "efficientnet-lite0": lambda: EfficientNetLite(classifies=False),
    "efficientnet-lite2": lambda: EfficientNetLite(width=1.1, depth=1.2, classifies=False),
    "resnet12": ResNet12,
}


def build_backbone(name: str, architecture: Mapping[str, Any] | None = None) -> Backbone:
    """Return a freshly initialised backbone by its registry name, or a ``Pretrained`` one by its architecture.

    Raises:
        ValueError: no such backbone.

    >>> import torch
    >>> from triptych.backbones import build_backbone
    >>> build_backbone("conv64f").eval()(torch.zeros(1, 3, 84, 84)).shape
    torch.Size([1, 64, 21, 21])
    """
    if architecture is not None:
        return Pretrained(architecture)
    if name not in BACKBONES:
        raise ValueError(f"unknown backbone {name!r}; expected one of {', '.join(sorted(BACKBONES))}")
    return BACKBONES[name]()
