"""A method's configuration as a registered one with changes, which is how commands and YAML files write it."""

from collections.abc import Mapping
from typing import Any

from triptych.methods.config import MethodConfig

__all__ = ["changed", "name_and_changes"]


def changed(config: MethodConfig, changes: Mapping[str, Any]) -> MethodConfig:
    """The configuration with other values of some settings, as JSON has them; of nested ones the others stay.

    Raises:
        ValueError: an unknown setting, or a value that it cannot have.

    >>> from triptych.methods import METHODS
    >>> from triptych.methods.changes import changed
    >>> new = changed(METHODS["dn4-conv64f"], {"pixel_k": 5, "preprocessing": {"side": 96}})
    >>> new.pixel_k, new.preprocessing.side, new.preprocessing.fit
    (5, 96, 'squash')
    """
    own = config.to_dict()
    for name, value in changes.items():
        both = isinstance(value, Mapping) and isinstance(own.get(name), Mapping)
        own[name] = {**own[name], **value} if both else value
    return type(config).from_dict(own)


def name_and_changes(config: MethodConfig, known: Mapping[str, MethodConfig]) -> tuple[str, dict[str, Any]] | None:
    """The known configuration from which fewest settings differ, and these; None if none is of its type.

    >>> from dataclasses import replace
    >>> from triptych.methods import METHODS
    >>> from triptych.methods.changes import name_and_changes
    >>> name_and_changes(replace(METHODS["dn4-conv64f"], pixel_k=5), METHODS)
    ('dn4-conv64f', {'pixel_k': 5})
    """
    own = config.to_dict()
    found: tuple[str, dict[str, Any]] | None = None
    for name, other in known.items():
        if type(other) is type(config):
            theirs = other.to_dict()
            changes = {key: value for key, value in own.items() if value != theirs[key]}
            if found is None or len(changes) < len(found[1]):
                found = name, changes
    return found
