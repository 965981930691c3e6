"""Splits: nothing is asked that was learnt, and only the number of photos changes between shots."""

import numpy as np
import pytest

from triptych.comparison.splits import SplitSampler, usable_shots

UNEVEN = np.array([0] * 1 + [1] * 2 + [2] * 4 + [3] * 30)


def test_what_is_asked_was_not_learnt() -> None:
    for number in range(20):
        for episode in SplitSampler(UNEVEN, shots=(1, 2, 5), queries=3)[number].values():
            assert not set(episode.support) & set(episode.query)
            assert len(set(episode.support)) == len(episode.support)
            assert (UNEVEN[episode.support] == episode.support_labels).all()
            assert (UNEVEN[episode.query] == episode.query_labels).all()
            assert set(episode.support_labels) == {0, 1, 2, 3}


def test_classes_give_what_they_have() -> None:
    episode = SplitSampler(UNEVEN, shots=(1, 5), queries=3)[0][5]
    assert np.bincount(episode.support_labels).tolist() == [1, 1, 3, 5]
    assert np.bincount(episode.query_labels, minlength=4).tolist() == [0, 1, 1, 3]


def test_fewer_photos_are_a_part_of_more_and_the_queries_are_the_same() -> None:
    split = SplitSampler(UNEVEN, shots=(1, 2, 5), queries=3)[4]
    assert set(split[1].support) < set(split[2].support) < set(split[5].support)
    assert split[1].query.tolist() == split[2].query.tolist() == split[5].query.tolist()


def test_the_seed_decides_and_splits_differ() -> None:
    one, same, other = (SplitSampler(UNEVEN, (2,), seed=seed) for seed in (0, 0, 1))
    assert one[3][2].support.tolist() == same[3][2].support.tolist()
    assert one[3][2].support.tolist() != other[3][2].support.tolist()
    assert one[3][2].support.tolist() != one[4][2].support.tolist()


def test_no_more_is_asked_than_allowed() -> None:
    labels = np.arange(100).repeat(2)
    asked = [SplitSampler(labels, (1,), asked=15)[number][1].query for number in range(40)]
    assert all(len(query) == 15 for query in asked)
    assert len(np.unique(labels[np.concatenate(asked)])) > 90  # a random part, not the same classes each time


@pytest.mark.parametrize(
    ("counts", "expected"),
    [([2, 2], (1,)), ([1, 1, 9], (1,)), ([3, 3, 1], (1, 2)), ([11, 11], (1, 2, 5, 10)), ([10, 10], (1, 2, 5))],
)
def test_usable_shots(counts: list[int], expected: tuple[int, ...]) -> None:
    assert usable_shots(counts, (10, 5, 2, 1, 1)) == expected


@pytest.mark.parametrize(
    ("labels", "settings", "message"),
    [
        ([0, 0, 0], {"shots": (1,)}, "at least two classes"),
        ([0, 1, 2], {"shots": (1,)}, "a single photo"),
        ([0, 0, 1], {"shots": ()}, "shots must be"),
        ([0, 0, 1], {"shots": (0,)}, "shots must be"),
        ([0, 0, 1], {"shots": (1,), "queries": 0}, "queries must be at least 1"),
        ([0, 0, 1], {"shots": (1,), "asked": 0}, "asked must be at least 1"),
    ],
)
def test_what_cannot_be_split_is_refused(labels: list[int], settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplitSampler(np.array(labels), **settings)
