"""Pretrained backbones: vision models of the transformers library as feature maps."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from triptych.backbones.base import Backbone
from triptych.system.extras import extra

__all__ = ["FAMILIES", "Pretrained", "architecture_of", "check_weights", "require_transformers"]


def _registers(config: Any) -> int:
    return 1 + config.num_register_tokens


# How many tokens precede those of the patches (class token, registers), by transformers' name of the architecture.
# What is not listed is not built: a file names an architecture, and it may be a stranger's.
FAMILIES: dict[str, Callable[[Any], int]] = {
    "aimv2_vision_model": lambda _: 0,
    "beit": lambda _: 1,
    "bit": lambda _: 0,
    "chinese_clip_vision_model": lambda _: 1,
    "clip_vision_model": lambda _: 1,
    "convnext": lambda _: 0,
    "convnextv2": lambda _: 0,
    "data2vec-vision": lambda _: 1,
    "deit": lambda _: 2,
    "dinov2": lambda _: 1,
    "dinov2_with_registers": _registers,
    "dinov3_convnext": lambda _: 1,
    "dinov3_vit": _registers,
    "focalnet": lambda _: 0,
    "hiera": lambda _: 0,
    "ijepa": lambda _: 0,
    "mobilenet_v1": lambda _: 0,
    "mobilenet_v2": lambda _: 0,
    "poolformer": lambda _: 0,
    "pvt_v2": lambda _: 0,
    "regnet": lambda _: 0,
    "resnet": lambda _: 0,
    "segformer": lambda _: 0,
    "siglip_vision_model": lambda _: 0,
    "swiftformer": lambda _: 0,
    "swin": lambda _: 0,
    "swinv2": lambda _: 0,
    "vit": lambda _: 1,
    "vit_msn": lambda _: 1,
}
_LARGEST_NUMBER = 1 << 20  # no width, depth or side is near it; a damaged file may ask for anything
_LARGEST_BUFFERS = 1 << 26  # elements that are computed and not stored, such as tables of positions


class Pretrained(Backbone):
    """A vision model of the transformers library, its last layer's patches or feature map as (B, C, H, W).

    Patch tokens are laid out in rows; class and register tokens are dropped. The weights are random until they are
    loaded; see ``triptych.interop.pretrained_method``.

    Args:
        architecture: the model's configuration as plain JSON; see ``architecture_of``.

    Raises:
        ValueError: not the configuration of a model in ``FAMILIES``.
        RuntimeError: transformers is not installed.

    >>> import torch
    >>> from triptych.backbones import Pretrained
    >>> shape = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
    >>> Pretrained(shape).eval()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 16, 8, 8])
    """

    def __init__(self, architecture: Mapping[str, Any]) -> None:
        super().__init__()
        config = _config(architecture)
        with torch.device("meta"):  # the shape of the map, without memory and work
            side = _as_side(architecture.get("image_size")) or 224
            self.network = _build(config)
            self.tokens_before = FAMILIES[config.model_type](config)
            self.channels = self(torch.empty(1, 3, side, side)).shape[1]
        self.network = _build(config)

    def forward(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B C H W"]:
        features = self.network(images).last_hidden_state
        if features.ndim == 4:
            return features
        patches = features[:, self.tokens_before :]  # (B, H*W, C)
        height, width = images.shape[2:]
        rows = max(1, round((patches.shape[1] * height / width) ** 0.5))
        if patches.shape[1] % rows:
            raise ValueError(
                f"{patches.shape[1]} patches of an image of {height} x {width} pixels do not form a grid; "
                "expected square images"
            )
        return patches.transpose(1, 2).unflatten(2, (rows, -1))  # (B, C, H, W)


def require_transformers() -> None:
    """Raise a RuntimeError that says how to install the transformers library where it is missing."""
    with extra("pretrained", "a pretrained backbone needs the transformers library"):
        import transformers  # noqa: F401


def architecture_of(config: Any) -> dict[str, Any]:
    """The part of a transformers configuration that describes the vision model, as plain JSON.

    For a model of images and text, that is the vision tower.

    Raises:
        ValueError: an architecture that is not in ``FAMILIES``.
    """
    vision = config.vision_config if "vision_config" in type(config).sub_configs else config
    _check_family(vision.model_type)
    names = _settings(type(vision))
    own = {name: value for name, value in vision.to_dict().items() if name in names}
    return json.loads(json.dumps({"model_type": vision.model_type, **own}))


def check_weights(architecture: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Refuse an architecture that does not fit these weights, before any memory is taken for it.

    Args:
        architecture: as in ``Pretrained``.
        weights: the state of its ``network``, by name.

    Raises:
        ValueError: unknown or out of bounds, or weights of other names or shapes.
    """
    config = _config(architecture)
    with torch.device("meta"), _at_most(len(weights)):
        network = _build(config)
    expected = {name: value.shape for name, value in network.state_dict().items()}
    if expected != {name: value.shape for name, value in weights.items()}:
        raise ValueError("the weights do not fit the architecture of the backbone")
    if sum(buffer.numel() for buffer in network.buffers()) > _LARGEST_BUFFERS:
        raise ValueError("the architecture of the backbone needs too much memory")


def _build(config: Any) -> nn.Module:
    from transformers import AutoModel

    try:
        return AutoModel.from_config(config, dtype=torch.float32).eval()
    except Exception as error:  # each model checks its settings in its own way
        raise ValueError(f"the architecture of the backbone cannot be built ({error})") from error


def _config(architecture: Mapping[str, Any]) -> Any:
    """A transformers configuration with the settings of its own class and no others: those name code and files."""
    require_transformers()
    from transformers import CONFIG_MAPPING

    family: Any = architecture.get("model_type")
    _check_family(family)
    settings = {name: value for name, value in architecture.items() if name != "model_type"}
    if unknown := sorted(set(settings) - _settings(CONFIG_MAPPING[family])):
        raise ValueError(f"a backbone of type {family!r} has no settings {', '.join(unknown)}")
    if not all(abs(number) <= _LARGEST_NUMBER for number in _numbers(settings)):
        raise ValueError(f"a number of the backbone's architecture is above {_LARGEST_NUMBER}")
    try:
        return CONFIG_MAPPING[family](**settings)
    except Exception as error:  # each class checks its settings in its own way
        raise ValueError(f"the architecture of the backbone cannot be built ({error})") from error


def _check_family(family: Any) -> None:
    from transformers import CONFIG_MAPPING

    known = [name for name in FAMILIES if name in CONFIG_MAPPING]
    if family not in known:
        given = f"of type {family!r:.80}" if family else "that names no model_type"
        raise ValueError(f"no feature maps are known of a model {given}; expected one of {', '.join(known)}")


def _settings(config_class: Any) -> set[str]:
    """The names that a configuration class adds to those every class has."""
    from transformers import PretrainedConfig

    return {name for name in config_class().to_dict() if not name.startswith("_")} - set(PretrainedConfig().to_dict())


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from _numbers(one)
    elif isinstance(value, int | float):
        yield value


def _as_side(size: Any) -> int | None:
    return max(size) if isinstance(size, list | tuple) else size


@contextmanager
def _at_most(count: int) -> Iterator[None]:
    """Within, a network of more than ``count`` parameters is a ValueError, raised while it is built."""
    left = count

    def registered(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError("the architecture of the backbone has more weights than there are")

    hook = register_module_parameter_registration_hook(registered)
    try:
        yield
    finally:
        hook.remove()
