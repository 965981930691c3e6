"""Operations of PyTorch that ONNX has no operator for: Cholesky's decomposition and Euclidean distances."""

# mypy: ignore-errors
from typing import Any

import torch
from onnxscript import DOUBLE, script
from onnxscript import opset18 as op

__all__ = ["TRANSLATIONS"]

_INT32 = 6  # ONNX's number of the type


@script()
def _lower(matrix: DOUBLE[...]) -> DOUBLE[...]:  # one column after the other
    count = op.Squeeze(op.Shape(matrix, start=-1))
    rows = op.Range(0, count, 1)
    root = op.Sub(matrix, matrix)
    rest = matrix
    for step in range(count):
        column = op.Gather(rest, step, axis=-1)
        pivot = op.Unsqueeze(op.Gather(column, step, axis=-1), [-1])
        below = op.CastLike(op.GreaterOrEqual(rows, step), matrix)
        column = op.Mul(op.Div(column, op.Sqrt(pivot)), below)
        tall = op.Unsqueeze(column, [-1])
        rest = op.Sub(rest, op.Mul(tall, op.Unsqueeze(column, [-2])))
        root = op.Add(root, op.Mul(tall, op.CastLike(op.Equal(rows, step), matrix)))
    return root


def _cholesky(matrix: Any, upper: bool = False) -> Any:
    return _lower(matrix)


def _cholesky_ex(matrix: Any, upper: bool = False, check_errors: bool = False) -> tuple[Any, Any]:
    """With a number above 0 where a matrix has no root: there its numbers are none."""
    root = _lower(matrix)
    failed = op.IsNaN(op.ReduceSum(root, op.Constant(value_ints=[-2, -1]), keepdims=0))
    return root, op.Cast(failed, to=_INT32)


def _distances(x: Any, y: Any, p: float = 2.0, compute_mode: Any = None) -> Any:
    """Euclidean distances between the rows of two matrices."""
    if p != 2:
        raise NotImplementedError(f"distances of order {p}")
    differences = op.Sub(op.Unsqueeze(x, op.Constant(value_ints=[-2])), op.Unsqueeze(y, op.Constant(value_ints=[-3])))
    return op.Sqrt(op.ReduceSumSquare(differences, op.Constant(value_ints=[-1]), keepdims=0))


# PyTorch's operation -> how it is written in ONNX.
TRANSLATIONS: dict[Any, Any] = {
    torch.ops.aten.linalg_cholesky.default: _cholesky,
    torch.ops.aten.linalg_cholesky_ex.default: _cholesky_ex,
    torch.ops.aten._cdist_forward.default: _distances,
}
