"""Recognisers out of Triptych: one graph of network, levels, fusion, calibration and support, for other runtimes."""

from typing import TYPE_CHECKING

from triptych.export.forms import FORMATS, PRECISIONS, ExportSettings
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.export.writing import export

__all__ = ["FORMATS", "PRECISIONS", "ExportSettings", "export"]

__getattr__ = imported_when_used(__name__, {"export": "triptych.export.writing"})
