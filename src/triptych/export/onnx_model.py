"""The graph of a recogniser in ONNX."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch.export import ExportedProgram

from triptych.export.graph import INPUT, output_names, refused, without_remarks
from triptych.recognizer import Knowledge
from triptych.system.extras import extra

if TYPE_CHECKING:
    import onnx

__all__ = ["onnx_bytes", "onnx_model", "refuse_large"]

_OPSET = 18
_MOST_BYTES = (1 << 31) - 1  # of a file in protobuf


def onnx_model(program: ExportedProgram, known: Knowledge) -> "onnx.ModelProto":
    """A recorded graph in ONNX.

    Raises:
        RuntimeError: the libraries of the extra are missing.
        ValueError: the method has an operation that ONNX lacks.
    """
    with extra("onnx", "export to ONNX needs onnx and onnxscript"):
        from triptych.export.operations import TRANSLATIONS
    try:
        with without_remarks(), torch.no_grad():
            translated = torch.onnx.export(
                program,
                dynamo=True,
                input_names=[INPUT],
                output_names=output_names(known),
                opset_version=_OPSET,
                custom_translation_table=TRANSLATIONS,
                verbose=False,
            )
    except Exception as error:  # whatever the translation meets
        raise refused(known, error) from error
    assert translated is not None
    return translated.model_proto


def refuse_large(model: "onnx.ModelProto", precision: str) -> None:
    """Raise a ValueError where the model is larger than a file of ONNX may be."""
    size = sum(len(one.raw_data) for one in model.graph.initializer)
    if size > _MOST_BYTES:
        smaller = "fewer photos" if precision == "fp16" else "fewer photos or precision fp16"
        raise ValueError(
            f"the model takes {size / 1e9:.1f} GB, and an ONNX file holds {_MOST_BYTES / 1e9:.1f} GB; choose {smaller}"
        )


def onnx_bytes(model: "onnx.ModelProto", told: Mapping[str, str]) -> bytes:
    """The model as a file that says what it is.

    Raises:
        ValueError: it is larger than a file of ONNX may be.
    """
    import onnx

    refuse_large(model, told["precision"])
    model.producer_name = "triptych"
    model.producer_version = told["triptych"]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(told))
    for node in model.graph.node:
        del node.metadata_props[:]  # of the source's lines
    return model.SerializeToString()
