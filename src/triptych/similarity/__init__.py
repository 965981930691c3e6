"""The similarity levels as pure functions of feature maps; larger is always more similar.

Each level also comes in two steps, for callers that compare many queries with the same classes: a ``*_class``
function turns one class's support maps into what the level compares with, and a ``*_to_classes`` function
scores queries against a list of those.
"""

from triptych.similarity.distribution import (
    DISTANCES,
    SHRINKAGES,
    BaseGaussians,
    Gaussian,
    descriptor_gaussian,
    distribution_class,
    distribution_similarity,
    distribution_to_classes,
)
from triptych.similarity.nearest import nearest_similarity
from triptych.similarity.part import part_class, part_similarity, part_to_classes
from triptych.similarity.pixel import pixel_class, pixel_similarity, pixel_to_classes
from triptych.similarity.pooled import global_class, global_similarity, global_to_classes

__all__ = [
    "DISTANCES",
    "SHRINKAGES",
    "BaseGaussians",
    "Gaussian",
    "descriptor_gaussian",
    "distribution_class",
    "distribution_similarity",
    "distribution_to_classes",
    "global_class",
    "global_similarity",
    "global_to_classes",
    "nearest_similarity",
    "part_class",
    "part_similarity",
    "part_to_classes",
    "pixel_class",
    "pixel_similarity",
    "pixel_to_classes",
]
