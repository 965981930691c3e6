"""Pages for people: the demonstration, what a recogniser knows, a comparison; one template kit behind them."""

from triptych.reports.comparison import comparison_page, verdicts
from triptych.reports.demo_page import demo
from triptych.reports.evidence import evidence_fragment
from triptych.reports.kit import render, stylesheet
from triptych.reports.known import describe_calibration, inventory, inventory_page
from triptych.reports.scene import matched
from triptych.reports.words import trust, where

__all__ = [
    "comparison_page",
    "demo",
    "describe_calibration",
    "evidence_fragment",
    "inventory",
    "inventory_page",
    "matched",
    "render",
    "stylesheet",
    "trust",
    "verdicts",
    "where",
]
