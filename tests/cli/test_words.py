"""What levels compare, in words."""

import pytest
import torch

from triptych.cli.words import for_and_against
from triptych.methods import METHODS, WEIGHTS, build_method

CONFIGS = {**METHODS, **{name: weights.config for name, weights in WEIGHTS.items()}}


@pytest.fixture(scope="module")
def levels() -> set[str]:
    with torch.device("meta"):  # names need no weights
        return {level for config in CONFIGS.values() for level in build_method(config).level_names}


def test_every_level_of_every_registered_method_has_words(levels: set[str]) -> None:
    assert {"pixel", "global"} < levels
    for level in levels:
        (line,) = for_and_against({level: 1.0})
        assert line.endswith(f" ({level} level) +1.00"), level


def test_no_two_levels_have_the_same_words(levels: set[str]) -> None:
    words = [for_and_against({level: 1.0})[0].split(" (")[0] for level in levels]
    assert len(set(words)) == len(levels)
