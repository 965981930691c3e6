"""Methods from wherever their weights are: the package, a file, a published checkpoint, the hub."""

from os import PathLike

import torch

from triptych.interop.places import HUB, check_method
from triptych.interop.pretrained import pretrained_method
from triptych.interop.published import import_checkpoint
from triptych.interop.sharing import pull_method
from triptych.methods import METHODS, WEIGHTS, Method, method_type, packaged_method, read_method
from triptych.system.devices import usable_device
from triptych.system.files import as_path
from triptych.system.kinds import RECOGNIZER
from triptych.weights import DEFAULT

__all__ = ["chosen_method", "load_method"]


def load_method(name: str | PathLike[str] = DEFAULT, device: str | torch.device = "cpu") -> Method:
    """Load a trained method, ready for inference.

    Args:
        name: a registered name ("mml-efficientnet-lite0", "mml-conv64f"), a .safetensors file written by
            ``save_method``, a run's folder or one that was pushed to, ``hf:OWNER/NAME``, or a checkpoint published by
            the authors of MML, ADM or DN4 (.pth.tar).
        device: where its weights go.

    Returns:
        The method in evaluation mode.

    Raises:
        ValueError: no such name or file, or not a checkpoint of a known kind; the message says what was expected.

    >>> from triptych import load_method
    >>> load_method("mml-conv64f").level_names
    ('distribution', 'pixel', 'part', 'plda')
    >>> load_method("mml")
    Traceback (most recent call last):
    ValueError: mml: no such file or registered weights; expected mml-conv64f, ...
    """
    path = as_path(name)
    check_method(name)
    if str(name) in WEIGHTS:
        method = packaged_method(str(name))
    elif str(name).startswith(HUB) or path.is_dir():
        method = pull_method(name)
    elif not path.is_file() and str(name) in METHODS:
        raise ValueError(f"{name} is to be trained: triptych train DATA --method {name}")
    elif not path.is_file():
        raise ValueError(
            f"{name}: no such file or registered weights; expected {', '.join(WEIGHTS)}, a .safetensors file or a "
            "published .pth.tar checkpoint"
        )
    elif path.suffix.lower() in RECOGNIZER.beginnings:
        raise ValueError(f"{name} is a recogniser, not a method; expected the method that it was fitted with")
    elif path.suffix == ".safetensors":
        method = read_method(path)
    else:
        method = import_checkpoint(path)
    return method.eval().to(usable_device(device))


def chosen_method(method: str | PathLike[str] | Method, backbone: str | PathLike[str] | None) -> Method:
    """The method that is named, the one over a pretrained backbone, or the method itself that is given.

    Raises:
        ValueError: both are given, or one cannot be had; or a name of a transductive one.

    >>> from triptych.interop import chosen_method
    >>> chosen_method("mml-conv64f", backbone=None).config.backbone
    'conv64f'
    """
    if backbone is not None:
        if method != DEFAULT:
            raise ValueError("method and backbone are both given; give one, or a method over the backbone")
        return pretrained_method(backbone)
    if not isinstance(method, Method):
        if str(method) in METHODS and method_type(METHODS[str(method)]).transductive:
            raise ValueError(f"{method} is transductive: it looks at all queries together, and answers none by itself")
        return load_method(method)
    if any(weight.is_meta for weight in method.parameters()):
        raise ValueError("the method's weights are on the device meta, which holds no numbers; load it anew")
    return method
