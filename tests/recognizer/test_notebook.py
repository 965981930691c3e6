"""What a notebook shows of a recogniser and of an explanation."""

import sys

import pytest
from pages import NASTY, small_method
from photos import photo

from triptych import Recognizer


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    images = [photo(kind, number, 24) for kind in range(2) for number in range(2)]
    return Recognizer(small_method("pixel")).fit(images, [NASTY, NASTY, "pear", "pear"])


def test_a_recogniser_shows_its_classes_and_photos(recognizer: Recognizer) -> None:
    shown = recognizer._repr_html_()
    assert "2 classes, 4 photos" in shown
    assert "left out" in shown
    assert shown.count("<img") == 4
    assert recognizer._repr_mimebundle_()["text/html"] == shown


def test_before_it_is_fitted_it_shows_its_settings() -> None:
    assert Recognizer("<b>")._repr_html_().startswith("<pre>Recognizer(method=&#x27;&lt;b&gt;")


def test_an_explanation_shows_its_picture(recognizer: Recognizer) -> None:
    shown = recognizer.explain(photo(1, 5, 24))._repr_html_()
    assert "data:image/png;base64," in shown


def test_without_matplotlib_it_shows_the_answers(recognizer: Recognizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    shown = recognizer.explain(photo(1, 5, 24))._repr_html_()
    assert "pear" in shown
    assert "triptych[plot]" in shown


def test_what_users_typed_is_escaped(recognizer: Recognizer) -> None:
    for shown in (recognizer._repr_html_(), recognizer.explain(photo(0, 5, 24))._repr_html_()):
        assert "<script" not in shown
        assert "&lt;script&gt;" in shown
        shown.encode()
        assert not any(bad in shown for bad in ("\x1b", "\u202e"))
