"""Triptych: few-shot image recognition that shows its evidence."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from triptych.data.errors import ImageError
    from triptych.interop import load_method
    from triptych.methods import save_method
    from triptych.recognizer import Recognizer

__all__ = ["ImageError", "Recognizer", "__version__", "load_method", "save_method"]

__version__ = "0.1.0"

_HOMES = {
    "ImageError": "triptych.data.errors",
    "Recognizer": "triptych.recognizer.estimator",
    "load_method": "triptych.interop",
    "save_method": "triptych.methods",
}


def __getattr__(name: str) -> Any:
    # Names are imported when first used: `triptych --help` must not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'triptych' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
