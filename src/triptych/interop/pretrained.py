"""Methods over a pretrained model of the transformers library, from the hub or a folder."""

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from os import PathLike
from os.path import isdir
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from triptych.backbones import architecture_of, require_transformers
from triptych.interop.places import check_backbone, unreachable_backbone
from triptych.methods import METHODS, ONE_LAYER, Method, MethodConfig, Preprocessing, SalientConfig, build_method
from triptych.system.hub import hub_or_cache
from triptych.system.wording import first_line, nearest

__all__ = ["ALONE", "PRETRAINED", "method_alone", "pretrained_method", "pretrained_side"]

PRETRAINED = SalientConfig(levels=ONE_LAYER)  # the default method's levels, of those that one map is enough for
_ANY = "-conv64f"  # the network over which every method is registered
# Methods by their names without a backbone; settings of the smallest network stand for all.
ALONE: dict[str, MethodConfig] = {
    **{name.removesuffix(_ANY): config for name, config in METHODS.items() if name.endswith(_ANY)},
    "mml": PRETRAINED,
}
_IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")


def pretrained_method(name: str | PathLike[str], settings: str | MethodConfig = PRETRAINED) -> Method:
    """A method over a vision model of the transformers library.

    The image side and normalisation are those of the model's own processor. Images are scaled to that square, and
    nothing is cropped away. No code of the model's repository is run.

    Args:
        name: a model of the Hugging Face hub, such as "facebook/dinov2-small", or a folder that holds one.
        settings: of any method, or its name alone, such as "simpleshot"; by default "mml", the levels of the default
            method that one map is enough for. Backbone and preprocessing of settings give way to the model's.

    Returns:
        The method in evaluation mode. Its fusion is untrained.

    Raises:
        ValueError: no such model or method, no feature maps are known of the model, or it is damaged.
        OSError: the hub cannot be reached, and the model is not in its cache.
        RuntimeError: transformers is not installed.

    Examples:
        >>> import tempfile
        >>> from transformers import ResNetConfig, ResNetModel
        >>> from triptych.interop.pretrained import pretrained_method
        >>> shape = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1])
        >>> with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(action="ignore"):
        ...     ResNetModel(shape).save_pretrained(folder)
        ...     method = pretrained_method(folder)
        >>> method.channels, method.preprocess.side
        (16, 224)
    """
    check_backbone(name)
    name = str(name)
    settings = settings if isinstance(settings, MethodConfig) else method_alone(settings)
    require_transformers()
    with hub_or_cache(needed=not isdir(name)):
        return _loaded(name, settings)


def pretrained_side(name: str | PathLike[str]) -> int:
    """The side of the images of such a model; its weights are not read.

    Raises:
        ValueError: no such model, no feature maps are known of it, or it is damaged.
        OSError: the hub cannot be reached, and the model is not in its cache.
        RuntimeError: transformers is not installed.
    """
    check_backbone(name)
    name = str(name)
    require_transformers()
    with hub_or_cache(needed=not isdir(name)), _quiet(), _explained(name), warnings.catch_warnings(action="ignore"):
        from transformers import AutoConfig

        architecture = architecture_of(AutoConfig.from_pretrained(name, trust_remote_code=False))
        return _preprocessing(name, architecture).side


def method_alone(name: str) -> MethodConfig:
    """Settings of a method that is named without a backbone.

    Raises:
        ValueError: no such method, or its name has a backbone.

    >>> from triptych.interop.pretrained import method_alone
    >>> method_alone("simpleshot").to_dict()["backbone"]
    'conv64f'
    >>> method_alone("simpleshot-resnet12")
    Traceback (most recent call last):
    ValueError: method simpleshot-resnet12 has a backbone of its own; over another, name the method alone: simpleshot
    """
    if name in ALONE:
        return ALONE[name]
    if name in METHODS:
        alone = name.removesuffix(f"-{METHODS[name].backbone}")
        raise ValueError(f"method {name} has a backbone of its own; over another, name the method alone: {alone}")
    raise ValueError(f"unknown method {name!r} over a model of transformers; {nearest(name, sorted(ALONE))}")


def _loaded(name: str, settings: MethodConfig) -> Method:
    """The method over the model, from a folder, the hub or its cache."""
    with _quiet(), _explained(name):
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        architecture = architecture_of(config)
        vision = config.vision_config if "vision_config" in type(config).sub_configs else config
        network, report = AutoModel.from_pretrained(
            name, config=vision, trust_remote_code=False, dtype=torch.float32, output_loading_info=True
        )
        called = Path(name).name if Path(name).is_dir() else name
        preprocessing = _preprocessing(name, architecture)
        config = replace(settings, backbone=called, architecture=architecture, preprocessing=preprocessing)
        method = build_method(config).eval()
    own = method.backbone.get_submodule("network")
    own.load_state_dict(network.state_dict())
    _complete(method, own, set(report["missing_keys"]), name)
    return method


