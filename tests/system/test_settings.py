"""Settings say what was expected and what came."""

from dataclasses import dataclass, fields

import numpy as np
import pytest

from triptych.comparison import CompareSettings
from triptych.evaluation import EvaluateSettings
from triptych.system.settings import (
    FLAG,
    LARGEST_SEED,
    NAME,
    Check,
    check_settings,
    each,
    number,
    one_of,
    optional,
    setting,
    whole,
)
from triptych.training import PRESETS, Preset, PretrainSettings, TrainSettings


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (whole(1), [1, 10**30, np.int64(3)], [0, -1, 1.0, True, "1", None, float("nan")]),
        (whole(0, LARGEST_SEED), [0, 2**64 - 1], [2**64, -1]),
        (number(0, 1), [0, 1, 0.5, np.float32(0.5)], [-1e-9, 1.1, float("nan"), float("inf"), True, "0", None]),
        (number(0, 1, above=True), [1e-30, 1], [0, 0.0]),
        (one_of("step", "cosine"), ["step"], ["Step", "", None, 1]),
        (optional(whole(1)), [None, 1], [0, 1.5]),
        (each(whole(1), fewest=1), [(1,), (1, 5)], [(), (0,), [1], 1, None]),
        (each(number(0, 1), 2, 2), [(0, 0.9)], [(0,), (0, 0.9, 1)]),
        (FLAG, [True, False], [0, 1, None, "yes"]),
        (NAME, ["cpu"], ["", None, 0]),
    ],
)
def test_a_check_takes_what_it_says(check: Check, good: list, bad: list) -> None:
    assert [value for value in good if not check.holds(value)] == []
    assert [value for value in bad if check.holds(value)] == []
    assert check.expected


def test_the_message_says_what_was_expected_and_what_came() -> None:
    @dataclass(frozen=True)
    class Settings:
        share: float = setting(0.5, "Of something.", number(0, 1))

    check_settings(Settings())
    with pytest.raises(ValueError, match=r"^share must be a number from 0 to 1, got 2$"):
        check_settings(Settings(2))
    with pytest.raises(ValueError, match=r"got '9{79}$"):  # whatever comes, the message stays a line
        check_settings(Settings("9" * 10_000))  # type: ignore[arg-type]


@pytest.mark.parametrize("settings", [PretrainSettings, TrainSettings, EvaluateSettings, CompareSettings])
def test_every_setting_has_help_and_a_check_that_its_default_passes(settings: type) -> None:
    for one in fields(settings):
        assert one.metadata["help"].endswith("."), one.name
        assert one.metadata["check"].holds(one.default), one.name


def test_the_presets_pass_their_own_checks() -> None:
    assert all(isinstance(preset, Preset) for preset in PRESETS.values())


@pytest.mark.parametrize(
    ("settings", "change"),
    [
        (TrainSettings, {"betas": (0.5, 1.0)}),
        (TrainSettings, {"schedule": "linear"}),
        (TrainSettings, {"validation_shots": ()}),
        (TrainSettings, {"plda_images": 1}),
        (TrainSettings, {"jitter": -0.1}),
        (PretrainSettings, {"warmup": 1.5}),
        (PretrainSettings, {"weight_decay": float("inf")}),
        (PretrainSettings, {"store_side": 0}),
        (PretrainSettings, {"seed": 2**64}),
        (EvaluateSettings, {"way": 1}),
        (EvaluateSettings, {"episodes": 10**7}),
        (EvaluateSettings, {"flips": 1}),
        (CompareSettings, {"shots": []}),
    ],
)
def test_what_would_fail_late_fails_at_once(settings: type, change: dict) -> None:
    (name,) = change
    with pytest.raises(ValueError, match=f"^{name} must be "):
        settings(**change)
