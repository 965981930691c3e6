"""MML over a pretrained network: the levels read what stands out in a photo, and the background does not count.

After Chen, Li, Li and Chen, "Multi-level Metric Learning for Few-shot Image Recognition",
https://arxiv.org/abs/2103.11383, for maps of a network that was trained to name objects: most of their patches are
background, with short descriptors. Patches are weighted by their lengths, images are compared by discriminant analysis,
and several layers have levels of their own.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion, Levels
from triptych.methods.base import Matching, Method, Summary
from triptych.methods.discriminants import class_scores, left_out_scores
from triptych.methods.encoded import Encoded
from triptych.methods.salience import (
    KEPT_VECTOR_LEVELS,
    LAYERS,
    PIXEL_LEVELS,
    VECTOR_LEVELS,
    from_bytes,
    in_bytes,
    salient_of,
)
from triptych.methods.salient_config import SHARES, SalientConfig
from triptych.methods.salient_left_out import left_out_patches
from triptych.methods.salient_pools import are_pools, compared_sizes, pools_from_bytes, pools_in_bytes
from triptych.methods.salient_together import Balance, Together, common_from, common_tensors
from triptych.similarity import (
    kept_weights,
    nearest_similarity,
    salient_pool,
    salient_to_classes,
)

__all__ = ["SalientMML"]

_LEFT_OUT_WORK = 50  # of leaving one photo out of the discriminant analyses, for each channel and photo
_NO_WEIGHT = 1e-6


class SalientMML(Method):
    r"""Two discriminant analyses of whole images and three levels of patches, fused.

    .. math:: \mathrm{logit}(q, n) = \sum_l w_l \, \tau_l \, s_l(q, n) / \sigma_l

    over these levels l, by ``LevelFusion``:

    - ``global``: LDA of the root of the mean descriptor of the deepest layer, beside the mean of the layer before it
      weighted by squared lengths.
    - ``distribution``: LDA of mean and standard deviation of each channel of the deepest layer, weighted by lengths.
    - ``pixel``, ``pixel-last``: ``salient_similarity`` of the deepest layer and of the one before it.
    - ``pixel-16``: the same of a shallow layer, weighted by the lengths of the deepest at the same place: that knows
      where the object is, this what it looks like.

    Of a backbone that gives a single map, the levels of ``ONE_LAYER`` read it, in place of the layer before it too.
    The spreads :math:`\sigma_l` are typical ones until training or a recogniser has measured them.

    Vectors are centred by the support's mean and scaled to unit length, a block at a time. The classes depend on each
    other: each is discriminated from all others. Classes of few photos are put on a par with those of many; see
    ``mean_shrinkage`` and ``pool_advantage``.

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

    def __init__(self, config: SalientConfig, backbone: Backbone | None = None) -> None:
        super().__init__(config, LevelFusion(config.levels), backbone)
        assert isinstance(self.fusion, LevelFusion)
        with torch.no_grad():
            self.fusion.log_weight.copy_(torch.tensor([SHARES[level] for level in config.levels]).log())
            self.fusion.spread.copy_(torch.tensor(config.spreads))

    @property
    def level_names(self) -> tuple[str, ...]:
        return self.config.levels

    @property
    def absolute_levels(self) -> tuple[str, ...]:
        return tuple(self._pixel_levels)

    @property
    def _pixel_levels(self) -> list[str]:
        return [level for level in self.level_names if level in PIXEL_LEVELS]

    @property
    def _vector_levels(self) -> list[str]:
        return [level for level in self.level_names if level in VECTOR_LEVELS]

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """Maps of up to three layers on the grid of the deepest; of that one alone where it is reduced.

        Raises:
            ValueError: a level needs a layer that the backbone does not give.
        """
        if self.projection is not None:
            taps = (self.projection(taps[-1]),)
        names = LAYERS[-len(taps) :]
        if lacking := [level for level in self._pixel_levels if not set(PIXEL_LEVELS[level][:2]) <= set(names)]:
            raise ValueError(
                f"the backbone gives {len(taps)} layers, too few for {', '.join(lacking)}; leave these out"
            )
        grid = (taps[-1].shape[2], taps[-1].shape[3])
        return Encoded({name: functional.adaptive_avg_pool2d(one, grid) for name, one in zip(names, taps, strict=True)})

    def keep(self, encoded: Encoded) -> Encoded:
        """Whole numbers of a byte, with a scale for each descriptor; without the deepest layer if it follows."""
        if not encoded.finite():
            raise ValueError("the network gives numbers that are not finite; expected another network")
        return in_bytes(encoded, [layer for layer in encoded.tensors if layer != "maps" or not self._follows])

    def keep_compared(self, encoded: Encoded) -> Encoded:
        """The vectors in half precision, and as many patches as are compared, in bytes."""
        counts = (self.config.query_patches, self.config.support_patches)
        most = None if None in counts else max(count for count in counts if count is not None)
        blocks = {level: VECTOR_LEVELS[level](encoded) for level in {"global", *self._vector_levels}}
        return pools_in_bytes(blocks, {level: salient_of(encoded, level, most) for level in self._pixel_levels})

    @torch.no_grad()
    def restore(self, kept: Encoded) -> Encoded:
        if are_pools(kept):
            return pools_from_bytes(kept)
        encoded = from_bytes(kept)
        if not self._follows:
            return encoded
        # One at a time: what comes of a photo must not depend on the others.
        maps = torch.cat([self.backbone.last_of(one).contiguous() for one in encoded.tensors["last"].split(1)])
        return Encoded({**encoded.tensors, "maps": maps})

    @property
    def _follows(self) -> bool:
        """Whether the deepest layer is computed from the one before it, where that is kept."""
        return self.backbone.last_follows and self.projection is None

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        summary: Summary = {level: VECTOR_LEVELS[level](encoded) for level in self._vector_levels}
        summary["photos"] = torch.tensor(len(encoded) // views, device=encoded.device)
        for level in self._pixel_levels:
            summary[level] = salient_pool(salient_of(encoded, level, self.config.support_patches))
        return summary

    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """Discriminate the classes from each other."""
        together = Together(classes, self.config)
        return [{"together": together, "number": number} for number in range(len(classes))]

    def common(self, classes: Sequence[Summary]) -> dict[str, Tensor]:
        """The centres and the covariance of each discriminant analysis."""
        return common_tensors(classes, self._vector_levels, self.config.ridge)

    def adapt_by(self, classes: Sequence[Summary], common: Mapping[str, Tensor]) -> Sequence[Summary]:
        together = Together(classes, self.config, common_from(common, self._vector_levels))
        return [{"together": together, "number": number} for number in range(len(classes))]

    def pooled(self, encoded: Encoded) -> Float[Tensor, "B D"]:
        """What the level "global" compares."""
        return torch.cat([functional.normalize(block, dim=1) for block in VECTOR_LEVELS["global"](encoded)], dim=1)

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        together, numbers = classes[0]["together"], [one["number"] for one in classes]
        found = {}
        for level in self._vector_levels:
            found[level] = class_scores(VECTOR_LEVELS[level](query), *together.discriminants[level])
        for level in self._pixel_levels:
            pools = together.pools[level] if torch.is_grad_enabled() else together.stacks[level]
            similarity = salient_to_classes(salient_of(query, level, self.config.query_patches), pools)
            found[level] = similarity - together.balance.advantage
        return {level: found[level].float()[:, numbers] for level in self.level_names}

    def left_out(
        self, classes: Sequence[Summary], asked: Sequence[tuple[int, int]], photos: Iterable[Encoded], views: int
    ) -> Iterator[dict[str, Float[Tensor, " N"]]]:
        """Without another summary or search for what stays the same; see ``left_out_scores``."""
        names, levels, keep = self._vector_levels, self._pixel_levels, self.config.query_patches
        queries = [  # what is compared of each, and not its maps: of hundreds of photos they are the most
            (
                {level: VECTOR_LEVELS[level](photo) for level in names},
                {level: salient_of(photo, level, keep) for level in levels},
            )
            for photo in photos
        ]
        shots = torch.stack([one["photos"] for one in classes])
        balance = Balance.of((shots - 1).clamp_min(1), self.config)
        vectors = [
            left_out_scores(
                [one[level] for one in classes],
                asked,
                [found[level] for found, _ in queries],
                views,
                self.config.ridge,
                balance.shrinkage,
            )
            for level in names
        ]
        pools = {level: [one[level].by_photo(views) for one in classes] for level in levels}  # (K, V * T, C)
        patches = left_out_patches(pools, asked, [found for _, found in queries])
        for *ours, near in zip(*vectors, patches, strict=True):
            patched = {level: similarity - balance.advantage for level, similarity in near.items()}
            scores = {**dict(zip(names, ours, strict=True)), **patched}
            yield {level: scores[level].float() for level in self.level_names}

    def pair_work(self, encoded: Encoded) -> int:
        """Patches of each layer, and a share of the discriminant analyses."""
        layers = {PIXEL_LEVELS[level][0]: level for level in self._pixel_levels}
        if are_pools(encoded):
            sizes, positions = compared_sizes(encoded)
            channels = sum(sizes[level] for layer, level in layers.items() if layer != "maps") + self.channels
        else:
            kept = encoded.tensors
            channels = sum(kept[layer].shape[1] if layer in kept else self.channels for layer in {*layers, "maps"})
            positions = next(iter(kept.values()))[0, 0].numel()
        asked, learnt = (
            min(one or positions, positions) for one in (self.config.query_patches, self.config.support_patches)
        )
        patches = asked * learnt
        return channels * (patches + _LEFT_OUT_WORK)

    def matchings(self) -> Mapping[str, Matching]:
        return {level: _matching(level, self.config.query_patches) for level in self._pixel_levels}

    def without_patches(self, query: Encoded, classes: Sequence[Summary]) -> Callable[[Tensor], Levels]:
        """A patch that is left out has descriptors of no length: neither weight nor a part in any mean."""
        together, numbers = classes[0]["together"], [one["number"] for one in classes]
        rows = {name: one.float().flatten(2)[0].T for name, one in query.tensors.items()}  # (M, C)
        nearest = {
            level: nearest_similarity(salient_of(query, level).units[0, :, None], together.pools[level], 1).float()
            for level in self._pixel_levels
        }  # (M, N)

        def levels(kept: Float[Tensor, "P M"]) -> Levels:
            found = {
                level: class_scores(KEPT_VECTOR_LEVELS[level](rows, kept), *together.discriminants[level])
                for level in self._vector_levels
            }
            for level in self._pixel_levels:
                _, weighing, power = PIXEL_LEVELS[level]
                weights = kept_weights(rows[weighing].norm(dim=1), kept, power, self.config.query_patches)
                found[level] = weights @ nearest[level] - together.balance.advantage
            return {level: found[level].float()[:, numbers] for level in self.level_names}

        return levels


def _matching(level: str, patches: int | None) -> Matching:
    """How a level matches patches.

    Those that are not compared have next to no weight: other levels may name them, and they are like something too.
    """

    def weights(encoded: Encoded) -> Tensor:
        compared = salient_of(encoded, level, patches)
        everywhere = torch.full_like(compared.weights[0, :1], _NO_WEIGHT).repeat(encoded.maps[0, 0].numel())
        return everywhere.index_copy(0, compared.positions[0], compared.weights[0])

    def rows(encoded: Encoded) -> Tensor:
        return salient_of(encoded, level).units[0] * weights(encoded)[:, None]

    return Matching("patch", rows, lambda pool: pool.descriptors, 1, weights, lambda pool: pool.positions.flatten())
