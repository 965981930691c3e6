"""Conv-64F, the four-layer network of DN4, ADM and MML."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones.base import Backbone, initialise

_SLOPE = 0.2


class Conv64F(Backbone):
    """Four 3x3 convolutions of 64 filters, each with BatchNorm and LeakyReLU(0.2).

    2x2 max-pooling after the first two layers: an 84x84 image gives a (64, 21, 21) map.
    Source: Li et al., "Revisiting Local Descriptor based Image-to-Class Measure for Few-shot
    Learning" (DN4), CVPR 2019, section 4.2; the MML release uses it without convolution bias.

    Args:
        bias: whether the convolutions have a bias (some published DN4 weights do).

    >>> import torch
    >>> from triptych.backbones import Conv64F
    >>> Conv64F()(torch.zeros(2, 3, 84, 84)).shape
    torch.Size([2, 64, 21, 21])
    """

    channels = 64
    tap_channels = (64, 64, 64)

    def __init__(self, bias: bool = False) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            _Layer(3, pool=True, bias=bias),
            _Layer(64, pool=True, bias=bias),
            _Layer(64, pool=False, bias=bias),
            _Layer(64, pool=False, bias=bias),
        )
        initialise(self, _SLOPE)

    def forward(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B 64 H W"]:
        return self.layers(images)

    def taps(self, images: Float[Tensor, "B 3 h w"]) -> tuple[Tensor, ...]:
        """Maps (B, 64, H, W) of layers 2, 3 and 4."""
        maps = [images]
        for layer in self.layers:
            maps.append(layer(maps[-1]))
        return tuple(maps[2:])


class _Layer(nn.Sequential):
    """Convolution, BatchNorm, pooling or none, LeakyReLU."""

    def __init__(self, inputs: int, pool: bool, bias: bool) -> None:
        # LeakyReLU is increasing, so max-pooling first gives the same values for a quarter of the work.
        super().__init__(
            nn.Conv2d(inputs, 64, 3, padding=1, bias=bias),
            nn.BatchNorm2d(64),
            *([nn.MaxPool2d(2)] if pool else []),
            nn.LeakyReLU(_SLOPE, inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        convolution, norm = self[0], self[1]
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        x = norm(convolution(x)) if norm.training else _fixed_norm(convolution, norm, x)
        for module in list(self)[2:]:
            x = module(x)
        return x


def _fixed_norm(convolution: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """``norm(convolution(x))`` in one pass: BatchNorm's fixed scale and shift are folded into the weights."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
    offset = -norm.running_mean if convolution.bias is None else convolution.bias - norm.running_mean
    weight = convolution.weight * scale[:, None, None, None]
    return functional.conv2d(x, weight, norm.bias + offset * scale, padding=1)
