"""Methods: labelled support and queries -> levels and logits; and the files they live in."""

from triptych.methods.base import ClassSummary, Method, Preprocessing
from triptych.methods.files import EMBEDDED, method_from_bytes, method_to_bytes, save_method
from triptych.methods.mml import LEVELS, MML, MMLConfig

__all__ = [
    "EMBEDDED",
    "LEVELS",
    "METHODS",
    "MML",
    "ClassSummary",
    "MMLConfig",
    "Method",
    "Preprocessing",
    "build_method",
    "method_from_bytes",
    "method_to_bytes",
    "save_method",
]

METHODS: dict[str, MMLConfig] = {
    "mml-conv64f": MMLConfig(distance="log_kl"),
    "mml-resnet12": MMLConfig(backbone="resnet12", distance="log_kl"),
    "mml-paper-conv64f": MMLConfig(part_normalize=False, distance="wasserstein"),
    "mml-paper-resnet12": MMLConfig(backbone="resnet12", part_normalize=False, distance="wasserstein"),
    "adm-conv64f": MMLConfig(levels=("distribution", "pixel"), pixel_k=3),
    "dn4-conv64f": MMLConfig(levels=("pixel",), pixel_k=3),
    "protonet-conv64f": MMLConfig(levels=("global",)),
}


def build_method(method: str | MMLConfig) -> MML:
    """Return a freshly initialised method by its registry name or configuration.

    Raises:
        ValueError: no such method.

    >>> from triptych.methods import build_method
    >>> build_method("dn4-conv64f").config.levels
    ('pixel',)
    """
    if isinstance(method, MMLConfig):
        return MML(method)
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}; expected one of {', '.join(sorted(METHODS))}")
    return MML(METHODS[method])
