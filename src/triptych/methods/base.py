"""What every method promises: a few labelled images and a query in, a logit per class out."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from triptych.backbones import Backbone
from triptych.data.preprocessing import Preprocessing
from triptych.fusion import Fusion
from triptych.similarity._common import split_classes

__all__ = ["ClassSummary", "Method", "Preprocessing"]

ClassSummary = dict[str, Any]  # level name -> what that level compares queries with, for one class


class Method(nn.Module, ABC):
    """A backbone, a comparison at one or more levels, and a fusion.

    A method works in four steps, which callers may take one by one to reuse what does not change:
    ``encode`` images, ``summarise`` each class, ``compare`` queries with the summaries, ``fusion`` of the levels.

    >>> import torch
    >>> from triptych.methods import build_method
    >>> method = build_method("mml-conv64f").eval()
    >>> maps = method.encode(torch.randn(5, 3, 84, 84))
    >>> classes = [method.summarise(maps[:2]), method.summarise(maps[2:4])]
    >>> method.fusion(method.compare(maps[4:], classes)).shape
    torch.Size([1, 2])
    """

    def __init__(self, backbone: Backbone, fusion: Fusion, preprocess: Preprocessing) -> None:
        super().__init__()
        self.backbone = backbone
        self.fusion = fusion
        self.preprocess = preprocess

    @abstractmethod
    def summarise(self, maps: Float[Tensor, "KV P H W"], views: int = 1) -> ClassSummary:
        """What the levels compare queries with, from the maps of V ``views`` of each of one class's K images."""

    @abstractmethod
    def compare(
        self,
        query: Float[Tensor, "Q P H W"],
        classes: Sequence[ClassSummary],
        search_dtype: torch.dtype | None = None,
        positions: Int64[Tensor, " R"] | None = None,
    ) -> dict[str, Float[Tensor, "Q N"]]:
        """Similarities of query maps with summarised classes, per level.

        The pixel level, by far the most work, seeks neighbours in ``search_dtype``, by default that of ``query``, and
        for the descriptors at these ``positions`` of a query's map alone, by default all; see ``pixel_to_classes``.
        """

    def encode(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B P H W"]:
        """What ``summarise`` and ``compare`` need of images: their feature maps, and what else a method has of them."""
        return self.backbone(images)

    def compare_maps(
        self,
        query: Float[Tensor, "Q P H W"],
        support: Float[Tensor, "S P H W"],
        labels: Int64[Tensor, " S"],
        search_dtype: torch.dtype | None = None,
        views: int = 1,
        positions: Int64[Tensor, " R"] | None = None,
    ) -> dict[str, Float[Tensor, "Q N"]]:
        """Similarities of query maps with the classes of labelled support maps, per level.

        See ``compare`` and ``summarise``.
        """
        classes = [self.summarise(maps, views) for maps in split_classes(support, labels)]
        return self.compare(query, classes, search_dtype, positions)

    def levels(
        self, query: Float[Tensor, "Q 3 h w"], support: Float[Tensor, "S 3 h w"], labels: Int64[Tensor, " S"]
    ) -> dict[str, Float[Tensor, "Q N"]]:
        """Similarities of query images with each class at each level, before fusion.

        Args:
            query: (Q, 3, h, w) preprocessed images.
            support: (S, 3, h, w) preprocessed images.
            labels: (S,) the class of each support image, 0..N-1; classes may differ in shots.

        Returns:
            level name -> (Q, N), larger is more similar.
        """
        return self.compare_maps(self.encode(query), self.encode(support), labels)

    def forward(
        self, query: Float[Tensor, "Q 3 h w"], support: Float[Tensor, "S 3 h w"], labels: Int64[Tensor, " S"]
    ) -> Float[Tensor, "Q N"]:
        """Logits of query images for each class; the arguments are those of ``levels``."""
        return self.fusion(self.levels(query, support, labels))
