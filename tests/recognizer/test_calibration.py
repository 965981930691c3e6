"""Calibration: temperatures, thresholds and fusions from photos left out."""

import numpy as np
import pytest
import torch

from triptych.fusion import LevelFusion, learn_fusion
from triptych.methods import SalientConfig, SalientMML, build_method
from triptych.recognizer.calibration import (
    Calibration,
    learn_from,
    refuse_not_finite,
)
from triptych.recognizer.leaving_out import LeftOut, even_shares
from triptych.recognizer.temperature import calibration_error, fitted_temperature, usual_temperature


def test_temperature_finds_the_scale_of_the_logits() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 4, generator=generator, dtype=torch.float64)
    truth = torch.multinomial((logits / 0.4).softmax(1), 1, generator=generator)[:, 0]
    assert fitted_temperature(logits, truth) == pytest.approx(0.4, rel=0.05)


def test_a_few_perfect_photos_do_not_make_it_sure_of_everything() -> None:
    logits = torch.eye(2, dtype=torch.float64) * 10
    assert fitted_temperature(logits, torch.tensor([0, 1])) > 1 / 3


def test_temperature_of_many_is_hardly_held_back() -> None:
    logits = torch.eye(2, dtype=torch.float64).repeat(500, 1) * 3
    assert fitted_temperature(logits, torch.tensor([0, 1] * 500)) < 1 / 2


@pytest.mark.parametrize(("rate", "expected"), [(0.05, 4.0), (0.1, 9.0), (0.29, 28.0), (0.001, 0.0), (0.999, 98.0)])
def test_threshold_is_the_conformal_quantile(rate: float, expected: float) -> None:
    calibration = Calibration(1.0, 1.0, tuple(float(i) for i in range(99)), (), 1.0, 0.0, 0.0)
    assert calibration.threshold(rate) == expected


def test_threshold_keeps_the_stated_rate() -> None:
    rng = np.random.default_rng(0)
    alarms = []
    for _ in range(400):
        known = rng.normal(size=60)
        alarms.append(rng.normal() < Calibration(1.0, 1.0, tuple(sorted(known)), (), 1.0, 0.0, 0.0).threshold(0.1))
    assert np.mean(alarms) < 0.1 + 3 * (0.09 / 400) ** 0.5


def test_calibration_error_of_a_calibrated_forecast_is_small() -> None:
    rng = np.random.default_rng(0)
    sure = rng.uniform(0.5, 1, 50_000)
    truth = (rng.random(50_000) > sure).astype(int)
    assert calibration_error(np.stack([sure, 1 - sure], axis=1), truth) < 0.02
    assert calibration_error(np.full((10, 2), [1.0, 0.0]), np.ones(10, int)) == 1.0


@pytest.mark.parametrize(
    ("counts", "limit", "expected"),
    [([3, 3], 10, [3, 3]), ([1, 9], 6, [1, 5]), ([5, 5], 3, [1, 2]), ([0, 4], 4, [0, 4])],
)
def test_shares_are_even(counts: list[int], limit: int, expected: list[int]) -> None:
    assert even_shares(counts, limit) == expected


def test_of_too_many_classes_some_of_all_are_asked() -> None:
    shares = even_shares([2] * 500 + [0] * 100 + [9] * 500, limit=40)
    assert sum(shares) == 40
    assert max(shares) == 1
    assert 10 < sum(shares[:500]) < 30
    assert even_shares([3, 3], limit=0) == [0, 0]


def _levels(
    photos: int, noise: dict[str, float], scale: dict[str, float]
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(photos) % 4
    right = torch.nn.functional.one_hot(truth, 4).float()
    return {
        name: scale[name] * (right + noise[name] * torch.randn(photos, 4, generator=generator)) for name in noise
    }, truth


def test_levels_of_any_scale_weigh_by_what_they_tell() -> None:
    noise = {"good": 0.5, "bad": 50.0}
    fusions = [learn_fusion(*_levels(200, noise, {"good": scale, "bad": 1 / scale})) for scale in (1.0, 1e4)]
    weights = [fusion.log_weight.exp() for fusion in fusions]
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-2, atol=1e-2)
    assert weights[0][0] > 10 * weights[0][1]
    assert fusions[1].trained


