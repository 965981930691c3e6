"""The registered methods, for tests that go through them: each once, on small images, over networks made once."""

from copy import deepcopy
from dataclasses import replace
from functools import cache

import torch

from triptych.backbones import Backbone, build_backbone
from triptych.methods import METHODS, Method, MethodConfig, Preprocessing
from triptych.methods.types import method_type

__all__ = ["EACH", "OTHERS", "SIDE", "backbone_of", "method_over", "small_method_of"]

SIDE = 32


def _is_repeated(name: str, config: MethodConfig) -> bool:
    """Whether the registry has the same method over Conv-64F."""
    small = METHODS.get(name.removesuffix(config.backbone) + "conv64f")
    return config.backbone != "conv64f" and type(small) is type(config)


EACH = [name for name, config in METHODS.items() if not _is_repeated(name, config)]
OTHERS = [name for name in METHODS if name not in EACH]


@cache
def backbone_of(name: str) -> Backbone:
    """Random weights, always the same object: no test may change it."""
    torch.manual_seed(0)
    return build_backbone(name).eval()


def method_over(config: MethodConfig, backbone: Backbone, seed: int = 0) -> Method:
    """A method with weights of its own over a network that is there, in evaluation mode."""
    torch.manual_seed(seed)
    return method_type(config)(config, backbone=backbone).eval()  # type: ignore[call-arg, arg-type]


def small_method_of(name: str, seed: int = 0, shared: bool = True) -> Method:
    """A registered method on images of 32 x 32 pixels; ``shared`` if its network is ``backbone_of``'s."""
    config = replace(METHODS[name], preprocessing=Preprocessing(side=SIDE))
    backbone = backbone_of(config.backbone)
    return method_over(config, backbone if shared else deepcopy(backbone), seed)
