"""The similarity levels as pure functions of feature maps; larger is always more similar.

Each level also comes in two steps, for callers that compare many queries with the same classes: a ``*_class``
function turns one class's support maps into what the level compares with, and a ``*_to_classes`` function
scores queries against a list of those.
"""

from triptych.similarity.discriminant import (
    CodeClass,
    Discriminant,
    code_class,
    codes_to_classes,
    discriminant_codes,
    fit_discriminant,
    gaussian_vector_size,
    gaussian_vectors,
)
from triptych.similarity.distribution import (
    DISTANCES,
    SHRINKAGES,
    Gaussian,
    InverseGaussian,
    distribution_class,
    distribution_similarity,
    distribution_to_classes,
    image_gaussians,
)
from triptych.similarity.nearest import nearest_similarity
from triptych.similarity.part import part_class, part_similarity, part_to_classes
from triptych.similarity.pixel import pixel_class, pixel_similarity, pixel_to_classes
from triptych.similarity.pooled import global_class, global_similarity, global_to_classes

__all__ = [
    "DISTANCES",
    "SHRINKAGES",
    "CodeClass",
    "Discriminant",
    "Gaussian",
    "InverseGaussian",
    "code_class",
    "codes_to_classes",
    "discriminant_codes",
    "distribution_class",
    "distribution_similarity",
    "distribution_to_classes",
    "fit_discriminant",
    "gaussian_vector_size",
    "gaussian_vectors",
    "global_class",
    "global_similarity",
    "global_to_classes",
    "image_gaussians",
    "nearest_similarity",
    "part_class",
    "part_similarity",
    "part_to_classes",
    "pixel_class",
    "pixel_similarity",
    "pixel_to_classes",
]
