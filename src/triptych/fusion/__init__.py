"""Fusion: the scores of the levels -> one score per class."""

from triptych.fusion.base import Fusion, Levels
from triptych.fusion.fitting import learn_fusion, refitted
from triptych.fusion.level import LevelFusion
from triptych.fusion.slots import SlotFusion
from triptych.fusion.softmax import SoftmaxFusion
from triptych.fusion.sum import SumFusion

__all__ = ["Fusion", "LevelFusion", "Levels", "SlotFusion", "SoftmaxFusion", "SumFusion", "learn_fusion", "refitted"]
