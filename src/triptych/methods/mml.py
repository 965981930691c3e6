"""Multi-level metric learning (MML), and the methods that are a part of it (DN4, ADM)."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from triptych.backbones import Backbone, build_backbone
from triptych.fusion import LevelFusion, SlotFusion
from triptych.methods.base import ClassSummary, Method, Preprocessing
from triptych.methods.base_classes import BaseClasses
from triptych.similarity import (
    DISTANCES,
    SHRINKAGES,
    CodeClass,
    Gaussian,
    InverseGaussian,
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
_MOST_COMPONENTS = 1 << 14
_MOST_SLOTS = 1 << 14
_MOST_BASE_CLASSES = 1 << 12


@dataclass(frozen=True)
class MMLConfig:
    """Everything that shapes an MML model but its weights.

    Attributes:
        backbone: name of the backbone; where ``architecture`` is given, what it is called and nothing more.
        architecture: of a ``Pretrained`` backbone: the configuration of its transformers model; see there.
        components: principal components to which descriptors are reduced; None for the backbone's own channels.
        levels: which of "distribution", "pixel", "part" and "global" are compared.
        pixel_k: nearest descriptors that count at the pixel level.
        part_k: nearest parts that count at the part level.
        part_normalize: compare parts by true cosine; the release does not.
        distance: distance of the distribution level.
        shrinkage: of its covariances; see ``distribution_similarity``.
        side: image side in pixels.
        mean: per-channel mean that is subtracted from images in [0, 1].
        std: per-channel divisor after that.
        slots: None for way-agnostic fusion; N for published fusion weights with statistics per class slot.
        base_classes: how many classes of training have taught the distribution level, besides its distance, what
            tells classes apart; None for none. See ``BaseClasses``.

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
    shrinkage: str = "ridge"
    side: int = 84
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    slots: int | None = None
    architecture: dict[str, Any] | None = field(default=None, hash=False)
    components: int | None = None
    base_classes: int | None = None

    def __post_init__(self) -> None:
        if not self.levels or not set(self.levels) <= set(_KNOWN):
            raise ValueError(f"unknown levels {self.levels}; expected some of {', '.join(_KNOWN)}")
        if self.distance not in DISTANCES:
            raise ValueError(f"unknown distance {self.distance!r}; expected one of {', '.join(DISTANCES)}")
        if self.shrinkage not in SHRINKAGES:
            raise ValueError(f"unknown shrinkage {self.shrinkage!r}; expected one of {', '.join(SHRINKAGES)}")
        if self.components is not None and not 1 <= self.components <= _MOST_COMPONENTS:
            raise ValueError(f"components must be 1 to {_MOST_COMPONENTS}, got {self.components}")
        if self.slots is not None and not 1 <= self.slots <= _MOST_SLOTS:
            raise ValueError(f"slots must be 1 to {_MOST_SLOTS}, got {self.slots}")
        if self.base_classes is not None and not 2 <= self.base_classes <= _MOST_BASE_CLASSES:
            raise ValueError(f"base classes must be 2 to {_MOST_BASE_CLASSES}, got {self.base_classes}")
        if self.base_classes is not None and (self.slots is not None or self.components is not None):
            raise ValueError("base classes are neither for the published fusion nor for principal components")
        if self.base_classes is not None and "distribution" not in self.levels:
            raise ValueError(f"base classes are for the distribution level, which levels {self.levels} lack")
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


class DistributionSummary(NamedTuple):
    """One class at the distribution level: its Gaussian, and what is expected of its codes among base classes.

    >>> import torch
    >>> from triptych.methods import build_method
    >>> build_method("mml-conv64f").summarise(torch.rand(1, 64, 5, 5))["distribution"].codes is None
    True
    """

    gaussian: Gaussian | InverseGaussian
    codes: CodeClass | None


