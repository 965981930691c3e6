"""Classification of the training classes: by a feature map, pooled and at every position, or by Gaussians."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from triptych.similarity import gaussian_vector_size, gaussian_vectors

__all__ = ["GaussianHead", "Heads"]


class GaussianHead(nn.Module):
    """A linear classifier of images by the Gaussians of their descriptors, those of several layers.

    It trains the network to give Gaussians that ``fit_plda`` can tell classes apart by.

    Args:
        channels: of the maps of each layer.
        classes: how many.
    """

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        size = gaussian_vector_size(channels)
        self.norm = nn.BatchNorm1d(size, affine=False)
        self.linear = nn.Linear(size, classes)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def loss(self, maps: Sequence[Float[Tensor, "B _ _ _"]], labels: Int64[Tensor, " B"]) -> Tensor:
        """Cross-entropy of the images."""
        return functional.cross_entropy(self.linear(self.norm(gaussian_vectors(maps).float())), labels)


class Heads(nn.Module):
    """Two classifiers: linear on the mean descriptor, cosine on every unit-length descriptor.

    The cosine trains the direction of descriptors, which is what the pixel level compares.
    """

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.pooled = nn.Linear(channels, classes)
        self.dense = nn.Parameter(torch.randn(classes, channels) / channels**0.5)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    def forward(self, maps: Float[Tensor, "B C H W"]) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) of the images and (B, M, classes) of their descriptors."""
        descriptors = functional.normalize(maps.flatten(2).transpose(1, 2), dim=2)  # (B, M, C)
        cosines = descriptors @ functional.normalize(self.dense, dim=1).T
        return self.pooled(maps.mean(dim=(2, 3))), cosines * self.log_scale.exp()

    def loss(
        self, maps: Float[Tensor, "B C H W"], labels: Int64[Tensor, " B"], dense_weight: float = 1.0
    ) -> tuple[Tensor, float]:
        """Cross-entropy of the images plus ``dense_weight`` times that of their descriptors; and the accuracy."""
        pooled, dense = self(maps)
        loss = functional.cross_entropy(pooled, labels)
        each = labels.repeat_interleave(dense.shape[1])  # (B*M,)
        loss = loss + dense_weight * functional.cross_entropy(dense.flatten(0, 1), each)
        return loss, (pooled.argmax(1) == labels).float().mean().item()
