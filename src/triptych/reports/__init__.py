"""Pages for people: the demonstration, what a recogniser knows, a comparison."""

from triptych.reports.comparison import comparison_page, verdicts
from triptych.reports.demo import demo
from triptych.reports.inventory import describe_calibration, inventory, inventory_page

__all__ = ["comparison_page", "demo", "describe_calibration", "inventory", "inventory_page", "verdicts"]
