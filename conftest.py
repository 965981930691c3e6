"""Tests and examples use the small network unless they name another: with the default one they would take minutes."""

import triptych.weights

triptych.weights.DEFAULT = "mml-conv64f"
