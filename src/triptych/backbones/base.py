"""What every backbone promises."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """A network from images (B, 3, h, w) to feature maps (B, C, H, W).

    Attributes:
        channels: C, the number of channels of the feature map.
        tap_channels: channels of each map that ``taps`` gives; empty if they are too many for PLDA over the Gaussians
            of all of them.
        last_follows: ``last_of`` gives the last map of ``taps`` from the one before it.

    >>> from triptych.backbones import Backbone, Conv64F
    >>> isinstance(Conv64F(), Backbone), Conv64F.channels
    (True, 64)
    """

    channels: int
    tap_channels: tuple[int, ...] = ()
    last_follows: bool = False

    @abstractmethod
    def forward(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B C H W"]:
        """Map images to feature maps."""

    def taps(self, images: Float[Tensor, "B 3 h w"]) -> tuple[Tensor, ...]:
        """Maps (B, _, _, _) of several layers; the last is the feature map."""
        return (self(images),)

    def last_of(self, before: Float[Tensor, "B _ H W"]) -> Float[Tensor, "B C H W"]:
        """The last map of ``taps`` from the one before it, where ``last_follows``: one of them is enough to keep."""
        raise TypeError(f"the last map of {type(self).__name__} does not follow from the one before it")


def initialise(network: nn.Module, negative_slope: float) -> None:
    """Kaiming-normal convolutions for LeakyReLU, unit BatchNorm (He et al., ICCV 2015)."""
    for module in network.modules():
        # Random numbers on the meta device, which holds none, would import PyTorch's compiler: more than a second.
        if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
            nn.init.kaiming_normal_(module.weight, a=negative_slope, nonlinearity="leaky_relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
