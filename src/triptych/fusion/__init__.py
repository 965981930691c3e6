"""Fusion: the scores of the levels -> one score per class."""

from triptych.fusion.fusion import Fusion, LevelFusion, Levels, SlotFusion

__all__ = ["Fusion", "LevelFusion", "Levels", "SlotFusion"]
