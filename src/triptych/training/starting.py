"""Where training starts: which method, over which network, with which weights."""

from os import PathLike
from pathlib import Path
from typing import cast

from triptych.fusion import LevelFusion
from triptych.interop import load_method, pretrained_method, pretrained_side
from triptych.methods import METHODS, Method, MethodConfig, build_method
from triptych.training.settings import PRESETS, Preset

__all__ = ["chosen_preset", "initialised", "over_pretrained", "side_of"]


def side_of(method: str | MethodConfig, backbone: str | PathLike[str] | None = None) -> int:
    """The side of the images of a method, or of the model of the transformers library that it is put over.

    >>> from triptych.training.starting import side_of
    >>> side_of("feat-conv64f"), side_of("feat-efficientnet-lite0")
    (84, 256)
    """
    if backbone is not None:
        return pretrained_side(backbone)
    return build_method(method).preprocess.side if isinstance(method, str) else method.preprocessing.side


def over_pretrained(backbone: str | PathLike[str], method: str | MethodConfig) -> Method:
    """The method over a model of the transformers library, with its weights.

    Raises:
        ValueError: a method with a backbone in its name, no such method, or a model that cannot be used.
    """
    if isinstance(method, str) and method in METHODS:
        alone = method.removesuffix(f"-{METHODS[method].backbone}")
        raise ValueError(f"method {method} has a backbone of its own; over {backbone}, name the method alone: {alone}")
    return pretrained_method(backbone, method)


def chosen_preset(preset: str | Preset, side: int) -> Preset:
    """A preset by its name, for images of that side; or the recipe itself.

    Raises:
        ValueError: no preset of that name.

    >>> from triptych.training.starting import chosen_preset
    >>> chosen_preset("paper", 84).train.store_side, chosen_preset("paper", 256).train.store_side
    (100, 305)
    """
    if isinstance(preset, Preset):
        return preset
    if preset not in PRESETS:
        raise ValueError(f"unknown preset {preset!r}; expected one of {', '.join(PRESETS)}")
    return PRESETS[preset].at(side)


def initialised(model: Method, init: str | Path | Method | None, keep_fusion: bool) -> Method:
    """The model with the weights of ``init``, as far as both have them; of a method over a model, those of the model.

    Raises:
        ValueError: weights of another backbone, or a model over principal components.
    """
    if model.projection is not None:
        raise ValueError("principal components are a user's photos'; train the method without")
    if init is None:
        return model
    if isinstance(init, Method):
        model.backbone.load_state_dict(init.backbone.state_dict())  # what is beside it was not drawn by the run's seed
        return model
    initial = load_method(init)
    try:
        model.backbone.load_state_dict(initial.backbone.state_dict())
    except RuntimeError as error:
        raise ValueError(f"{init}: its backbone {initial.config.backbone} is not {model.config.backbone}") from error
    both = isinstance(initial.fusion, LevelFusion) and isinstance(model.fusion, LevelFusion)
    if keep_fusion and both and set(model.level_names) <= set(initial.level_names):
        model.fusion = cast(LevelFusion, initial.fusion).restricted(model.level_names)
    if initial.name == model.name:
        own, given = model.state_dict(), initial.state_dict()
        rest = {
            name: value
            for name, value in given.items()
            if name in own and not name.startswith("fusion.") and own[name].shape == value.shape
        }
        model.load_state_dict(rest, strict=False)
    return model
