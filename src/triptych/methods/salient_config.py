"""Settings of ``SalientMML``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triptych.methods.config import MethodConfig
from triptych.methods.salience import ONE_LAYER
from triptych.system.settings import number, optional, some_of, whole

__all__ = ["SHARES", "SalientConfig"]

# Level -> its share of the logits before any photo was left out; chosen on groceries, birds and signs.
SHARES = {"global": 0.75, "distribution": 0.75, "pixel": 0.75, "pixel-last": 0.75, "pixel-16": 0.3}
# Level -> how far its scores spread over the classes, about: of 5 to 20 of them, with 1 to 4 photos each of the same
# folders. Those of a discriminant analysis go with one over its ridge.
_SPREADS = {"pixel": 0.09, "pixel-last": 0.12, "pixel-16": 0.055}
_SPREADS_BY_RIDGE = {"global": 0.18, "distribution": 0.16}


@dataclass(frozen=True)
class SalientConfig(MethodConfig):
    """Settings of a SalientMML.

    Attributes:
        ridge: of the discriminant analyses, whose vectors have unit length.
        query_patches: how many patches of a photo are compared, the longest of each layer; None for all.
        support_patches: with how many of each photo learnt from; None for all.
        prior_photos: how many photos at the centre the mean of each class counts as, beside the class of most photos;
            see ``mean_shrinkage``.
        pool_gain: what a level of patches gains by e times as many photos; see ``pool_advantage``.
        levels: those that are fused. "pixel-last" and "pixel-16" need a backbone that gives maps of three layers.

    >>> from triptych.methods import SalientConfig
    >>> SalientConfig(ridge=0.0)
    Traceback (most recent call last):
    ValueError: ridge must be a number above 0, got 0.0
    """

    backbone: str = "efficientnet-lite0"
    ridge: float = 0.003
    query_patches: int | None = 24
    support_patches: int | None = 32
    prior_photos: float = 2.0
    pool_gain: float = 0.03
    levels: tuple[str, ...] = tuple(SHARES)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            ridge=number(0, above=True),
            query_patches=optional(whole(1)),
            support_patches=optional(whole(1)),
            prior_photos=number(0),
            pool_gain=number(0),
            levels=some_of(*SHARES),
        )
        if self.components is not None and not set(self.levels) <= set(ONE_LAYER):
            raise ValueError(
                "layers are not reduced to principal components where several are compared; "
                f"expected levels of the deepest alone: {', '.join(ONE_LAYER)}"
            )

    @property
    def spreads(self) -> tuple[float, ...]:
        """How far the scores of each level spread, before any were seen; else one level would decide alone."""
        expected = {**_SPREADS, **{level: one / self.ridge for level, one in _SPREADS_BY_RIDGE.items()}}
        return tuple(expected[level] for level in self.levels)

    @classmethod
    def from_dict(cls, values: Any) -> "SalientConfig":
        """A configuration from JSON. An earlier version compared all patches, and wrote no numbers of them."""
        patches = {"query_patches": None, "support_patches": None}
        return super().from_dict({**patches, **values} if isinstance(values, Mapping) else values)
