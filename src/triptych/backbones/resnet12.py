"""ResNet-12, the larger network of the few-shot literature."""

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from triptych.backbones.base import Backbone, initialise

_SLOPE = 0.1


class ResNet12(Backbone):
    """Four residual blocks of 64, 160, 320 and 640 filters: an 84x84 image gives a (640, 5, 5) map.

    Each block has three 3x3 convolutions with BatchNorm and LeakyReLU(0.1), a 1x1 shortcut and 2x2
    max-pooling. Source: Lee et al., "Meta-Learning with Differentiable Convex Optimization", CVPR 2019,
    section 4.1, without DropBlock.

    >>> import torch
    >>> from triptych.backbones import ResNet12
    >>> ResNet12().eval()(torch.zeros(1, 3, 32, 32)).shape
    torch.Size([1, 640, 2, 2])
    """

    channels = 640

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(_Block(*pair) for pair in pairwise((3, 64, 160, 320, self.channels))))
        initialise(self, _SLOPE)

    def forward(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B C H W"]:
        return self.blocks(images)


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.LeakyReLU(_SLOPE, inplace=True),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        # Pooling before the increasing LeakyReLU gives the same values for a quarter of the work.
        self.pool_and_activate = nn.Sequential(nn.MaxPool2d(2), nn.LeakyReLU(_SLOPE, inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.pool_and_activate(self.residual(x) + self.shortcut(x))
