"""Fusion: way- and shot-agnostic where it is learned, slot by slot where it is imported."""

import pytest
import torch
from torch import nn

from triptych.fusion import LevelFusion, SlotFusion

NAMES = ("distribution", "pixel", "part")


def levels(way: int, queries: int = 6, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scales = {"distribution": 40.0, "pixel": 300.0, "part": 20.0}
    return {name: scales[name] * torch.randn(queries, way, generator=generator) for name in NAMES}


def test_one_fusion_serves_every_way() -> None:
    fusion = LevelFusion(NAMES)
    for way in (1, 2, 5, 20):
        assert fusion(levels(way)).shape == (6, way)
    assert all(parameter.shape == (3,) for parameter in fusion.parameters())


def test_logits_are_the_sum_of_the_contributions() -> None:
    fusion = LevelFusion(NAMES)
    scores = levels(5)
    torch.testing.assert_close(fusion(scores), sum(fusion.contributions(scores).values()))


def test_classes_are_exchangeable() -> None:
    fusion = LevelFusion(NAMES)
    scores, order = levels(5), torch.tensor([3, 0, 4, 1, 2])
    moved = {name: value[:, order] for name, value in scores.items()}
    torch.testing.assert_close(fusion(moved), fusion(scores)[:, order])


def test_the_spread_of_each_level_is_evened_out() -> None:
    fusion = LevelFusion(NAMES)
    for seed in range(300):
        fusion.observe(levels(5, seed=seed))
    unit = fusion.calibrated(levels(5, queries=2000, seed=999))
    for name in NAMES:
        assert unit[name].std(dim=1, correction=0).mean().item() == pytest.approx(1, abs=0.1)


def test_a_shift_of_all_classes_changes_no_probability() -> None:
    fusion = LevelFusion(NAMES)
    scores = levels(5)
    shifted = {name: value + 7 for name, value in scores.items()}
    torch.testing.assert_close(fusion(shifted).softmax(1), fusion(scores).softmax(1), rtol=1e-3, atol=1e-6)


def test_logits_are_the_weighted_sum_of_log_probabilities_up_to_a_constant() -> None:
    fusion = LevelFusion(NAMES)
    fusion.observe(levels(5))
    with torch.no_grad():
        fusion.log_weight += torch.tensor([0.3, -0.2, 0.5])
    scores = levels(5, seed=1)
    weights = fusion.log_weight.exp()
    joint = sum(w * z.log_softmax(1) for w, z in zip(weights, fusion.calibrated(scores).values(), strict=True))
    torch.testing.assert_close(fusion(scores).softmax(1), joint.softmax(1))


def test_a_single_class_or_constant_scores_leave_the_spread_usable() -> None:
    fusion = LevelFusion(NAMES)
    fusion.observe(levels(1))
    assert fusion.observed == 0
    fusion.observe({name: torch.zeros(4, 3) for name in NAMES})
    assert fusion({name: torch.zeros(4, 3) for name in NAMES}).isfinite().all()


@pytest.mark.parametrize("way", [2, 5])
def test_slot_fusion_is_the_release_module(way: int) -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(3 * way)
    nn.init.uniform_(norm.weight, 0.1, 2.0)
    nn.init.normal_(norm.bias)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.1, 3.0)
    norm.eval()
    conv = nn.Conv1d(1, 1, kernel_size=3, dilation=way, bias=False)
    scores = levels(way)
    joined = torch.cat([scores[name] for name in NAMES], dim=1)
    with torch.no_grad():
        expected = conv(norm(joined).unsqueeze(1)).squeeze(1)
    fusion = SlotFusion(NAMES, way)
    fusion.norm.load_state_dict(norm.state_dict())
    fusion.weight.data.copy_(conv.weight.flatten())
    torch.testing.assert_close(fusion.eval()(scores), expected)
    with torch.no_grad():
        expected = conv(norm.train()(joined).unsqueeze(1)).squeeze(1)
    torch.testing.assert_close(fusion.train()(scores), expected)
    assert torch.equal(fusion.norm.running_mean, norm.running_mean)


def test_slot_fusion_says_which_way_it_is_for() -> None:
    with pytest.raises(ValueError, match=r"exactly 5 classes .*, got 4"):
        SlotFusion(NAMES, 5)(levels(4))
