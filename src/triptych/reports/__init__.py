"""Pages for people: the demonstration, what a recogniser knows, a comparison; one template kit behind them."""

from triptych.reports.comparison import comparison_page, verdicts
from triptych.reports.demo_page import demo
from triptych.reports.kit import render
from triptych.reports.known import describe_calibration, inventory, inventory_page
from triptych.reports.words import trust, where

__all__ = [
    "comparison_page",
    "demo",
    "describe_calibration",
    "inventory",
    "inventory_page",
    "render",
    "trust",
    "verdicts",
    "where",
]
