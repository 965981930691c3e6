"""Accuracy with its 95% interval."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy.special import stdtrit

__all__ = ["Accuracy"]


@dataclass(frozen=True)
class Accuracy:
    """Mean accuracy over episodes and the half-width of its 95% confidence interval, both in [0, 1].

    >>> import numpy as np
    >>> from triptych.evaluation import Accuracy
    >>> accuracy = Accuracy.over(np.array([0.4, 0.6, 0.5, 0.5]))
    >>> round(accuracy.mean, 3), round(accuracy.ci95, 3)
    (0.5, 0.08)
    """

    mean: float
    ci95: float

    @classmethod
    def over(cls, episodes: np.ndarray) -> "Accuracy":
        """From one accuracy per episode: mean +- 1.96 standard errors (unbiased deviation)."""
        deviation = episodes.std(ddof=1) if len(episodes) > 1 else 0.0
        return cls(float(episodes.mean()), float(1.96 * deviation / sqrt(len(episodes))))

    @classmethod
    def over_splits(cls, splits: np.ndarray, asked: float) -> "Accuracy":
        r"""From one accuracy, or difference of two, per random split of the same photos.

        Splits share photos, so the interval does not shrink to nothing with their number. With J splits of deviation
        s, a share a of the photos asked about in each, and the quantile t of Student's distribution, the half-width is

        .. math:: t_{J-1, 0.975} \, s \, \sqrt{1 / J + a / (1 - a)}

        Source: Nadeau and Bengio, Machine Learning 52 (2003), the corrected resampled t-test.
        """
        if len(splits) < 2 or not 0 < asked < 1:
            raise ValueError(f"expected two splits at least and a share between 0 and 1, got {len(splits)} and {asked}")
        width = stdtrit(len(splits) - 1, 0.975) * sqrt(1 / len(splits) + asked / (1 - asked))
        return cls(float(splits.mean()), float(width * splits.std(ddof=1)))
