"""Configurations of methods: frozen dataclasses that check themselves, and their form in a file."""

import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from triptych.data import Preprocessing
from triptych.system.settings import NAME, Check, optional, whole
from triptych.system.wording import nearest

__all__ = ["MethodConfig"]

C = TypeVar("C", bound="MethodConfig")

_MOST_COMPONENTS = 1 << 14
_ARCHITECTURE = Check("the configuration of a transformers model, a dict", lambda value: isinstance(value, dict))
_PREPROCESSING = Check("a Preprocessing", lambda value: isinstance(value, Preprocessing))


@dataclass(frozen=True)
class MethodConfig:
    """Settings that every method has; each method adds its own.

    Attributes:
        backbone: name of the backbone. Beside an ``architecture`` it is a label only.
        architecture: the configuration of the transformers model of a ``Pretrained`` backbone; None for others.
        preprocessing: how images become the backbone's input.
        components: principal components to which descriptors are reduced; None for the backbone's own channels.
    """

    backbone: str = "conv64f"
    architecture: dict[str, Any] | None = field(default=None, hash=False)
    preprocessing: Preprocessing = Preprocessing()  # noqa: RUF009 (frozen)
    components: int | None = None

    def __post_init__(self) -> None:
        self.check(
            backbone=NAME,
            architecture=optional(_ARCHITECTURE),
            preprocessing=_PREPROCESSING,
            components=optional(whole(1, _MOST_COMPONENTS)),
        )

    def check(self, **checks: Check) -> None:
        """Ask of settings, by their names, that they are what they may be.

        Raises:
            ValueError: one is not.
        """
        for name, check in checks.items():
            check.ask(name, getattr(self, name))

    def to_dict(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[C], values: Any) -> C:
        """A configuration from JSON, which need not be trusted.

        Raises:
            ValueError: an unknown setting, one of the wrong type, or one out of bounds.

        >>> from triptych.methods import MMLConfig
        >>> MMLConfig.from_dict({"pixel_k": "x"})
        Traceback (most recent call last):
        ValueError: pixel_k is 'x'; expected int
        """
        return _read(cls, values, "the configuration")


def _read(kind: Any, value: Any, name: str) -> Any:
    """A value of JSON as what the annotation of a field says."""
    if is_dataclass(kind):
        return _read_dataclass(kind, value, name)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        (kind,) = (one for one in inner if one is not type(None))
        return _read(kind, value, name)
    if origin is tuple and isinstance(value, list | tuple):
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        if len(kinds) == len(value):
            return tuple(_read(one, part, name) for one, part in zip(kinds, value, strict=True))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    plain = origin or kind
    if plain is tuple or not isinstance(value, plain) or (isinstance(value, bool) and plain is not bool):
        raise ValueError(f"{name} is {value!r:.80}; expected {_in_words(plain, inner)}")
    return value


def _in_words(kind: Any, inner: Any) -> str:
    if kind is tuple:
        return "a list" if inner[-1] is Ellipsis else f"a list of {len(inner)}"
    return "settings by name" if kind is dict else kind.__name__


def _read_dataclass(kind: Any, values: Any, name: str) -> Any:
    if not isinstance(values, Mapping):
        raise ValueError(f"{name} is {values!r:.80}; expected settings by name")
    known = {one.name for one in fields(kind)}
    if unknown := sorted(set(values) - known, key=str):
        raise ValueError(f"unknown setting {unknown[0]!r:.80}; {nearest(str(unknown[0]), sorted(known))}")
    hints = get_type_hints(kind)
    return kind(**{key: _read(hints[key], value, key) for key, value in values.items()})
