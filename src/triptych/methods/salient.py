"""MML over a pretrained network: the levels read what stands out in a photo, and the background does not count.

After Chen, Li, Li and Chen, "Multi-level Metric Learning for Few-shot Image Recognition", arXiv 2103.11383, for maps of
a network that was trained to name objects: most of their patches are background, with short descriptors. Patches are
weighted by their lengths, images are compared by discriminant analysis, and several layers have levels of their own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion
from triptych.methods.base import Matching, Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.similarity import (
    fit_lda,
    lda_to_classes,
    salient_class,
    salient_descriptors,
    salient_moments,
    salient_to_classes,
)
from triptych.similarity.lda import LDA
from triptych.similarity.salient import SalientDescriptors

__all__ = ["ONE_LAYER", "SalientConfig", "SalientMML"]

ONE_LAYER = ("global", "distribution", "pixel")  # levels that need no layer but the deepest
_LAYERS = ("stride16", "last", "maps")  # of the backbone's taps; "maps" are the deepest
_DISCRIMINANT_WORK = 2500  # for each channel and each photo of the support; measured
_LEAST_MEAN = 1e-12  # so that a root has a gradient
# Level -> its share of the logits before any photo was left out; chosen on groceries, birds and signs.
_SHARES = {"global": 0.75, "distribution": 0.75, "pixel": 0.75, "pixel-last": 0.75, "pixel-16": 0.3}
# Level -> (layer whose descriptors are compared, layer whose lengths weigh them, power of the lengths).
_PIXEL = {"pixel": ("maps", "maps", 2.0), "pixel-last": ("last", "last", 4.0), "pixel-16": ("stride16", "maps", 2.0)}


@dataclass(frozen=True)
class SalientConfig(MethodConfig):
    """What shapes it but its weights.

    Attributes:
        ridge: of the discriminant analyses, whose vectors have unit length.
        levels: those that are fused. "pixel-last" and "pixel-16" need a backbone that gives maps of three layers.

    >>> from triptych.methods import SalientConfig
    >>> SalientConfig(ridge=0.0)
    Traceback (most recent call last):
    ValueError: ridge must be above 0, got 0.0
    """

    backbone: str = "efficientnet-lite0"
    ridge: float = 0.003
    levels: tuple[str, ...] = tuple(_SHARES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.ridge < float("inf"):
            raise ValueError(f"ridge must be above 0, got {self.ridge}")
        if not self.levels or len(set(self.levels)) < len(self.levels) or not set(self.levels) <= set(_SHARES):
            raise ValueError(f"levels are {self.levels}; expected different ones of {', '.join(_SHARES)}")
        if self.components is not None and not set(self.levels) <= set(ONE_LAYER):
            raise ValueError(
                "layers are not reduced to principal components where several are compared; "
                f"expected levels of the deepest alone: {', '.join(ONE_LAYER)}"
            )


class _Discriminant(NamedTuple):
    """One class in the discriminant analysis of all: what is taken off each block of a vector, and its linear score."""

    centres: list[Tensor]  # (D_b,) of each block
    direction: Tensor  # (D,)
    offset: Tensor


class SalientMML(Method):
    r"""Two discriminant analyses of whole images and three levels of patches, fused.

    - ``global``: LDA of the root of the mean descriptor of the deepest layer, beside the mean of the layer before it
      weighted by squared lengths.
    - ``distribution``: LDA of mean and standard deviation of each channel of the deepest layer, weighted by lengths.
    - ``pixel``, ``pixel-last``: ``salient_similarity`` of the deepest layer and of the one before it.
    - ``pixel-16``: the same of a shallow layer, weighted by the lengths of the deepest at the same place: that knows
      where the object is, this what it looks like.

    Of a backbone that gives a single map, the levels of ``ONE_LAYER`` read it, in place of the layer before it too.

    Vectors are centred by the support's mean and scaled to unit length, a block at a time. The classes depend on each
    other: each is discriminated from all others.

    >>> import torch
    >>> from triptych.methods import SalientConfig, SalientMML
    >>> method = SalientMML(SalientConfig()).eval()
    >>> query, support = torch.randn(2, 3, 64, 64), torch.randn(3, 3, 64, 64)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([2, 2])
    """

    name = "mml-salient"
    config_type = SalientConfig
    separable = False
    config: SalientConfig

    def __init__(self, config: SalientConfig = SalientConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, LevelFusion(config.levels), backbone)
        assert isinstance(self.fusion, LevelFusion)
        with torch.no_grad():
            self.fusion.log_weight.copy_(torch.tensor([_SHARES[level] for level in config.levels]).log())

    @property
    def level_names(self) -> tuple[str, ...]:
        return self.config.levels

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """Maps of up to three layers on the grid of the deepest; of that one alone where it is reduced.

        Raises:
            ValueError: a level needs a layer that the backbone does not give.
        """
        if self.projection is not None:
            taps = (self.projection(taps[-1]),)
        names = _LAYERS[-len(taps) :]
        if lacking := [level for level in self._pixel_levels if not set(_PIXEL[level][:2]) <= set(names)]:
            raise ValueError(
                f"the backbone gives {len(taps)} layers, too few for {', '.join(lacking)}; leave these out"
            )
        grid = (taps[-1].shape[2], taps[-1].shape[3])
        return Encoded({name: functional.adaptive_avg_pool2d(one, grid) for name, one in zip(names, taps, strict=True)})

    @property
    def _pixel_levels(self) -> list[str]:
        return [level for level in self.level_names if level in _PIXEL]

    @property
    def _vector_levels(self) -> list[str]:
        return [level for level in self.level_names if level in _VECTORS]

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        summary: Summary = {level: salient_class(_salient(encoded, level)) for level in self._pixel_levels}
        return {**{level: _VECTORS[level](encoded) for level in self._vector_levels}, **summary}

    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """Discriminate the classes from each other."""
        adapted = [dict(summary) for summary in classes]
        for level in self._vector_levels:
            found = _discriminants([summary[level] for summary in classes], self.config.ridge)
            for summary, one in zip(adapted, found, strict=True):
                summary[level] = one
        return adapted

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        found = {}
        for level in self._vector_levels:
            found[level] = _score(_VECTORS[level](query), [one[level] for one in classes])
        for level in self._pixel_levels:
            found[level] = salient_to_classes(_salient(query, level), [one[level] for one in classes])
        return {level: found[level].float() for level in self.level_names}

    def pair_work(self, encoded: Encoded) -> int:
        """Patches of three layers, and a share of the discriminant analyses, which are made anew for each photo."""
        channels = sum(tensor.shape[1] for tensor in encoded.tensors.values())
        return channels * encoded.maps[0, 0].numel() ** 2 + channels * _DISCRIMINANT_WORK

    def matchings(self) -> Mapping[str, Matching]:
        if "pixel" not in self.level_names:
            return {}

        def weights(encoded: Encoded) -> Tensor:
            return _salient(encoded, "pixel").weights.flatten()

        def rows(encoded: Encoded) -> Tensor:
            return _salient(encoded, "pixel").units.flatten(0, 1) * weights(encoded)[:, None]

        return {"pixel": Matching("patch", rows, lambda pool: pool, k=1, weights=weights)}


def _salient(encoded: Encoded, level: str) -> SalientDescriptors:
    layer, weighing, power = _PIXEL[level]
    lengths = None if layer == weighing else encoded.tensors[weighing].float().flatten(2).norm(dim=1)
    return salient_descriptors(encoded.tensors[layer].float(), power, lengths=lengths)


def _global_vectors(encoded: Encoded) -> list[Tensor]:
    mean = encoded.maps.float().mean(dim=(2, 3))
    root = mean.abs().clamp_min(_LEAST_MEAN).sqrt() * torch.where(mean < 0, -1.0, 1.0)  # signed, as transformers' are
    before = encoded.tensors.get("last", encoded.maps)
    return [root, salient_moments(before.float(), power=2.0)[0]]


def _distribution_vectors(encoded: Encoded) -> list[Tensor]:
    return [torch.cat(salient_moments(encoded.maps.float(), power=1.0), dim=1)]


_VECTORS = {"global": _global_vectors, "distribution": _distribution_vectors}  # level -> blocks (B, D_b) of each image


def _discriminants(classes: Sequence[list[Tensor]], ridge: float) -> list[_Discriminant]:
    """LDA of all classes, as what each class needs to be scored."""
    blocks = [torch.cat(block) for block in zip(*classes, strict=True)]  # (S, D_b)
    centres = [block.mean(0) for block in blocks]
    shots = torch.tensor([len(own[0]) for own in classes], device=blocks[0].device)
    labels = torch.repeat_interleave(torch.arange(len(classes), device=shots.device), shots)
    fitted = fit_lda(_joined(blocks, centres), labels, ridge)
    return [_Discriminant(centres, *one) for one in zip(*fitted, strict=True)]


def _score(blocks: Sequence[Tensor], classes: Sequence[_Discriminant]) -> Float[Tensor, "Q N"]:
    fitted = LDA(torch.stack([one.direction for one in classes]), torch.stack([one.offset for one in classes]))
    return lda_to_classes(_joined(blocks, classes[0].centres), fitted)


def _joined(blocks: Sequence[Tensor], centres: Sequence[Tensor]) -> Float[Tensor, "B D"]:
    """Blocks less their centres, each of unit length, as one vector of unit length."""
    units = [functional.normalize(block - centre, dim=1) for block, centre in zip(blocks, centres, strict=True)]
    return torch.cat(units, dim=1) / len(units) ** 0.5