def test_weights_start_from_those_of_training() -> None:
    trained = LevelFusion(["good", "bad"])
    with torch.no_grad():
        trained.log_weight.copy_(torch.tensor([0.1, 0.4]).log())
        trained.observed.fill_(1)
    moved = []
    for photos in (4, 2000):
        levels, truth = _levels(photos, {"good": 0.5, "bad": 2.0}, {"good": 1.0, "bad": 1.0})
        fitted = learn_fusion(levels, truth, trained)
        assert torch.equal(fitted.spread, trained.spread)
        moved.append((fitted.log_weight - trained.log_weight).abs().max().item())
    assert moved[0] < np.log(4) < moved[1]


def test_a_few_photos_hardly_move_the_weights() -> None:
    levels, truth = _levels(4, {"good": 0.5, "bad": 50.0}, {"good": 1.0, "bad": 1.0})
    weights = learn_fusion(levels, truth).log_weight.exp()
    assert ((weights / 0.5).log().abs() < np.log(4)).all()


def _left_out(method: SalientMML, shots: int) -> LeftOut:
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(3).repeat_interleave(shots)
    right = torch.nn.functional.one_hot(truth, 3).float()
    levels = {name: right + torch.randn(len(truth), 3, generator=generator) for name in method.level_names}
    ids = tuple(tuple(f"{n}-{i}" for i in range(shots)) for n in range(3))
    return LeftOut(levels, truth, tuple(one for own in ids for one in own), ids)


@pytest.mark.parametrize(("shots", "factor"), [(2, 0.594), (4, 0.835), (10, 0.950)])
def test_new_photos_get_a_lower_temperature_than_those_left_out(shots: int, factor: float) -> None:
    method = SalientMML(SalientConfig()).eval()
    found = learn_from(method, _left_out(method, shots)).calibration
    assert found is not None
    assert found.temperature / found.left_out_temperature == pytest.approx(factor, abs=1e-3)


def test_classes_of_one_photo_count_with_the_usual_temperature() -> None:
    method = SalientMML(SalientConfig()).eval()
    left_out = _left_out(method, 4)
    alone = learn_from(method, left_out).calibration
    single = LeftOut(left_out.levels, left_out.truth, left_out.photos, (*left_out.classes, ("3-0",)))
    beside = learn_from(method, single).calibration
    assert alone is not None
    assert beside is not None
    expected = alone.temperature**0.75 * usual_temperature(method) ** 0.25
    assert beside.temperature == pytest.approx(expected, rel=1e-6)
    assert beside.left_out_temperature == alone.left_out_temperature


def test_where_classes_do_not_depend_on_each_other_or_training_has_calibrated_it_is_the_same() -> None:
    method = build_method("mml-conv64f").eval()
    truth = torch.tensor([0, 0, 1, 1])
    levels = {name: torch.nn.functional.one_hot(truth, 2).float() for name in method.level_names}
    left_out = LeftOut(levels, truth, ("a", "b", "c", "d"), (("a", "b"), ("c", "d")))
    found = learn_from(method, left_out).calibration
    assert found is not None
    assert found.temperature == found.left_out_temperature
    trained = SalientMML(SalientConfig()).eval()
    trained.fusion.observed.fill_(1)
    found = learn_from(trained, _left_out(trained, 3)).calibration
    assert found is not None
    assert found.temperature == found.left_out_temperature


def test_without_left_out_photos_only_an_untrained_fusion_is_held_back() -> None:
    method = SalientMML(SalientConfig())
    assert usual_temperature(method) > 1
    method.fusion.observed.fill_(1)
    assert usual_temperature(method) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_refused(value: float) -> None:
    refuse_not_finite(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="scores that are not finite numbers; expected another method"):
        refuse_not_finite(torch.tensor([[0.0, value]]))
