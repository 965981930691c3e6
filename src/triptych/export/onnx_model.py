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

__all__ = ["onnx_bytes", "onnx_model"]

_OPSET = 18
_MOST_BYTES = (1 << 31) - 1  # of a file in protobuf


def onnx_model(program: ExportedProgram, known: Knowledge) -> "onnx.ModelProto":
    """A recorded graph in ONNX.

    Raises:
        RuntimeError: the libraries of the extra are missing.
        ValueError: the method has an operation that ONNX lacks, or the model is larger than a file of ONNX may be.
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
    constants = [one.const_value for one in translated.model.graph.initializers.values()]
    _refuse_large(sum(one.nbytes for one in constants if one is not None))
    return translated.model_proto


def _refuse_large(size: int) -> None:
    if size > _MOST_BYTES:
        raise ValueError(
            f"the model takes {size / 1e9:.1f} GB, and an ONNX file holds 2.1 GB; choose fewer photos or precision int8"
        )


def onnx_bytes(model: "onnx.ModelProto", told: Mapping[str, str]) -> bytes:
    """The model as a file that says what it is."""
    import onnx

    model.producer_name = "triptych"
    model.producer_version = told["triptych"]
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, dict(told))
    for node in model.graph.node:
        del node.metadata_props[:]  # of the source's lines
    return model.SerializeToString()