def _complete(method: Method, network: nn.Module, missing: set[str], name: str) -> None:
    """Check that the model gives maps; weights that they do not depend on, such as a head's, become zero."""
    side = method.preprocess.side
    try:
        maps = method.backbone(torch.zeros(1, 3, side, side))
    except (ValueError, RuntimeError) as error:
        raise ValueError(f"{name}: the model does not take images of {side} x {side} pixels ({error})") from error
    if maps[0, 0].numel() < 2:
        raise ValueError(f"{name}: the model gives a single position; expected a map of several")
    if not missing:
        return
    parameters = dict(network.named_parameters())
    gradients = torch.autograd.grad(maps.sum(), list(parameters.values()), allow_unused=True)
    unused = {weight for weight, gradient in zip(parameters, gradients, strict=True) if gradient is None}
    if needed := sorted(missing - unused):
        raise ValueError(f"{name}: the model's file lacks {len(needed)} of its weights, the first {needed[0]}")
    for weight in missing:
        nn.init.zeros_(parameters[weight])


def _preprocessing(name: str, architecture: dict[str, Any]) -> Preprocessing:
    """Side, mean and standard deviation of images in [0, 1]."""
    processor = _processor(name)
    if processor is None:
        warnings.warn(f"{name}: no {_PROCESSORS[0]}; assuming the normalisation of ImageNet", stacklevel=3)
        processor = dict(_IMAGENET)
    crop = processor.get("crop_size") if processor.get("do_center_crop") is not False else None
    side = _side(crop or processor.get("size") or architecture.get("image_size") or 224, name)
    if processor.get("do_flip_channel_order") or processor.get("rescale_offset"):
        raise ValueError(f"{name}: its processor reorders channels or shifts pixels, which is not supported")
    scale = 255.0 * processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 255.0
    plain = processor.get("do_normalize") is False
    mean, std = ((0.0,) * 3, (1.0,) * 3) if plain else (processor["image_mean"], processor["image_std"])
    red, green, blue = ((m / scale, s / scale) for m, s in zip(mean, std, strict=True))
    return Preprocessing(side, mean=(red[0], green[0], blue[0]), std=(red[1], green[1], blue[1]))


def _side(size: Any, name: str) -> int:
    """The side of a square image, from any of the ways in which processors state it."""
    values = list(size.values()) if isinstance(size, dict) else size
    sides = {values} if isinstance(values, int) else set(values)
    if len(sides) != 1:
        raise ValueError(f"{name}: its processor states an image size of {size}; expected a square")
    return int(sides.pop())


def _processor(name: str) -> dict[str, Any] | None:
    for file in _PROCESSORS:
        path = _file(name, file)
        if path is not None:
            content = json.loads(path.read_text(encoding="utf-8"))
            content = content.get("image_processor", content)
            if "image_mean" in content or content.get("do_normalize") is False:
                return content
    return None


def _file(name: str, file: str) -> Path | None:
    from huggingface_hub import _CACHED_NO_EXIST, hf_hub_download, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    if Path(name).is_dir():
        path = Path(name) / file
        return path if path.is_file() else None
    try:
        return Path(hf_hub_download(name, file))
    except LocalEntryNotFoundError:  # the hub cannot be asked whether there is one
        if try_to_load_from_cache(name, file) is _CACHED_NO_EXIST:
            return None
        raise
    except EntryNotFoundError:
        return None


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the libraries raise into one line that says what to do."""
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

    try:
        yield
    except OSError as error:
        cause = error.__cause__
        if isinstance(cause, GatedRepoError):
            raise ValueError(
                f"{name}: the model's owner asks for consent; give it on its page, then log in with: hf auth login"
            ) from error
        if isinstance(error, LocalEntryNotFoundError) or isinstance(cause, LocalEntryNotFoundError):
            raise OSError(unreachable_backbone(name)) from error
        what = "holds no model that can be read" if isdir(name) else "no such folder, and no such model on the hub"
        raise ValueError(f"{name}: {what} ({first_line(error)})") from error
    except ValueError as error:
        if str(error).startswith(f"{name}:"):
            raise
        raise ValueError(f"{name}: not a model that can be used ({first_line(error)})") from error
    except UnpicklingError as error:  # without PyTorch's own words, which advise to run the file
        raise ValueError(f"{name}: its weights are damaged, or hold more than numbers, which is not run") from error
    except Exception as error:  # a damaged file may raise anything
        raise ValueError(f"{name}: damaged or incomplete ({first_line(error)}); fetch it again") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the libraries' reports: what matters of them becomes an error."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    before, hub_before, bar = logging.get_verbosity(), hub_logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="torch")  # remarks on how a file was written
            yield
    finally:
        logging.set_verbosity(before)
        hub_logging.set_verbosity(hub_before)
        if bar:
            logging.enable_progress_bar()
