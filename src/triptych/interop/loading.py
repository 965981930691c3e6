"""Methods from wherever their weights are: the package, a file, a published checkpoint, the hub."""

from os import PathLike

import torch

from triptych.interop.places import HUB, check_method
from triptych.interop.pretrained import method_alone, pretrained_method
from triptych.interop.published import import_checkpoint
from triptych.interop.sharing import pull_method
from triptych.methods import METHODS, WEIGHTS, Method, method_type, packaged_method, read_method
from triptych.system.devices import usable_device
from triptych.system.files import as_path
from triptych.system.kinds import RECOGNIZER
from triptych.system.wording import did_you_mean
from triptych.weights import DEFAULT

__all__ = ["called", "chosen_method", "load_method"]


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
    ValueError: mml: no such file or registered weights; did you mean 'mml-conv64f'?
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
        close = did_you_mean(str(name), [*WEIGHTS, *METHODS])
        expected = f"expected {', '.join(WEIGHTS)}, a .safetensors file or a published .pth.tar checkpoint"
        raise ValueError(f"{name}: no such file or registered weights; {close or expected}")
    elif path.suffix.lower() in RECOGNIZER.beginnings:
        raise ValueError(f"{name} is a recogniser, not a method; expected the method that it was fitted with")
    elif path.suffix == ".safetensors":
        method = read_method(path)
    else:
        method = import_checkpoint(path)
    return method.eval().to(usable_device(device))


def chosen_method(
    method: str | PathLike[str] | Method, backbone: str | PathLike[str] | None, inductive: bool = True
) -> Method:
    """The method that is named, the method alone (or MML) over a pretrained backbone, or the method that is given.

    Args:
        method: a name, a file or a method; beside a backbone a method alone, such as "frn".
        backbone: a model of the transformers library, or None.
        inductive: refuse names of transductive methods.

    Raises:
        ValueError: one cannot be had, a method itself or a name with a backbone is given beside a backbone, or a name
            of a transductive method.

    >>> from triptych.interop import chosen_method
    >>> chosen_method("mml-conv64f", backbone=None).config.backbone
    'conv64f'
    """
    if not isinstance(method, Method):
        known = METHODS.get(str(method)) if backbone is None else method_alone(_alone(method))
        if inductive and known is not None and method_type(known).transductive:
            raise ValueError(f"{method} is transductive: it looks at all queries together, and answers none by itself")
        return load_method(method) if backbone is None else _untrained(_alone(method), backbone)
    if backbone is not None:
        raise ValueError("a method itself and a backbone are given; give one, or the name of the method alone")
    if any(weight.is_meta for weight in method.parameters()):
        raise ValueError("the method's weights are on the device meta, which holds no numbers; load it anew")
    return method


def called(method: str | PathLike[str], backbone: str | PathLike[str] | None) -> str:
    """What ``chosen_method`` gives, in words.

    >>> from triptych.interop import called
    >>> called("frn", "facebook/dinov2-small"), called("mml-conv64f", None)
    ('frn over facebook/dinov2-small', 'mml-conv64f')
    """
    if backbone is None:
        return str(method)
    return str(backbone) if method == DEFAULT else f"{method} over {backbone}"


def _alone(method: str | PathLike[str]) -> str:
    return "mml" if method == DEFAULT else str(method)


def _untrained(method: str, backbone: str | PathLike[str]) -> Method:
    """A method that needs no training, over a backbone that has been trained."""
    if f"{method}-efficientnet-lite0" not in WEIGHTS:
        raise ValueError(f"{method} is to be trained: triptych train DATA --method {method} --backbone {backbone}")
    return pretrained_method(backbone, method)
