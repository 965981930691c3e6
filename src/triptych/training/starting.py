"""Where training starts: which method, over which network, with which weights."""

from os import PathLike
from pathlib import Path
from typing import cast

from triptych.fusion import LevelFusion
from triptych.interop import load_method, method_alone, pretrained_side
from triptych.methods import MML, Method, MethodConfig, registered_config
from triptych.training.settings import METHOD, PRESETS, Preset

__all__ = ["chosen_preset", "config_to_train", "initialised", "side_of"]


def config_to_train(
    method: str | MethodConfig | None = None,
    init: str | Path | None = None,
    backbone: str | PathLike[str] | None = None,
) -> MethodConfig:
    """The configuration of what is trained: by its name, as that of the weights to start from, or by default MML.

    Of weights that have the level "plda" it is the one without: training learns that level at its end.

    Raises:
        ValueError: no such method or weights, or beside a backbone a method that has one in its name.

    >>> from triptych.training import config_to_train
    >>> config_to_train(init="mml-conv64f") == config_to_train()
    True
    >>> config_to_train("simpleshot", backbone="facebook/dinov2-small") == config_to_train("simpleshot-conv64f")
    True
    """
    if isinstance(method, MethodConfig):
        return method
    if backbone is not None:
        return method_alone(method or "mml")
    if method is None and init is not None:
        initial = load_method(init)
        return (initial.without_plda() if isinstance(initial, MML) else initial).config
    return registered_config(method or METHOD)


def side_of(config: MethodConfig, backbone: str | PathLike[str] | None = None) -> int:
    """The side of the images of a method, or of the model of the transformers library that it is put over.

    >>> from triptych.training import config_to_train, side_of
    >>> side_of(config_to_train("feat-conv64f")), side_of(config_to_train("feat-efficientnet-lite0"))
    (84, 256)
    """
    return config.preprocessing.side if backbone is None else pretrained_side(backbone)


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
