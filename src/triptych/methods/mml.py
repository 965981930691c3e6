"""Multi-level metric learning (MML), and the methods that are a part of it (DN4, ADM)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from triptych.backbones import build_backbone
from triptych.fusion import LevelFusion, SlotFusion
from triptych.methods.base import ClassSummary, Method, Preprocessing
from triptych.similarity import (
    DISTANCES,
    distribution_class,
    distribution_to_classes,
    global_class,
    global_to_classes,
    part_class,
    part_to_classes,
    pixel_class,
    pixel_to_classes,
)

__all__ = ["LEVELS", "MML", "MMLConfig"]

LEVELS = ("distribution", "pixel", "part")  # the order of the release
_KNOWN = (*LEVELS, "global")
_SIDES = (16, 2048)


@dataclass(frozen=True)
class MMLConfig:
    """Everything that shapes an MML model but its weights.

    Attributes:
        backbone: name of the backbone.
        levels: which of "distribution", "pixel", "part" and "global" are compared.
        pixel_k: nearest descriptors that count at the pixel level.
        part_k: nearest parts that count at the part level.
        part_normalize: compare parts by true cosine; the release does not.
        distance: distance of the distribution level.
        side: image side in pixels.
        mean: per-channel mean that is subtracted from images in [0, 1].
        std: per-channel divisor after that.
        slots: None for way-agnostic fusion; N for published fusion weights with statistics per class slot.

    >>> from triptych.methods import MMLConfig
    >>> MMLConfig(levels=("pixel",), pixel_k=3).backbone
    'conv64f'
    >>> MMLConfig(distance="euclid")
    Traceback (most recent call last):
    ValueError: unknown distance 'euclid'; expected one of wasserstein, kl, kl_reverse, log_kl, bures
    """

    backbone: str = "conv64f"
    levels: tuple[str, ...] = LEVELS
    pixel_k: int = 1
    part_k: int = 1
    part_normalize: bool = True
    distance: str = "kl"
    side: int = 84
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    slots: int | None = None

    def __post_init__(self) -> None:
        if not self.levels or not set(self.levels) <= set(_KNOWN):
            raise ValueError(f"unknown levels {self.levels}; expected some of {', '.join(_KNOWN)}")
        if self.distance not in DISTANCES:
            raise ValueError(f"unknown distance {self.distance!r}; expected one of {', '.join(DISTANCES)}")
        if not _SIDES[0] <= self.side <= _SIDES[1]:  # a stranger's file must not ask for a giant image
            raise ValueError(f"image side must be {_SIDES[0]} to {_SIDES[1]} pixels, got {self.side}")

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "MMLConfig":
        """From JSON; an unknown key is an error."""
        known = {field.name for field in fields(cls)}
        if unknown := set(values) - known:
            raise ValueError(f"unknown settings {sorted(unknown)}; expected some of {sorted(known)}")
        plain: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in values.items()}
        return cls(**plain)


class MML(Method):
    """Pixel, part and distribution level over one backbone, fused.

    Source: Chen, Li, Li and Chen, "Multi-level Metric Learning for Few-shot Image Recognition",
    arXiv 2103.11383v1. With the levels ("pixel",) it is DN4, with ("distribution", "pixel") ADM, with ("global",)
    a prototypical network.

    >>> import torch
    >>> from triptych.methods import MML, MMLConfig
    >>> method = MML(MMLConfig(side=32)).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    def __init__(self, config: MMLConfig = MMLConfig()) -> None:
        fusion = LevelFusion(config.levels) if config.slots is None else SlotFusion(config.levels, config.slots)
        preprocess = Preprocessing(config.side, config.mean, config.std)
        super().__init__(build_backbone(config.backbone), fusion, preprocess)
        self.config = config

    def summarise(self, maps: Float[Tensor, "K C H W"]) -> ClassSummary:
        return {level: self._summarise(level, maps) for level in self.config.levels}

    def compare(
        self, query: Float[Tensor, "Q C H W"], classes: Sequence[ClassSummary], search_dtype: torch.dtype | None = None
    ) -> dict[str, Float[Tensor, "Q N"]]:
        return {
            level: self._compare(level, query, [summary[level] for summary in classes], search_dtype)
            for level in self.config.levels
        }

    def _summarise(self, level: str, maps: Tensor) -> Any:
        if level == "pixel":
            return pixel_class(maps)
        if level == "part":
            return part_class(maps, self.config.part_normalize)
        if level == "global":
            return global_class(maps)
        return distribution_class(maps, self.config.distance)

    def _compare(self, level: str, query: Tensor, summaries: Sequence[Any], search_dtype: torch.dtype | None) -> Tensor:
        config = self.config
        if level == "pixel":
            return pixel_to_classes(query, summaries, config.pixel_k, search_dtype)
        if level == "part":
            return part_to_classes(query, summaries, config.part_k, config.part_normalize)
        if level == "global":
            return global_to_classes(query, summaries)
        return distribution_to_classes(query, summaries, config.distance)
