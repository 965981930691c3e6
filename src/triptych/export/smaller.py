"""Smaller models: numbers stored in half precision, and a network that computes in whole numbers of a byte."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from triptych.export.graph import INPUT, without_remarks
from triptych.system.extras import extra

if TYPE_CHECKING:
    import onnx

__all__ = ["in_half", "network_in_bytes"]

_FEWEST = 1024  # numbers of a tensor that is worth it
_LOSS = 1e-3  # of a tensor, relative, that is borne; half precision has 11 bits
_QUANTISED = ("Conv", "Add")
_BATCH = 8


def in_half(model: "onnx.ModelProto") -> "onnx.ModelProto":
    """The model with its numbers stored in half precision, and those of double precision in single precision.

    A runtime turns them back once, when it loads the model: nothing is computed in half precision, which few
    processors do fast. Numbers that half precision cannot hold stay as they are.
    """
    import onnx

    graph, casts = model.graph, []
    for number, tensor in enumerate(list(graph.initializer)):
        values = onnx.numpy_helper.to_array(tensor)
        stored = _stored(values)
        if stored is None:
            continue
        name, kind = tensor.name, tensor.data_type
        graph.initializer[number].CopyFrom(onnx.numpy_helper.from_array(stored, f"{name}.stored"))
        casts.append(onnx.helper.make_node("Cast", [f"{name}.stored"], [name], f"{name}.restored", to=kind))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _stored(values: np.ndarray) -> np.ndarray | None:
    """A tensor with fewer bytes, if it has many numbers and they bear it."""
    smaller = {np.dtype("float32"): np.float16, np.dtype("float64"): np.float32}.get(values.dtype)
    if smaller is None or values.size < _FEWEST:
        return None
    with np.errstate(over="ignore"):
        stored = values.astype(smaller)
    lost = np.linalg.norm(stored.astype(values.dtype) - values)
    return stored if lost <= _LOSS * np.linalg.norm(values) else None


def network_in_bytes(model: "onnx.ModelProto", photos: Sequence[UInt8[np.ndarray, "side side 3"]], method: str) -> Any:
    """The model with the convolutions of its network in whole numbers of a byte, by ONNX Runtime's own tools.

    Args:
        model: in single precision.
        photos: by which the ranges of the network's numbers are found.
        method: its name, for messages.

    Raises:
        RuntimeError: the libraries of the extra are missing.
        ValueError: its network has too few convolutions.
    """
    import onnx

    with extra("onnx", "precision int8 needs onnxruntime"):
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Photos(CalibrationDataReader):
        def __init__(self) -> None:
            self.batches: Iterator[Any] = (
                {INPUT: np.stack(photos[first : first + _BATCH])} for first in range(0, len(photos), _BATCH)
            )

        def get_next(self) -> Any:
            return next(self.batches, None)

    if not (chosen := _of_network(model)):
        raise ValueError(
            f"method {method!r} cannot be exported in precision int8 (its network has no convolution between its first "
            "and its last); choose 32 or fp16"
        )
    with tempfile.TemporaryDirectory() as place, without_remarks():
        quantize_static(
            model,
            Path(place, "model.onnx"),
            Photos(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # 7 bits for weights: with 8, sums overflow on processors that have AVX2 and no more
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=chosen,
        )
        return onnx.load(Path(place, "model.onnx"))


def _of_network(model: "onnx.ModelProto") -> list[str]:
    """The names of the network's nodes that are turned into whole numbers.

    All but its first and last convolution: the first sees pixels, and the last gives the descriptors whose lengths
    decide what counts. With these two, four points of accuracy were lost (benchmarks/LOG.md).
    """
    nodes = model.graph.node
    convolutions = [number for number, node in enumerate(nodes) if node.op_type == "Conv"]
    if len(convolutions) < 3:
        return []
    return [node.name for node in nodes[convolutions[0] + 1 : convolutions[-1]] if node.op_type in _QUANTISED]
