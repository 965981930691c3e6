"""A photo in the wrong folder stands out, and no photo speaks for itself."""

import numpy as np
import pytest
import torch
from photos import photo
from toys import small_method

from triptych import Recognizer
from triptych.comparison.collection import Collection, collect
from triptych.comparison.suspects import left_out
from triptych.methods import MML


@pytest.fixture(scope="module")
def method() -> MML:
    return small_method()


@pytest.fixture(scope="module")
def collection(method: MML) -> Collection:
    images = [photo(kind, number) for kind in range(3) for number in range(5)]
    labels = [kind for kind in range(3) for _ in range(5)]
    labels[7] = 2  # of class 1
    return collect(method, images, labels)


def test_the_misplaced_photo_is_doubted_most(method: MML, collection: Collection) -> None:
    found = left_out(method, collection.encoded, collection.labels, comparisons=10**6)
    assert sorted(found.photos.tolist()) == list(range(15))
    worst = int(found.doubt.argmax())
    assert (found.photos[worst], found.answers[worst]) == (7, 1)
    assert (found.doubt > 0).tolist() == (found.answers != collection.labels[found.photos]).tolist()


@pytest.mark.parametrize("most", [2, 10])
def test_doubt_is_that_of_a_recogniser_without_the_photo(method: MML, collection: Collection, most: int) -> None:
    found = left_out(method, collection.encoded, collection.labels, comparisons=10**6, most=most)
    images = [photo(kind, number) for kind in range(3) for number in range(5)]
    for row in (0, 4, 9, 14):
        me, own = found.photos[row], collection.labels[found.photos[row]]
        speakers = [p for panel in found.panel for p in panel if p != me]
        if me in found.panel[own] and most == 2:
            continue  # its place on the panel is taken by one that no panel lists
        if me in found.panel[own]:
            speakers += [p for p in range(15) if collection.labels[p] == own and p not in found.panel[own]]
        heard = np.bincount(collection.labels[speakers])
        assert heard.tolist() == [len(panel) for panel in found.panel]
        recognizer = Recognizer(method).fit([images[p] for p in speakers], collection.labels[speakers])
        levels = {name: torch.from_numpy(one) for name, one in recognizer.levels([images[me]]).items()}
        logits = found.fusion(levels).detach()[0].numpy()
        assert found.doubt[row] == pytest.approx(np.delete(logits, own).max() - logits[own], rel=0.01, abs=0.02)


def test_time_is_bounded_by_smaller_panels_and_then_fewer_photos(method: MML, collection: Collection) -> None:
    small = left_out(method, collection.encoded, collection.labels, comparisons=2 * 15 * 3)
    assert [len(panel) for panel in small.panel] == [2, 2, 2]
    assert len(small.photos) == 15
    fewer = left_out(method, collection.encoded, collection.labels, comparisons=6 * 3)
    assert [len(panel) for panel in fewer.panel] == [1, 1, 1]
    assert np.bincount(collection.labels[fewer.photos]).tolist() == [2, 2, 2]


def test_a_single_photo_is_never_left_out(method: MML) -> None:
    collection = collect(method, [photo(0, 0), photo(1, 0), photo(1, 1)], [0, 1, 1])
    assert sorted(left_out(method, collection.encoded, collection.labels, 1000).photos.tolist()) == [1, 2]