class MML(Method):
    """Pixel, part and distribution level over one backbone, fused.

    Source: Chen, Li, Li and Chen, "Multi-level Metric Learning for Few-shot Image Recognition",
    arXiv 2103.11383v1. With the levels ("pixel",) it is DN4, with ("distribution", "pixel") ADM, with ("global",)
    a prototypical network.

    Args:
        config: all that shapes it.
        backbone: the backbone of ``config``, to share one that is there; by default a freshly initialised one.

    >>> import torch
    >>> from triptych.methods import MML, MMLConfig
    >>> method = MML(MMLConfig(side=32)).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    def __init__(self, config: MMLConfig = MMLConfig(), backbone: Backbone | None = None) -> None:
        fusion = LevelFusion(config.levels) if config.slots is None else SlotFusion(config.levels, config.slots)
        preprocess = Preprocessing(config.side, mean=config.mean, std=config.std)
        super().__init__(backbone or build_backbone(config.backbone, config.architecture), fusion, preprocess)
        if config.components is not None and config.components > self.backbone.channels:
            raise ValueError(f"{config.components} components of {self.backbone.channels} channels")
        self.config = config
        self.projection = _Projection(self.backbone.channels, config.components) if config.components else None
        if config.base_classes and not self.backbone.tap_channels:
            raise ValueError(f"base classes are for backbones of few channels, which {config.backbone} is not")
        self.base = BaseClasses(config.base_classes, self.backbone.tap_channels) if config.base_classes else None

    @property
    def channels(self) -> int:
        """C of the feature maps."""
        return self.config.components or self.backbone.channels

    def planes(self, positions: int) -> int:
        """P of what ``encode`` gives, for maps of so many positions."""
        codes = 0 if self.base is None else len(self.base.between)
        return self.channels - (-codes // positions)

    def encode(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B P H W"]:
        """Feature maps, P = C; with base classes an image's code among them fills further channels, as far as needed.

        So what is kept of an image, picked and joined stays one tensor; ``descriptors`` gives the maps alone.
        """
        if self.base is None:
            maps = super().encode(images)
            return maps if self.projection is None else self.projection(maps)
        taps = self.backbone.taps(images)
        batch, _, height, width = taps[-1].shape
        codes = self.base.codes(taps)
        room = (self.planes(height * width) - self.channels) * height * width
        filled = functional.pad(codes, (0, room - codes.shape[1])).view(batch, -1, height, width)
        return torch.cat([taps[-1], filled.to(taps[-1])], dim=1)

    def reduced(self, maps: Float[Tensor, "B P H W"], components: int) -> "MML":
        """This method over the principal components of the descriptors in ``maps``; its fusion is untrained.

        The backbone is shared; base classes are left behind. Source: scikit-learn's PCA.

        Raises:
            ValueError: more components than channels or descriptors, or the method is already reduced.
        """
        from sklearn.decomposition import PCA

        if self.projection is not None:
            raise ValueError(f"the method already reduces descriptors to {self.config.components} components")
        descriptors = self.descriptors(maps).detach().permute(0, 2, 3, 1).flatten(0, 2).float().cpu().numpy()  # (D, C)
        if not 1 <= components <= min(descriptors.shape):
            raise ValueError(
                f"components must be 1 to {min(descriptors.shape)}, for {descriptors.shape[0]} descriptors of "
                f"{descriptors.shape[1]} channels; got {components}"
            )
        pca = PCA(components, svd_solver="covariance_eigh").fit(descriptors)
        method = MML(replace(self.config, components=components, slots=None, base_classes=None), self.backbone)
        assert method.projection is not None
        method.projection.mean.copy_(torch.from_numpy(pca.mean_))
        method.projection.axes.copy_(torch.from_numpy(pca.components_))
        return method.train(self.training).to(maps.device)

    def descriptors(self, maps: Float[Tensor, "B P H W"]) -> Float[Tensor, "B C H W"]:
        """The feature maps alone, of what ``encode`` gives."""
        return maps[:, : self.channels]

    def summarise(self, maps: Float[Tensor, "KV P H W"], views: int = 1) -> ClassSummary:
        return {level: self._summarise(level, maps, views) for level in self.config.levels}

    def compare(
        self,
        query: Float[Tensor, "Q P H W"],
        classes: Sequence[ClassSummary],
        search_dtype: torch.dtype | None = None,
        positions: Int64[Tensor, " R"] | None = None,
    ) -> dict[str, Float[Tensor, "Q N"]]:
        found, ratio = self.compare_apart(query, classes, search_dtype, positions)
        if self.base is not None and ratio is not None:
            found["distribution"] = found["distribution"] + self.base.weight * ratio
        return found

    def compare_apart(
        self,
        query: Float[Tensor, "Q P H W"],
        classes: Sequence[ClassSummary],
        search_dtype: torch.dtype | None = None,
        positions: Int64[Tensor, " R"] | None = None,
    ) -> tuple[dict[str, Float[Tensor, "Q N"]], Float[Tensor, "Q N"] | None]:
        """``compare``, but what base classes tell is not added to the distribution level; it comes second."""
        found = {
            level: self._compare(level, query, [summary[level] for summary in classes], search_dtype, positions)
            for level in self.config.levels
        }
        if self.base is None:
            return found, None
        codes = [summary["distribution"].codes for summary in classes]
        return found, self.base.compare(self._codes(query), codes).to(found["distribution"])

    def _summarise(self, level: str, maps: Tensor, views: int) -> Any:
        own = self.descriptors(maps)
        if level == "pixel":
            return pixel_class(own)
        if level == "part":
            return part_class(own, self.config.part_normalize)
        if level == "global":
            return global_class(own)
        gaussian = distribution_class(own, self.config.distance, self.config.shrinkage)
        codes = None if self.base is None else self.base.summarise(self._codes(maps), views)
        return DistributionSummary(gaussian, codes)

    def _compare(
        self,
        level: str,
        query: Tensor,
        summaries: Sequence[Any],
        search_dtype: torch.dtype | None,
        positions: Tensor | None,
    ) -> Tensor:
        config, own = self.config, self.descriptors(query)
        if level == "pixel":
            return pixel_to_classes(own, summaries, config.pixel_k, search_dtype, positions)
        if level == "part":
            return part_to_classes(own, summaries, config.part_k, config.part_normalize)
        if level == "global":
            return global_to_classes(own, summaries)
        gaussians = [summary.gaussian for summary in summaries]
        return distribution_to_classes(own, gaussians, config.distance, config.shrinkage)

    def _codes(self, maps: Float[Tensor, "B P H W"]) -> Float[Tensor, "B A"]:
        assert self.base is not None
        return maps[:, self.channels :].flatten(1)[:, : len(self.base.between)]


class _Projection(nn.Module):
    """Descriptors, less their mean, along principal axes."""

    mean: Tensor
    axes: Tensor

    def __init__(self, channels: int, components: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("axes", torch.zeros(components, channels))

    def forward(self, maps: Float[Tensor, "B C H W"]) -> Float[Tensor, "B components H W"]:
        return functional.conv2d(maps - self.mean[:, None, None], self.axes[:, :, None, None])
