"""The similarity levels as pure functions of feature maps; larger is always more similar.

Each level also comes in two steps, for callers that compare many queries with the same classes: a ``*_class``
function turns one class's support maps into what the level compares with, and a ``*_to_classes`` function
scores queries against a list of those.
"""

from triptych.similarity.attention import attention_to_classes
from triptych.similarity.brownian import bdc_vectors, inner_products
from triptych.similarity.classifiers import (
    LinearScores,
    fit_cosine_classifier,
    fit_logistic_regression,
    linear_to_classes,
)
from triptych.similarity.common import check_maps, class_members, split_classes, without_autocast
from triptych.similarity.correlation import cross_correlation, matching_attention, self_correlation
from triptych.similarity.covariance import covariance_class, covariance_to_classes
from triptych.similarity.distribution import (
    DISTANCES,
    distribution_class,
    distribution_similarity,
    distribution_to_classes,
)
from triptych.similarity.gaussians import (
    SHRINKAGES,
    Gaussian,
    PrecisionGaussian,
    gaussian_vector_size,
    gaussian_vectors,
    image_gaussians,
)
from triptych.similarity.laplacian import laplacian_assignments, nearest_neighbours
from triptych.similarity.lda import LDA, fit_lda, lda_to_classes
from triptych.similarity.lda_left_out import left_out_lda
from triptych.similarity.nearest import nearest_similarity
from triptych.similarity.part import part_class, part_similarity, part_to_classes
from triptych.similarity.pixel import pixel_class, pixel_similarity, pixel_to_classes
from triptych.similarity.plda import PLDA, PLDAClass, fit_plda, plda_class, plda_codes, plda_to_classes
from triptych.similarity.pooled import global_class, global_similarity, global_to_classes
from triptych.similarity.rectification import rectified
from triptych.similarity.salient import (
    SalientDescriptors,
    SalientPool,
    kept_moments,
    kept_weights,
    salient_descriptors,
    salient_moments,
    salient_pool,
    salient_similarity,
    salient_to_classes,
)
from triptych.similarity.search import Search, current_search, in_precision, search_dtype, searching
from triptych.similarity.shots import mean_shrinkage, pool_advantage
from triptych.similarity.stacked import Stack, stack_pools
from triptych.similarity.transport import earth_movers_similarity, transported
from triptych.similarity.vectors import centred_units, cosines, minus_squared_distances, pooled_vectors

__all__ = [
    "DISTANCES",
    "LDA",
    "PLDA",
    "SHRINKAGES",
    "Gaussian",
    "LinearScores",
    "PLDAClass",
    "PrecisionGaussian",
    "SalientDescriptors",
    "SalientPool",
    "Search",
    "Stack",
    "attention_to_classes",
    "bdc_vectors",
    "centred_units",
    "check_maps",
    "class_members",
    "cosines",
    "covariance_class",
    "covariance_to_classes",
    "cross_correlation",
    "current_search",
    "distribution_class",
    "distribution_similarity",
    "distribution_to_classes",
    "earth_movers_similarity",
    "fit_cosine_classifier",
    "fit_lda",
    "fit_logistic_regression",
    "fit_plda",
    "gaussian_vector_size",
    "gaussian_vectors",
    "global_class",
    "global_similarity",
    "global_to_classes",
    "image_gaussians",
    "in_precision",
    "inner_products",
    "kept_moments",
    "kept_weights",
    "laplacian_assignments",
    "lda_to_classes",
    "left_out_lda",
    "linear_to_classes",
    "matching_attention",
    "mean_shrinkage",
    "minus_squared_distances",
    "nearest_neighbours",
    "nearest_similarity",
    "part_class",
    "part_similarity",
    "part_to_classes",
    "pixel_class",
    "pixel_similarity",
    "pixel_to_classes",
    "plda_class",
    "plda_codes",
    "plda_to_classes",
    "pool_advantage",
    "pooled_vectors",
    "rectified",
    "salient_descriptors",
    "salient_moments",
    "salient_pool",
    "salient_similarity",
    "salient_to_classes",
    "search_dtype",
    "searching",
    "self_correlation",
    "split_classes",
    "stack_pools",
    "transported",
    "without_autocast",
]
