"""Episodes: seeded, stateless, and fair."""

from collections import Counter

import numpy as np
import pytest

from triptych.evaluation import EpisodeSampler

LABELS = np.repeat(np.arange(7), [20, 25, 30, 20, 20, 40, 20])


def test_an_episode_is_what_it_says() -> None:
    sampler = EpisodeSampler(LABELS, way=4, shot=3, queries=5, seed=1)
    for number in range(50):
        episode = sampler[number]
        assert episode.support_labels.tolist() == np.repeat(range(4), 3).tolist()
        assert episode.query_labels.tolist() == np.repeat(range(4), 5).tolist()
        drawn = np.concatenate([episode.support, episode.query])
        assert len(set(drawn.tolist())) == len(drawn)
        truth = LABELS[episode.support].reshape(4, 3)
        assert (truth == truth[:, :1]).all()
        assert len(set(truth[:, 0])) == 4
        assert (LABELS[episode.query].reshape(4, 5) == truth[:, :1]).all()


def test_an_episode_depends_on_seed_and_number_alone() -> None:
    sampler = EpisodeSampler(LABELS, seed=1)
    sampler[99]
    again = EpisodeSampler(LABELS, seed=1)
    assert np.array_equal(sampler[3].query, again[3].query)
    assert not np.array_equal(sampler[3].query, sampler[4].query)
    assert not np.array_equal(sampler[3].query, EpisodeSampler(LABELS, seed=2)[3].query)


def test_classes_and_slots_are_drawn_evenly() -> None:
    sampler = EpisodeSampler(LABELS, way=2, shot=1, queries=1)
    first = Counter(int(LABELS[sampler[number].support[0]]) for number in range(3500))
    assert set(first) == set(range(7))
    assert all(abs(count - 500) < 5 * 500**0.5 for count in first.values())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"way": 8}, "^8-way episodes need 8 classes; the data has 7: choose a smaller way or add classes$"),
        ({"way": 1}, "^way must be a whole number of at least 2, got 1$"),
        ({"shot": True}, "shot must be a whole number of at least 1, got True"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"labels": LABELS * 0}, "^episodes need at least 2 classes; the data has 1: add classes$"),
        ({"shot": 0}, "shot must be a whole number of at least 1, got 0"),
        ({"queries": 0}, "queries must be a whole number of at least 1"),
        ({"shot": 6}, "class 0 has 20 images; 6 shots and 15 queries need 21"),
        ({"shot": 6, "classes": list("abcdefg")}, "class 'a' has 20 images"),
    ],
)
def test_impossible_episodes_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EpisodeSampler(**{"labels": LABELS, **settings})


@pytest.mark.parametrize("number", [-1, True])
def test_the_number_of_an_episode_is_a_whole_one(number: int) -> None:
    with pytest.raises(ValueError, match="the number of an episode must be a whole number of at least 0"):
        EpisodeSampler(LABELS)[number]
