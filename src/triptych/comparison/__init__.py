"""Is it worth it on my photos? MML beside its levels and plain classifiers on a user's own folder."""

from typing import TYPE_CHECKING

from triptych.comparison.settings import CompareSettings
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.comparison.baselines import BASELINES
    from triptych.comparison.contest import FUSED
    from triptych.comparison.record import compare

__all__ = ["BASELINES", "FUSED", "CompareSettings", "compare"]

__getattr__ = imported_when_used(
    __name__,
    {
        "BASELINES": "triptych.comparison.baselines",
        "FUSED": "triptych.comparison.contest",
        "compare": "triptych.comparison.record",
    },
)
