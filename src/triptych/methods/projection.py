"""Descriptors reduced to their principal components."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Projection", "principal_components"]


class Projection(nn.Module):
    """Descriptors, less their mean, along principal axes; zero until both are filled in.

    Args:
        channels: C, of the maps.
        components: of the reduced maps.

    >>> import torch
    >>> from triptych.methods.projection import Projection
    >>> Projection(8, 3)(torch.zeros(2, 8, 5, 5)).shape
    torch.Size([2, 3, 5, 5])
    """

    mean: Tensor
    axes: Tensor

    def __init__(self, channels: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("axes", torch.zeros(components, channels))

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B components H W"]:
        return functional.conv2d(maps - self.mean[:, None, None], self.axes[:, :, None, None])


def principal_components(
    maps: Float[Tensor, "B C H W"], components: int
) -> tuple[Float[Tensor, " C"], Float[Tensor, "components C"]]:
    """The mean and the first principal axes of the descriptors in maps. Source: scikit-learn's PCA.

    Raises:
        ValueError: more components than channels or descriptors, or one, of which no descriptor has a direction.
    """
    from sklearn.decomposition import PCA

    descriptors = maps.permute(0, 2, 3, 1).flatten(0, 2).float().cpu().numpy()  # (B*H*W, C)
    if not 2 <= components <= min(descriptors.shape):
        raise ValueError(
            f"components must be 2 to {min(descriptors.shape)}, for {descriptors.shape[0]} descriptors of "
            f"{descriptors.shape[1]} channels; got {components}"
        )
    found = PCA(components, svd_solver="covariance_eigh").fit(descriptors)
    return torch.from_numpy(found.mean_), torch.from_numpy(found.components_)
