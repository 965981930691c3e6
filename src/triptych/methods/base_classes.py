"""What the classes of training tell of classes that a method has never seen."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.similarity import (
    CodeClass,
    Discriminant,
    code_class,
    codes_to_classes,
    discriminant_codes,
    fit_discriminant,
    gaussian_vector_size,
    gaussian_vectors,
)

__all__ = ["BaseClasses"]

_WEIGHT = 0.2  # of the log-likelihood ratio among the logits


class BaseClasses(nn.Module):
    r"""What the classes of training tell of other classes: axes along which the Gaussians of their images differ.

    Beside minus its distance, the distribution level then counts the log-likelihood ratio of ``codes_to_classes``,
    weighted so that it adds 0.2 of itself to the logits, until the levels are balanced. Before they are learnt, base
    classes tell nothing. Their Gaussians have the ridge of ``gaussian_vectors``, whatever the shrinkage of the level's
    distance.

    Args:
        count: B, how many there are.
        channels: of the maps of which the Gaussians are.

    >>> import torch
    >>> from triptych.methods.base_classes import BaseClasses
    >>> BaseClasses(3, channels=[4, 4]).axes.shape
    torch.Size([28, 2])
    """

    origin: Tensor
    axes: Tensor
    between: Tensor
    weight: Tensor

    def __init__(self, count: int, channels: Sequence[int]) -> None:
        super().__init__()
        size = gaussian_vector_size(channels)
        self.register_buffer("origin", torch.zeros(size))
        self.register_buffer("axes", torch.zeros(size, count - 1))
        self.register_buffer("between", torch.zeros(count - 1))
        self.register_buffer("weight", torch.zeros(()))

    def learn(self, classes: Iterable[Float[Tensor, "_ D"]], logit_scale: float) -> None:
        """Find the axes, from the vectors of each class's images; see ``gaussian_vectors``.

        ``logit_scale`` is how much one unit of the level's similarity adds to the logits.

        Raises:
            ValueError: another number of classes, or of dimensions.
        """
        found = fit_discriminant(classes)
        if found.axes.shape != self.axes.shape:
            raise ValueError(
                f"expected the vectors of {self.axes.shape[1] + 1} base classes, got {found.axes.shape[1] + 1}"
            )
        for mine, new in zip((self.origin, self.axes, self.between), found, strict=True):
            mine.copy_(new)
        self.weight.fill_(_WEIGHT / logit_scale)

    def codes(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Float[Tensor, "B A"]:
        """Where images lie among the base classes."""
        return discriminant_codes(gaussian_vectors(taps), Discriminant(self.origin, self.axes, self.between))

    def summarise(self, codes: Float[Tensor, "KV A"], views: int) -> CodeClass:
        """What queries are compared with, of one class."""
        return code_class(codes, self.between, views)

    def compare(self, codes: Float[Tensor, "Q A"], classes: Sequence[CodeClass]) -> Float[Tensor, "Q N"]:
        """The log-likelihood ratio, of which ``weight`` times is added to the similarities of the level."""
        return codes_to_classes(codes, classes, self.between)
