"""What a method is called, by its configuration: for cards, and for what a recogniser recognises by."""

from triptych.interop.pretrained import ALONE
from triptych.methods import METHODS, WEIGHTS, MethodConfig, name_and_changes
from triptych.system.wording import listed

__all__ = ["method_in_words"]

_OF_NETWORK = ("architecture", "backbone", "preprocessing")


def method_in_words(config: MethodConfig) -> str:
    """The name of a method; of one that differs from all that have a name, the nearest and what is other.

    >>> from dataclasses import replace
    >>> from triptych.interop.naming import method_in_words
    >>> from triptych.methods import METHODS
    >>> method_in_words(METHODS["protonet-conv64f"]), method_in_words(replace(METHODS["dn4-conv64f"], pixel_k=5))
    ('protonet-conv64f', 'dn4-conv64f with other values of pixel_k')
    """
    over = config.architecture is not None
    known = ALONE if over else {**METHODS, **{name: weights.config for name, weights in WEIGHTS.items()}}
    name, changes = name_and_changes(config, known) or (type(config).__name__, {})
    other = sorted(one for one in changes if not (over and one in _OF_NETWORK))
    called = f"{name} over {config.backbone}" if over else name
    return f"{called} with other values of {listed(other)}" if other else called
