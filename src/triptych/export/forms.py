"""What a recogniser can be exported as."""

from collections.abc import Mapping
from dataclasses import dataclass

from triptych.system.kinds import ONNX_MODEL, TORCH_PROGRAM, Kind
from triptych.system.settings import check_settings, one_of, setting

__all__ = ["FORMATS", "PRECISIONS", "ExportSettings"]

FORMATS: Mapping[str, Kind] = {"onnx": ONNX_MODEL, "torch": TORCH_PROGRAM}
PRECISIONS = ("32", "fp16", "int8")


@dataclass(frozen=True)
class ExportSettings:
    """How a recogniser is exported.

    - ``32``: single precision throughout; the same answers.
    - ``fp16``: numbers are stored in half precision and computed with in single precision: half the size.
    - ``int8``: the network computes in whole numbers of a byte, and the rest is stored in half precision.

    >>> from triptych.export import ExportSettings
    >>> ExportSettings(format="torch", precision="int8")
    Traceback (most recent call last):
    ValueError: precision int8 is for the format onnx; a torch program has precision 32
    """

    format: str = setting("onnx", "onnx: one ONNX model. torch: one PyTorch program (.pt2).", one_of(*FORMATS))
    precision: str = setting("32", "32, fp16 (half the size) or int8 (smallest).", one_of(*PRECISIONS))

    def __post_init__(self) -> None:
        check_settings(self)
        if self.format == "torch" and self.precision != "32":
            raise ValueError(f"precision {self.precision} is for the format onnx; a torch program has precision 32")

    @property
    def kind(self) -> Kind:
        """Of the file that is written."""
        return FORMATS[self.format]
