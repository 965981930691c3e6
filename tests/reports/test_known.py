"""The page of what a recogniser knows."""

import json

import numpy as np
import pytest
from pages import NASTY, SHOWN, check_page, small_method
from photos import photo

from triptych import Recognizer
from triptych.reports.known import inventory_data, inventory_page


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    images = [photo(kind, number, 24) for kind in range(2) for number in range(2)]
    return Recognizer(small_method("pixel")).fit(images, np.repeat([NASTY, "pear"], 2))


def test_the_page_shows_classes_photos_and_how_far_to_trust_them(recognizer: Recognizer) -> None:
    page = inventory_page(recognizer, "fruit.triptych")
    elements = check_page(page)
    assert len(list(elements.attributes("img"))) == 4
    assert SHOWN in elements.text
    assert "2 classes, 4 photos" in elements.text
    assert "Of 4 of its own photos, each left out and recognised by the others" in elements.text
    assert all(kept[:12] in elements.text for kept in recognizer.support_["pear"].ids)
    assert "\x1b" not in page


def test_what_the_page_shows_is_plain_data(recognizer: Recognizer) -> None:
    data = inventory_data(recognizer, "fruit.triptych")
    assert json.loads(json.dumps(data)) == data


def test_photos_without_thumbnails_and_names() -> None:
    images = [photo(kind, 0, 24) for kind in range(2)]
    bare = Recognizer(small_method("pixel"), thumbnails=False).fit(images, [1, 2])
    text = check_page(inventory_page(bare, "x")).text
    assert text.count("no picture kept") == 2
    assert "No class has a second photo" in text
