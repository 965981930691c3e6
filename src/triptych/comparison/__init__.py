"""Is it worth it on my photos? MML beside its levels and plain classifiers on a user's own folder."""

from triptych.comparison.record import SHOTS, compare

__all__ = ["SHOTS", "compare"]
