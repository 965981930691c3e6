"""What a method keeps of images: named tensors that are indexed, joined and stored as one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["Encoded", "EncodedEpisode"]


@dataclass(frozen=True, eq=False)
class Encoded:
    """B encoded images.

    Attributes:
        tensors: name -> (B, ...). Most methods have the feature maps, ``maps`` (B, C, H, W); some keep more of an
            image.

    Raises:
        ValueError: no tensors, or tensors of different numbers of images.

    >>> import torch
    >>> from triptych.methods import Encoded
    >>> encoded = Encoded({"maps": torch.zeros(3, 8, 5, 5), "codes": torch.zeros(3, 4)})
    >>> len(encoded), len(encoded[:2]), encoded[[0, 2]].maps.shape
    (3, 2, torch.Size([2, 8, 5, 5]))
    """

    tensors: Mapping[str, Tensor]

    def __post_init__(self) -> None:
        counts = [tensor.shape[0] for tensor in self.tensors.values()]  # len would fix the batch of a recorded graph
        if not counts or any(count != counts[0] for count in counts):
            shapes = {name: tuple(tensor.shape) for name, tensor in self.tensors.items()}
            raise ValueError(f"expected tensors of the same number of images, got {shapes}")

    def __len__(self) -> int:
        return len(next(iter(self.tensors.values())))

    def __getitem__(self, images: Any) -> "Encoded":
        """Those images: a slice, or a sequence, array or tensor of indices.

        Raises:
            TypeError: the name of a tensor in place of images.
        """
        if isinstance(images, str):
            short = ", or encoded.maps" if images == "maps" else ""
            raise TypeError(
                f'expected images by their numbers, got {images!r}; write encoded.tensors["{images}"]{short}'
            )
        if not isinstance(images, slice):
            images = torch.as_tensor(images, device=self.device)
            images = images if images.numel() else images.long()  # an empty list has no type of its own
        return self.each(lambda tensor: tensor[images])

    @property
    def maps(self) -> Tensor:
        """The feature maps (B, C, H, W)."""
        return self.tensors["maps"]

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return next(iter(self.tensors.values())).device

    def each(self, change: Callable[[Tensor], Tensor]) -> "Encoded":
        """With every tensor changed."""
        return Encoded({name: change(tensor) for name, tensor in self.tensors.items()})

    def split(self, counts: Sequence[int]) -> list["Encoded"]:
        """Cut into parts of so many images."""
        parts = {name: tensor.split(list(counts)) for name, tensor in self.tensors.items()}
        return [Encoded(dict(zip(parts, part, strict=True))) for part in zip(*parts.values(), strict=True)]

    def float(self) -> "Encoded":
        """In single precision, as methods compare."""
        return self.each(Tensor.float)

    def to_keep(self) -> "Encoded":
        """As it is stored: maps in half precision, vectors as they are, since they are small beside maps.

        In the memory layout of a file, too: sums over another layout round differently.

        Raises:
            ValueError: a number is not finite, or above what half precision holds.
        """
        kept = self.each(lambda tensor: (tensor.half() if tensor.ndim > 2 else tensor).contiguous())
        if not kept.finite():
            raise ValueError("the network gives numbers that are not finite or above 65504; expected another network")
        return kept

    def finite(self) -> bool:
        """Whether all numbers are."""
        return all(bool(tensor.isfinite().all()) for tensor in self.tensors.values())

    @staticmethod
    def join(parts: Sequence["Encoded"]) -> "Encoded":
        """All images of the parts, in order.

        >>> import torch
        >>> from triptych.methods import Encoded
        >>> len(Encoded.join([Encoded({"maps": torch.zeros(2, 1, 1, 1)}), Encoded({"maps": torch.ones(1, 1, 1, 1)})]))
        3
        """
        return Encoded({name: torch.cat([part.tensors[name] for part in parts]) for name in parts[0].tensors})


@dataclass(frozen=True, eq=False)
class EncodedEpisode:
    """An episode of training, encoded.

    Attributes:
        support: S images.
        query: Q images.
        labels: (S,) the class of each support image, 0..N-1.
        truth: (Q,) the class of each query, 0..N-1.
        classes: (N,) which of the training classes each class of the episode is.
    """

    support: Encoded
    query: Encoded
    labels: Tensor
    truth: Tensor
    classes: Tensor
