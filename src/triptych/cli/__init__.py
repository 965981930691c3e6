"""The ``triptych`` command: one sub-command per public function.

Heavy modules are imported where they are used, so that help and usage errors come at once.
"""

# each adds its commands to the application
from triptych.cli import (
    classes,
    comparing,
    episodes,
    evaluating,
    evidence,
    exporting,
    recognise,
    serving,
    sharing,
    splits,
    training,
)
from triptych.cli.app import app, main

__all__ = [
    "app",
    "classes",
    "comparing",
    "episodes",
    "evaluating",
    "evidence",
    "exporting",
    "main",
    "recognise",
    "serving",
    "sharing",
    "splits",
    "training",
]
