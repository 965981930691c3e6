"""Method files: weights and configuration in one .safetensors file, which never runs code."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from importlib import resources
from os import PathLike

from torch import Tensor

from triptych.backbones.pretrained import check_weights
from triptych.methods.mml import MML, MMLConfig
from triptych.system.files import pack, unpack, write_whole

__all__ = [
    "EMBEDDED",
    "embedded_method",
    "load_state",
    "method_from_bytes",
    "method_to_bytes",
    "save_method",
    "weights_hash",
]

EMBEDDED = ("mml-conv64f",)
_FORMAT = "triptych-method"
_VERSION = 1
_NETWORK = "backbone.network."


def embedded_method(name: str) -> MML:
    """The method whose weights come with the package under this name.

    >>> from triptych.methods.files import embedded_method
    >>> embedded_method("mml-conv64f").config.backbone
    'conv64f'
    """
    return method_from_bytes(resources.files("triptych.weights").joinpath(f"{name}.safetensors").read_bytes(), name)


def save_method(method: MML, path: str | PathLike[str]) -> None:
    """Write a method's weights and configuration to a .safetensors file, whole or not at all.

    Raises:
        OSError: the file cannot be written.

    >>> import tempfile
    >>> from triptych import load_method, save_method
    >>> from triptych.methods import build_method
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_method(build_method("dn4-conv64f"), f"{folder}/dn4.safetensors")
    ...     load_method(f"{folder}/dn4.safetensors").config.pixel_k
    3
    """
    write_whole(path, method_to_bytes(method))


def method_to_bytes(method: MML) -> bytes:
    """A method's weights and configuration as the bytes of a .safetensors file.

    >>> from triptych.methods import build_method, method_to_bytes
    >>> len(method_to_bytes(build_method("dn4-conv64f"))) > 4 * 112_000
    True
    """
    state = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    return pack(state, _FORMAT, _VERSION, {"config": asdict(method.config)})


def method_from_bytes(data: bytes, name: str) -> MML:
    """The method that ``method_to_bytes`` wrote; ``name`` is what errors call it.

    Raises:
        ValueError: the bytes are no method's.

    >>> from triptych.methods import build_method, method_from_bytes, method_to_bytes
    >>> method_from_bytes(method_to_bytes(build_method("dn4-conv64f")), "in memory").config.pixel_k
    3
    """
    state, content = unpack(data, _FORMAT, _VERSION, name)
    try:
        config = MMLConfig.from_dict(content["config"])
        if config.architecture is not None:
            network = {key.removeprefix(_NETWORK): value for key, value in state.items() if key.startswith(_NETWORK)}
            check_weights(config.architecture, network)
        method = MML(config)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: its configuration cannot be read ({error})") from error
    load_state(method, state, name)
    _check_base_classes(method, name)
    return method.eval()


def load_state(method: MML, state: Mapping[str, Tensor], name: str) -> None:
    """Fill a method with weights; a missing, unexpected or misshapen one is a ValueError that names it."""
    try:
        method.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ValueError(f"{name}: its weights do not fit its configuration: {error}") from error


def _check_base_classes(method: MML, name: str) -> None:
    if method.base is None:
        return
    known = all(value.isfinite().all() for value in method.base.state_dict().values())
    if not known or (method.base.between < 0).any() or method.base.weight < 0:
        raise ValueError(f"{name}: its base classes are damaged; fetch or train it again")


def weights_hash(method: MML) -> str:
    """SHA-256 of all weights and buffers, by name."""
    whole = hashlib.sha256()
    for name, value in sorted(method.state_dict().items()):
        whole.update(name.encode())
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    return whole.hexdigest()
