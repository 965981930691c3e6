"""What a fitted recogniser knows: its classes, and what their photos teach. Never changed, only replaced."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from triptych.data.photos import Photo
from triptych.fusion import Fusion
from triptych.methods import MML
from triptych.recognizer.calibration import Learnt, calibrate
from triptych.recognizer.leave_one_out import LeftOut
from triptych.support.support import Support, encode

__all__ = ["Knowledge", "fits", "of_any_width"]


@dataclass(frozen=True, eq=False)
class Knowledge:
    """The state of a recogniser between two changes: who holds it sees the same classes until the end.

    Attributes:
        method: what compares.
        support: label -> what is kept of the class.
        dtype: of the caller's labels (``of_any_width``); None where they have none in common.
        before: what was left out before the last change, of which most still holds.
        given: what the photos teach, where a file has it already.
    """

    method: MML
    support: dict[Any, Support]
    dtype: np.dtype | None
    before: LeftOut | None = None
    given: Learnt | None = None

    @cached_property
    def order(self) -> list[Any]:
        """The labels, in the order of all scores."""
        try:
            return sorted(self.support)
        except TypeError:  # labels of mixed types have no order but that of their arrival
            return list(self.support)

    @cached_property
    def supports(self) -> list[Support]:
        """The classes in that order."""
        return [self.support[label] for label in self.order]

    @property
    def views(self) -> int:
        """How many there are of each photo, whatever has been set since."""
        return self.supports[0].maps.shape[1]

    @cached_property
    def learnt(self) -> Learnt:
        """What the photos teach, each left out in turn; computed when first asked for."""
        return self.given or calibrate(self.method, self.supports, self.before)

    @property
    def fusion(self) -> Fusion:
        """What weighs the levels; for a published fusion no photo needs to be left out."""
        return self.learnt.fusion if self.method.fusion.way is None else self.method.fusion

    def changed(self, support: dict[Any, Support], dtype: np.dtype | None) -> "Knowledge":
        """The same method with other classes."""
        known = self.given or self.__dict__.get("learnt")  # what has not been computed need not be now
        return Knowledge(self.method, support, dtype, self.before if known is None else known.left_out)

    def labels(self, labels: Sequence[Any]) -> np.ndarray:
        """Labels in the caller's dtype, as objects where they do not fit it."""
        dtype = self.dtype
        if dtype is not None and all(fits(dtype, label) for label in labels):
            return np.array(labels, dtype=dtype)
        array = np.empty(len(labels), dtype=object)
        array[:] = labels
        return array

    @torch.no_grad()
    def compare(self, photos: Sequence[Photo]) -> dict[str, Float[Tensor, "Q N"]]:
        """The similarity of photos to the classes at each level."""
        maps = encode(self.method, np.stack([photo.pixels for photo in photos]))
        return self.method.compare(maps, [support.summary for support in self.supports])

    @torch.no_grad()
    def logits(self, levels: dict[str, Tensor]) -> Float[Tensor, "Q N"]:
        """The levels, fused."""
        return self.fusion(levels).double()

    def temperature(self, calibrated: bool) -> float:
        """What divides the logits; 1 where nothing could be left out, or nothing shall be."""
        calibration = self.learnt.calibration if calibrated else None
        return 1.0 if calibration is None else calibration.temperature

    def threshold(self, false_alarm: float) -> float:
        """See ``Calibration.threshold``."""
        if self.learnt.calibration is None:
            raise ValueError("unknowns cannot be told: every class has a single photo; add a second one to some class")
        return self.learnt.calibration.threshold(false_alarm)


def of_any_width(dtype: np.dtype | None) -> np.dtype | None:
    """A width would be that of the names that came first: longer ones must fit, and files must not tell."""
    return np.dtype(dtype.kind) if dtype is not None and dtype.kind in "US" else dtype


def fits(dtype: np.dtype, label: Any) -> bool:
    """Whether a label is one of this dtype, of strings whatever the width."""
    kind = np.asarray(label).dtype.kind
    if dtype.kind in "iu" and kind in "iu":
        return np.iinfo(dtype).min <= label <= np.iinfo(dtype).max
    return kind == dtype.kind
