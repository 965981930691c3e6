"""How known a photo is, against a naive implementation, and its weights from photos left out."""

import pytest
import torch

from triptych.recognizer.unknowns import known_features, known_score, learn_known_weights, usual_known_weights


def _margin(logits: torch.Tensor) -> torch.Tensor:
    features = known_features({"only": logits})
    return known_score(features, usual_known_weights(levels=1, absolute=0))


def test_what_resembles_many_classes_is_less_known_than_what_resembles_one() -> None:
    many, one, shifted = torch.randn(3, 30).clamp(-1, 1).double()
    many[:6], one[:1] = 5.0, 5.0
    shifted = one + 100
    alike, clear, moved = _margin(torch.stack([many, one, shifted])).tolist()
    assert alike < 0.5 < 3 < clear == pytest.approx(moved)
    # What it has nothing in common with does not count: more such classes change nothing.
    assert _margin(torch.cat([one, torch.full((50,), -9.0)])[None]).item() == pytest.approx(clear)
    assert _margin(torch.tensor([[3.0, 1.0]])).item() == 2.0


@pytest.mark.parametrize("classes", [3, 4, 9])
@pytest.mark.parametrize("drop", [False, True])
def test_features_are_those_of_naive_loops(classes: int, drop: bool) -> None:
    generator = torch.Generator().manual_seed(classes)
    levels = {name: torch.randn(5, classes, generator=generator).double() for name in ("a", "b", "c")}
    own = torch.randint(0, classes, (5,), generator=generator)
    found = known_features(levels, ["c", "a"], own if drop else None)
    for photo in range(5):
        choices = [n for n in range(classes) if not (drop and n == own[photo])]
        logits = {n: sum(float(level[photo, n]) for level in levels.values()) for n in choices}
        ranked = sorted(choices, key=lambda n: -logits[n])
        rivals = ranked[1:6]
        margins = [
            float(level[photo, ranked[0]]) - sum(float(level[photo, n]) for n in rivals) / len(rivals)
            for level in levels.values()
        ]
        expected = [*margins, float(levels["c"][photo, ranked[0]]), float(levels["a"][photo, ranked[0]])]
        assert found[photo].tolist() == pytest.approx(expected)


def test_usual_weights_without_absolute_levels_give_the_margin_of_the_logits() -> None:
    levels = {name: torch.randn(7, 5).double() for name in ("a", "b")}
    weights = usual_known_weights(2, 0)
    torch.testing.assert_close(known_score(known_features(levels), weights), _margin(levels["a"] + levels["b"]))


def test_weights_are_a_minimum_of_the_penalised_logistic_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.arange(40) % 5
    right = torch.nn.functional.one_hot(truth, 5)
    levels = {name: noise * torch.randn(40, 5, generator=generator) + right for name, noise in (("a", 0.5), ("b", 2))}
    trust = torch.rand(40, generator=generator)
    weights = learn_known_weights(levels, truth, ["b"], trust).requires_grad_()
    features = torch.cat([known_features(levels, ["b"]), known_features(levels, ["b"], truth)])
    features = features - features.mean(0)
    sign = torch.tensor([1.0] * 40 + [-1.0] * 40).double()

    def loss(offset: torch.Tensor) -> torch.Tensor:
        fit = torch.nn.functional.softplus(-sign * (features @ weights + offset)) @ trust.repeat(2).double()
        return fit + (weights - usual_known_weights(2, 1)).square().sum() / 2

    offsets = torch.linspace(-5, 5, 2001).double()
    best = offsets[torch.stack([loss(one).detach() for one in offsets]).argmin()]
    loss(best).backward()
    assert weights.grad is not None
    assert weights.grad.abs().max() < 0.05


def test_nothing_is_learnt_from_two_classes_or_from_photos_without_trust() -> None:
    truth = torch.arange(20) % 2
    levels = {"a": torch.randn(20, 2)}
    assert torch.equal(learn_known_weights(levels, truth, ["a"]), usual_known_weights(1, 1))
    truth = torch.arange(20) % 4
    levels = {"a": torch.randn(20, 4)}
    weights = learn_known_weights(levels, truth, ["a"], torch.zeros(20))
    torch.testing.assert_close(weights, usual_known_weights(1, 1))


def test_a_level_that_tells_nothing_counts_less() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.arange(200) % 8
    telling = 4.0 * torch.nn.functional.one_hot(truth, 8) + torch.randn(200, 8, generator=generator)
    silent = 3.0 * torch.randn(200, 8, generator=generator)
    weights = learn_known_weights({"telling": telling, "silent": silent}, truth)
    assert weights[0] > 2 * weights[1].abs()
