"""Triptych: few-shot image recognition that shows its evidence."""

from typing import TYPE_CHECKING

from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.data import ImageError
    from triptych.interop import load_method
    from triptych.methods import save_method
    from triptych.recognizer import Recognizer

__all__ = ["ImageError", "Recognizer", "__version__", "load_method", "save_method"]

__version__ = "0.1.0"

# `triptych --help` must not wait for torch.
__getattr__ = imported_when_used(
    __name__,
    {
        "ImageError": "triptych.data",
        "Recognizer": "triptych.recognizer",
        "load_method": "triptych.interop",
        "save_method": "triptych.methods",
    },
)
