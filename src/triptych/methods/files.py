"""Method files: weights and configuration in one .safetensors file, which never runs code."""

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

from torch import Tensor

from triptych.backbones import check_weights
from triptych.methods.base import Method
from triptych.methods.legacy import renamed, upgraded
from triptych.methods.types import METHOD_TYPES
from triptych.system.files import pack, unpack, write_whole

__all__ = ["load_state", "method_from_bytes", "method_to_bytes", "save_method", "weights_hash"]

_FORMAT = "triptych-method"
_VERSION = 2
_NETWORK = "backbone.network."


def save_method(method: Method, path: str | PathLike[str]) -> None:
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


def method_to_bytes(method: Method) -> bytes:
    """A method's weights and configuration as the bytes of a .safetensors file.

    >>> from triptych.methods import build_method, method_to_bytes
    >>> len(method_to_bytes(build_method("dn4-conv64f"))) > 4 * 112_000
    True
    """
    state = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    content = {"method": method.name, "config": method.config.to_dict()}
    return pack(state, _FORMAT, _VERSION, {**content, "checksum": _checksum(state, content)})


def method_from_bytes(data: bytes, name: str) -> Method:
    """The method that ``method_to_bytes`` wrote; ``name`` is what errors call it.

    Raises:
        ValueError: the bytes are no method's, or were changed.

    >>> from triptych.methods import build_method, method_from_bytes, method_to_bytes
    >>> method_from_bytes(method_to_bytes(build_method("dn4-conv64f")), "in memory").config.pixel_k
    3
    """
    state, content = unpack(data, _FORMAT, _VERSION, name)
    if content["version"] < _VERSION:
        state, content = upgraded(state, content, name)
    elif _checksum(state, {key: content.get(key) for key in ("method", "config")}) != content.get("checksum"):
        raise ValueError(f"{name}: damaged or altered since it was written; fetch or train it again")
    method = _built(state, content, name)
    load_state(method, state, name)
    try:
        method.check()
    except ValueError as error:
        raise ValueError(f"{name}: its weights are damaged ({error}); fetch or train it again") from error
    return method.eval()


def _built(state: Mapping[str, Tensor], content: Mapping[str, Any], name: str) -> Method:
    """The method that the content describes, with fresh weights."""
    kind = METHOD_TYPES.get(str(content.get("method")))
    if kind is None:
        raise ValueError(
            f"{name}: its method is {content.get('method')!r}; expected one of {', '.join(sorted(METHOD_TYPES))}"
        )
    try:
        config = kind.config_type.from_dict(renamed(content.get("config")))
        if config.architecture is not None:
            network = {key.removeprefix(_NETWORK): value for key, value in state.items() if key.startswith(_NETWORK)}
            check_weights(config.architecture, network)
        return kind(config)  # type: ignore[call-arg, arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: its configuration cannot be read ({error})") from error


def load_state(method: Method, state: Mapping[str, Tensor], name: str) -> None:
    """Fill a method with weights; a missing, unexpected or misshapen one is a ValueError that names it."""
    try:
        method.load_state_dict(dict(state))
    except RuntimeError as error:
        raise ValueError(f"{name}: its weights do not fit its configuration: {error}") from error


def weights_hash(method: Method) -> str:
    """SHA-256 of all weights and buffers, by name."""
    return _hashed(method.state_dict()).hexdigest()


def _checksum(state: Mapping[str, Tensor], content: Mapping[str, Any]) -> str:
    whole = _hashed(state)
    whole.update(json.dumps(content, sort_keys=True).encode())
    return whole.hexdigest()


def _hashed(state: Mapping[str, Tensor]) -> Any:
    whole = hashlib.sha256()
    for name, value in sorted(state.items()):
        whole.update(name.encode())
        whole.update(value.detach().cpu().contiguous().numpy().tobytes())
    return whole
