"""Method files: weights and configuration in one .safetensors file, which never runs code."""

import hashlib
import json
from collections.abc import Mapping
from os import PathLike
from typing import Any

from torch import Tensor, nn

from triptych.backbones import Backbone, check_weights, pretrained_efficientnet_lite
from triptych.methods.base import Method
from triptych.methods.legacy import renamed_settings, upgraded
from triptych.methods.types import METHOD_TYPES
from triptych.system.files import as_path, check_named, write_whole
from triptych.system.kinds import METHOD
from triptych.system.outputs import check_replaced
from triptych.system.packed import pack, read_packed, unpack
from triptych.system.settings import check_kind
from triptych.system.wording import first_few, printable
from triptych.weights.packages import WEIGHT_PACKAGES, WeightPackage

__all__ = ["load_state", "method_from_bytes", "method_to_bytes", "read_method", "save_method", "weights_hash"]

_FORMAT = "triptych-method"
_VERSION = 3
_WHOLE = 2  # the version with all weights, which earlier releases read
_BACKBONE = "backbone."
_NETWORK = "backbone.network."
_TOLD = ("method", "config", "package")  # what the checksum is of, beside the weights


def save_method(method: Method, path: str | PathLike[str]) -> None:
    """Write a method's weights and configuration to a .safetensors file, whole or not at all.

    An earlier method file of that name is replaced, any other file is not.

    Raises:
        ValueError: the file exists and is no method file, or what is given is no method.
        OSError: the file cannot be written.

    >>> import tempfile
    >>> from triptych import load_method, save_method
    >>> from triptych.methods import build_method
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_method(build_method("dn4-conv64f"), f"{folder}/dn4.safetensors")
    ...     load_method(f"{folder}/dn4.safetensors").config.pixel_k
    3
    """
    check_kind(method, Method, "a method, such as load_method gives")
    check_replaced(as_path(path), METHOD)
    write_whole(path, method_to_bytes(method))


def method_to_bytes(method: Method, whole: bool = True) -> bytes:
    """A method's weights and configuration as the bytes of a .safetensors file.

    Args:
        method: the method.
        whole: False to name the installed package that carries the backbone's weights, if there is one, in place of
            these weights.

    >>> from triptych.methods import build_method, method_to_bytes
    >>> len(method_to_bytes(build_method("dn4-conv64f"))) > 4 * 112_000
    True
    """
    state = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    content = {"method": method.name, "config": method.config.to_dict()}
    package = None if whole else _package_of(method)
    if package is not None:
        state = {key: value for key, value in state.items() if not key.startswith(_BACKBONE)}
        content["package"] = {"name": package.package, "version": package.version, "sha256": package.sha256}
    version = _WHOLE if package is None else _VERSION
    return pack(state, _FORMAT, version, {**content, "checksum": _checksum(state, content)})


def read_method(path: str | PathLike[str]) -> Method:
    """The method of a file that ``save_method`` wrote.

    Raises:
        ValueError: there is no such file, it is no method's, or was changed.
        OSError: it cannot be read.
    """
    check_named(path, "a .safetensors file of a method")
    return method_from_bytes(read_packed(path, _FORMAT), str(path))


def method_from_bytes(data: bytes, name: str) -> Method:
    """The method that ``method_to_bytes`` wrote; ``name`` is what errors call it.

    Raises:
        ValueError: the bytes are no method's, or were changed; or the package that they name is missing or another.

    >>> from triptych.methods import build_method, method_from_bytes, method_to_bytes
    >>> method_from_bytes(method_to_bytes(build_method("dn4-conv64f")), "in memory").config.pixel_k
    3
    """
    state, content = unpack(data, _FORMAT, _VERSION, name)
    if content["version"] < _WHOLE:
        state, content = upgraded(state, content, name)
    elif _checksum(state, {key: content[key] for key in _TOLD if key in content}) != content.get("checksum"):
        raise ValueError(f"{name}: damaged or altered since it was written; fetch or train it again")
    backbone = _packaged_backbone(content, name) if "package" in content else None
    method = _built(state, content, name, backbone)
    if backbone is not None:
        state |= {_BACKBONE + key: value for key, value in backbone.state_dict().items()}
    load_state(method, state, name)
    try:
        method.check()
    except ValueError as error:
        raise ValueError(f"{name}: its weights are damaged ({error}); fetch or train it again") from error
    return method.eval()


def _package_of(method: Method) -> WeightPackage | None:
    """The package that carries just the weights that the method's backbone has."""
    package = WEIGHT_PACKAGES.get(method.config.backbone)
    return package if package and weights_hash(method.backbone) == package.weights_sha256 else None


def _packaged_backbone(content: Mapping[str, Any], name: str) -> Backbone:
    """The backbone whose weights the content names."""
    told, config = content["package"], content.get("config")
    backbone = config.get("backbone") if isinstance(config, dict) else None
    package = WEIGHT_PACKAGES.get(str(backbone))
    if package is None or not isinstance(told, dict) or told.get("sha256") != package.sha256:
        raise ValueError(
            f"{name}: its network {backbone!r} is that of another version of triptych "
            f"({printable(str(told)):.200}); use that version, or fit or train it again"
        )
    try:
        return pretrained_efficientnet_lite(str(backbone), classifies=False)
    except RuntimeError as error:
        raise ValueError(f"{name}: its network cannot be read: {error}") from error


def _built(
    state: Mapping[str, Tensor], content: Mapping[str, Any], name: str, backbone: Backbone | None = None
) -> Method:
    """The method that the content describes, with fresh weights but for those of a given backbone."""
    kind = METHOD_TYPES.get(str(content.get("method")))
    if kind is None:
        raise ValueError(
            f"{name}: its method is {content.get('method')!r}; expected one of {', '.join(sorted(METHOD_TYPES))}"
        )
    try:
        config = kind.config_type.from_dict(renamed_settings(content.get("config")))
        if config.architecture is not None:
            network = {key.removeprefix(_NETWORK): value for key, value in state.items() if key.startswith(_NETWORK)}
            check_weights(config.architecture, network)
        return kind(config, backbone=backbone)  # type: ignore[call-arg, arg-type]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: its configuration cannot be read ({error})") from error


def load_state(method: Method, state: Mapping[str, Tensor], name: str) -> None:
    """Fill a method with weights; a missing, unexpected or misshapen one is a ValueError that names it."""
    own = {key: tuple(value.shape) for key, value in method.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in state.items()}
    wrong = [
        *(f"{key} is missing" for key in own if key not in given),
        *(f"{printable(key)} is none of its weights" for key in given if key not in own),
        *(f"{key} has the shape {given[key]}, not {own[key]}" for key in own if given.get(key, own[key]) != own[key]),
    ]
    if wrong:
        raise ValueError(f"{name}: its weights do not fit its configuration: {first_few(wrong)}")
    method.load_state_dict(dict(state))


def weights_hash(method: nn.Module) -> str:
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
