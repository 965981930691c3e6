"""Prediction sets: the few classes among which the true one is as often as stated."""

from math import ceil

import numpy as np
from jaxtyping import Float

__all__ = ["fewest_left_out", "masses_above", "prediction_sets", "set_threshold"]

_ROUNDING = 1e-9  # 10 * 0.7 is a little above 7


def masses_above(probabilities: Float[np.ndarray, "Q N"]) -> Float[np.ndarray, "Q N"]:
    r"""How probable all the classes together are that rank above each: the less, the better the class conforms.

    .. math:: s(x, y) = \sum_{y' : \, p(y' | x) > p(y | x)} p(y' | x)

    Of equally probable classes, the first ranks above the other. The most probable class has 0. Source: Romano, Sesia
    and Candes, "Classification with Valid and Adaptive Coverage", NeurIPS 2020, section 2, with their random number u
    fixed at 1: nothing is drawn, and no set is empty.

    >>> import numpy as np
    >>> from triptych.recognizer.sets import masses_above
    >>> masses_above(np.array([[0.25, 0.5, 0.25]]))
    array([[0.5 , 0.  , 0.75]])
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ranked = np.take_along_axis(probabilities, order, axis=1)
    masses = np.empty_like(probabilities)
    np.put_along_axis(masses, order, _above(ranked), axis=1)
    return masses


def fewest_left_out(coverage: float) -> int:
    """With how many photos left out a set of this coverage need not hold all classes.

    >>> from triptych.recognizer.sets import fewest_left_out
    >>> [fewest_left_out(coverage) for coverage in (0.8, 0.9, 0.95)]
    [4, 9, 19]
    """
    return ceil(coverage / (1 - coverage) - _ROUNDING)


def set_threshold(masses: Float[np.ndarray, " R"], coverage: float) -> float:
    r"""The mass above a class up to which it belongs to the set: a conformal quantile.

    .. math:: \hat q = s_{(\lceil (R + 1) \, c \rceil)}

    of the R photos left out, in ascending order; infinite if there are too few. If a new photo is exchangeable with
    these, its true class is in the set with probability c at least. Source: Vovk, Gammerman and Shafer, "Algorithmic
    Learning in a Random World", 2005; the quantile as in Romano et al. 2020, theorem 1.

    Args:
        masses: ``masses_above`` of the true class of each photo left out.
        coverage: c, between 0 and 1.

    >>> import numpy as np
    >>> from triptych.recognizer.sets import set_threshold
    >>> set_threshold(np.array([0.0, 0.0, 0.3, 0.6]), coverage=0.6), set_threshold(np.zeros(4), coverage=0.9)
    (0.3, inf)
    """
    rank = ceil((len(masses) + 1) * coverage - _ROUNDING)
    return float(np.sort(masses)[rank - 1]) if rank <= len(masses) else float("inf")


def prediction_sets(probabilities: Float[np.ndarray, "Q N"], threshold: float) -> list[tuple[int, ...]]:
    """The classes with ``masses_above`` up to the threshold, the most probable first; at least one.

    >>> import numpy as np
    >>> from triptych.recognizer.sets import prediction_sets
    >>> prediction_sets(np.array([[0.25, 0.5, 0.25], [0.0, 0.1, 0.9]]), threshold=0.6)
    [(1, 0), (2,)]
    """
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sizes = (_above(np.take_along_axis(probabilities, order, axis=1)) <= threshold).sum(axis=1)
    return [tuple(row[:size].tolist()) for row, size in zip(order, sizes, strict=True)]


def _above(ranked: Float[np.ndarray, "Q N"]) -> Float[np.ndarray, "Q N"]:
    """The sum of what stands before each entry; exactly 0 for the first."""
    return np.cumsum(np.pad(ranked, ((0, 0), (1, 0)))[:, :-1], axis=1)
