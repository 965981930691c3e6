"""A convolution and its BatchNorm, which is folded into it where nothing is trained."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NormedConvolution"]


class NormedConvolution(nn.Module):
    """Convolution with TensorFlow's "same" padding, BatchNorm, ReLU6 or none: (B, inputs, h, w) -> (B, outputs, H, W).

    Without a gradient the BatchNorm's fixed statistics are folded into the weights, once: see ``_folded``.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: its side.
        stride: H is h / stride, rounded up.
        groups: of channels that are convolved by themselves.
        activation: ReLU6 or none.

    >>> import torch
    >>> from triptych.backbones.convolution import NormedConvolution
    >>> NormedConvolution(3, 8, kernel=3, stride=2)(torch.zeros(1, 3, 5, 5)).shape
    torch.Size([1, 8, 3, 3])
    """

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, activation: bool = True
    ) -> None:
        super().__init__()
        padding = kernel // 2 if stride == 1 else 0  # of a strided one it depends on the size of its input
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.01)
        self.activation = activation
        self._fold: _Fold | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_fold": None}  # copies and pickles do without

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.convolution.kernel_size[0], self.convolution.stride[0]
        if stride > 1:
            height, width = x.shape[2:]
            x = functional.pad(x, (*_same_padding(width, kernel, stride), *_same_padding(height, kernel, stride)))
        if not (self.norm.training or torch.is_grad_enabled() or torch.compiler.is_compiling()):
            return self._folded(x)
        x = self.norm(self.convolution(x))
        return functional.relu6(x, inplace=True) if self.activation else x

    def _folded(self, x: Tensor) -> Tensor:
        """The same in one pass over the memory, which limits the speed. Changes through ``.data``, and of weights made
        within ``torch.inference_mode``, are not noticed.

        PyTorch's own operation for its compiler does convolution and activation at once.
        """
        if self._fold is None or not self._fold.holds(self.convolution, self.norm):
            self._fold = _Fold(self.convolution, self.norm)
        weight, bias, layer = self._fold.weight, self._fold.bias, self.convolution
        plain = x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu")
        fused = None if plain else _onednn_convolution()
        if fused is None:
            x = functional.conv2d(x, weight, bias, layer.stride, layer.padding, layer.dilation, layer.groups)
            return functional.relu6(x, inplace=True) if self.activation else x
        kind, bounds = ("hardtanh", [0.0, 6.0]) if self.activation else ("none", [])
        return fused(x, weight, bias, layer.padding, layer.stride, layer.dilation, layer.groups, kind, bounds, "")


class _Fold:
    """A BatchNorm folded into the convolution before it, and the tensors that this was made of."""

    def __init__(self, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        self._made_of = _weights_of(layer, norm)
        self._versions = list(map(_version, self._made_of))
        weight, mean, variance, gain, shift = self._made_of
        scale = gain * (variance + norm.eps).rsqrt()
        self.weight = (weight * scale[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        self.bias = shift - mean * scale

    def holds(self, layer: nn.Conv2d, norm: nn.BatchNorm2d) -> bool:
        """Whether it is still what these layers give: none of their tensors was replaced or changed."""
        now = _weights_of(layer, norm)
        return all(a is b and _version(a) == v for a, b, v in zip(now, self._made_of, self._versions, strict=True))


def _version(weights: Tensor) -> int:
    """How often they were changed; tensors made within ``torch.inference_mode`` don't count it."""
    return 0 if weights.is_inference() else weights._version


def _weights_of(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> list[Tensor]:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return [layer.weight, norm.running_mean, norm.running_var, norm.weight, norm.bias]


@cache
def _onednn_convolution() -> Callable[..., Tensor] | None:
    try:
        return torch.ops.mkldnn._convolution_pointwise if torch.backends.mkldnn.is_available() else None
    except AttributeError:
        return None


def _same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after, such that ceil(size / stride) outputs remain."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2
