"""The plain classifiers: right where the answer is known, tuned on the support alone, and never in the way."""

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from triptych.comparison.baselines import BASELINES, _folds, baseline_answers, pooled, prepared


def clusters(way: int, shot: int, spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(1).normal(size=(way, 16))
    labels = np.arange(way).repeat(shot)
    return 5 + centres[labels] + spread * rng.normal(size=(way * shot, 16)), labels


def test_pooled_is_the_mean_over_positions_in_any_precision() -> None:
    maps = torch.randn(3, 4, 5, 2)
    np.testing.assert_allclose(pooled(maps), maps.mean((2, 3)).numpy(), atol=1e-6)
    # In half precision the sum of these would already be infinite.
    assert pooled(torch.full((1, 2, 21, 21), 1000.0, dtype=torch.float16)).tolist() == [[1000.0, 1000.0]]


def test_prepared_takes_the_common_part_away() -> None:
    support, _ = clusters(3, 2, 0.1)
    known, asked = prepared(support, support[:2])
    np.testing.assert_allclose(np.linalg.norm(known, axis=1), 1)
    np.testing.assert_allclose(asked, known[:2])
    np.testing.assert_allclose(prepared(support + 100, support + 100)[1], known, atol=1e-9)
    assert np.isfinite(prepared(np.ones((4, 3)), np.ones((1, 3)))[0]).all()


@pytest.mark.parametrize(("way", "shot"), [(2, 1), (2, 3), (7, 5), (30, 2)])
def test_every_baseline_finds_clear_clusters(way: int, shot: int) -> None:
    support, labels = clusters(way, shot, 0.05)
    query, truth = clusters(way, 4, 0.05, seed=2)
    answers = baseline_answers(support, labels, query)
    assert answers.keys() == BASELINES.keys()
    for name, answer in answers.items():
        assert answer.tolist() == truth.tolist(), name


def test_threads_of_the_linear_algebra_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def threads(*_: np.ndarray) -> np.ndarray:
        return np.array([one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"])

    monkeypatch.setitem(BASELINES, "threads", threads)
    support, labels = clusters(2, 2, 0.05)
    with threadpool_limits(2, user_api="blas"):
        assert set(baseline_answers(support, labels, support)["threads"]) == {1}
        assert max(threads()) == 2  # as before


def test_unequal_classes_and_identical_photos_are_no_obstacle() -> None:
    labels = np.array([0, 1, 1, 1, 2, 2])
    for support in (np.eye(6), np.ones((6, 4))):
        for name, answer in baseline_answers(support, labels, support).items():
            assert set(answer.tolist()) <= {0, 1, 2}, name


def test_the_support_chooses_the_number_of_neighbours() -> None:
    # In each class one photo of three lies among those of the other: a single neighbour is often a wrong one.
    rng = np.random.default_rng(0)
    labels = np.arange(2).repeat(30)
    side = np.where(np.arange(60) % 3 == 0, 1 - labels, labels)
    support = np.stack([2.0 * side - 1, np.zeros(60)], axis=1) + 0.2 * rng.normal(size=(60, 2))
    truth = np.arange(2).repeat(200)
    query = np.stack([2.0 * truth - 1, np.zeros(400)], axis=1) + 0.2 * rng.normal(size=(400, 2))
    assert (baseline_answers(support, labels, query)["nearest neighbours"] == truth).mean() > 0.72


def test_folds_hold_each_photo_out_once_but_a_single_one() -> None:
    labels = np.array([0, 1, 1, 2, 2, 2, 3])
    held = np.stack(_folds(labels))
    assert held.sum(axis=0).tolist() == [0, 1, 1, 1, 1, 1, 0]
    for mask in held:
        assert set(labels[~mask].tolist()) == {0, 1, 2, 3}
    assert _folds(np.arange(4)) == []
