"""The levels as parts of a method: each keeps something of a class, and compares queries with it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.methods.base import Matching
from triptych.methods.encoded import Encoded
from triptych.similarity import (
    PLDA,
    Gaussian,
    PLDAClass,
    PrecisionGaussian,
    distribution_class,
    distribution_to_classes,
    gaussian_vector_size,
    gaussian_vectors,
    global_class,
    global_to_classes,
    part_class,
    part_to_classes,
    pixel_class,
    pixel_to_classes,
    plda_class,
    plda_codes,
    plda_to_classes,
)

__all__ = ["DistributionLevel", "GlobalLevel", "Level", "PLDALevel", "PartLevel", "PixelLevel"]


class Level(nn.Module, ABC):
    """One level: a thin shell around the functions of ``triptych.similarity``, which have the equations."""

    @abstractmethod
    def summarise(self, encoded: Encoded, views: int) -> Any:
        """What queries are compared with, of one class."""

    @abstractmethod
    def compare(self, query: Encoded, classes: Sequence[Any]) -> Float[Tensor, "Q N"]:
        """Similarities with classes that ``summarise`` prepared."""

    def matching(self) -> Matching | None:
        """How it matches patches or channels, if it does."""
        return None


class PixelLevel(Level):
    """``pixel_similarity``."""

    def __init__(self, k: int = 1) -> None:
        super().__init__()
        self.k = k

    def summarise(self, encoded: Encoded, views: int) -> Tensor:
        return pixel_class(encoded.maps)

    def compare(self, query: Encoded, classes: Sequence[Tensor]) -> Tensor:
        return pixel_to_classes(query.maps, classes, self.k)

    def matching(self) -> Matching:
        return Matching("patch", lambda encoded: pixel_class(encoded.maps), lambda pool: pool, self.k)


class PartLevel(Level):
    """``part_similarity``."""

    def __init__(self, k: int = 1, normalize: bool = False) -> None:
        super().__init__()
        self.k, self.normalize = k, normalize

    def summarise(self, encoded: Encoded, views: int) -> Tensor:
        return part_class(encoded.maps, self.normalize)

    def compare(self, query: Encoded, classes: Sequence[Tensor]) -> Tensor:
        return part_to_classes(query.maps, classes, self.k, self.normalize)

    def matching(self) -> Matching:
        return Matching("channel", lambda encoded: part_class(encoded.maps, self.normalize), lambda pool: pool, self.k)


class DistributionLevel(Level):
    """``distribution_similarity``."""

    def __init__(self, distance: str = "wasserstein", shrinkage: str = "ridge") -> None:
        super().__init__()
        self.distance, self.shrinkage = distance, shrinkage

    def summarise(self, encoded: Encoded, views: int) -> Gaussian | PrecisionGaussian:
        return distribution_class(encoded.maps, self.distance, self.shrinkage)

    def compare(self, query: Encoded, classes: Sequence[Gaussian | PrecisionGaussian]) -> Tensor:
        return distribution_to_classes(query.maps, classes, self.distance, self.shrinkage)


class GlobalLevel(Level):
    """``global_similarity``."""

    def summarise(self, encoded: Encoded, views: int) -> Tensor:
        return global_class(encoded.maps)

    def compare(self, query: Encoded, classes: Sequence[Tensor]) -> Tensor:
        return global_to_classes(query.maps, classes)


class PLDALevel(Level):
    """``plda_to_classes`` over the Gaussians of several layers.

    Before PLDA is learnt, its axes are zero, and so are all similarities. The Gaussians have the ridge of
    ``gaussian_vectors``, whatever the shrinkage of the distribution level.

    Args:
        classes: how many classes of training there are.
        channels: of the maps of each layer.

    >>> from triptych.methods.levels import PLDALevel
    >>> PLDALevel(3, channels=[4, 4]).axes.shape
    torch.Size([28, 2])
    """

    origin: Tensor
    axes: Tensor
    between: Tensor

    def __init__(self, classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        size = gaussian_vector_size(channels)
        self.register_buffer("origin", torch.zeros(size))
        self.register_buffer("axes", torch.zeros(size, classes - 1))
        self.register_buffer("between", torch.zeros(classes - 1))

    def codes(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B A"]:
        """Where images lie along the axes, from the maps of all layers."""
        return plda_codes(gaussian_vectors(taps), PLDA(self.origin, self.axes, self.between)).float()

    def summarise(self, encoded: Encoded, views: int) -> PLDAClass:
        return plda_class(encoded.tensors["codes"], self.between, views)

    def compare(self, query: Encoded, classes: Sequence[PLDAClass]) -> Tensor:
        similarity = plda_to_classes(query.tensors["codes"], classes, self.between)
        return similarity.to(torch.promote_types(query.maps.dtype, torch.float32))
