"""Prediction sets: against naive loops, and their coverage of exchangeable scores."""

from pathlib import Path

import numpy as np
import pytest
from photos import photo
from PIL import Image

from triptych import Recognizer
from triptych.data import ImageError
from triptych.recognizer.sets import fewest_left_out, masses_above, prediction_sets, set_threshold


def _photos(classes: int, each: int) -> tuple[list[Image.Image], list[str]]:
    kinds = np.repeat(np.arange(classes), each).tolist()
    return [photo(kind, number) for number, kind in enumerate(kinds)], [f"kind{kind}" for kind in kinds]


def _forecasts(photos: int, classes: int, seed: int, sharpness: float = 2.0) -> np.ndarray:
    logits = sharpness * np.random.default_rng(seed).normal(size=(photos, classes))
    return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def test_masses_are_those_of_naive_loops() -> None:
    probabilities = _forecasts(6, 5, seed=0)
    probabilities[1, :2] = probabilities[1, 0]  # equals: the first ranks above
    masses = masses_above(probabilities)
    for row, own in enumerate(probabilities):
        for n, mine in enumerate(own):
            above = [p for m, p in enumerate(own) if p > mine or (p == mine and m < n)]
            assert masses[row, n] == pytest.approx(sum(above))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.9, float("inf")])
def test_sets_are_the_classes_of_little_mass_above(threshold: float) -> None:
    probabilities = _forecasts(20, 4, seed=1)
    masses = masses_above(probabilities)
    for own, mass, found in zip(probabilities, masses, prediction_sets(probabilities, threshold), strict=True):
        assert set(found) == {n for n in range(4) if mass[n] <= threshold}
        assert list(found) == sorted(found, key=lambda n: -own[n])
        assert found[0] == own.argmax()


@pytest.mark.parametrize("coverage", [0.1, 0.7, 0.8, 0.9, 0.95])
@pytest.mark.parametrize("photos", [1, 9, 10, 40])
def test_threshold_is_the_least_that_holds_enough_photos(coverage: float, photos: int) -> None:
    masses = np.random.default_rng(photos).random(photos)
    found = set_threshold(masses, coverage)
    enough = [one for one in sorted(masses) if round((photos + 1) * coverage - (masses <= one).sum(), 9) <= 0]
    assert found == (enough[0] if enough else float("inf"))
    assert np.isfinite(found) == (photos >= fewest_left_out(coverage))


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("sharpness", [0.5, 1.0])
def test_sets_of_exchangeable_photos_cover_as_stated(coverage: float, sharpness: float) -> None:
    """However wrong the probabilities are: the classes are drawn from others, of ``sharpness`` times the logits."""
    rng = np.random.default_rng(2)
    runs, photos, held, sizes = 600, 40, [], []
    for run in range(runs):
        probabilities = _forecasts(photos + 1, 6, seed=run)
        true = probabilities**sharpness
        truth = [rng.choice(6, p=own / own.sum()) for own in true]
        masses = masses_above(probabilities)[np.arange(photos + 1), truth]
        (found,) = prediction_sets(probabilities[-1:], set_threshold(masses[:-1], coverage))
        held.append(truth[-1] in found)
        sizes.append(len(found))
    error = (coverage * (1 - coverage) / runs) ** 0.5
    assert np.mean(held) > coverage - 3 * error
    if sharpness < 1:  # often wrong: no set is larger than it must be, but for the photos' finite number
        assert np.mean(held) < coverage + 1 / (photos + 1) + 3 * error
    assert np.mean(sizes) < 6


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer("mml-conv64f").fit(*_photos(3, 4))


def test_sets_of_a_recogniser_hold_its_labels_and_its_answer_comes_first(recognizer: Recognizer) -> None:
    photos, _ = _photos(3, 4)
    sets = recognizer.predict_sets(photos, coverage=0.8)
    assert [one[0] for one in sets] == recognizer.predict(photos).tolist()
    assert {label for one in sets for label in one} <= set(recognizer.classes_.tolist())
    answers = list(recognizer.answers(photos, coverage=0.8))
    assert [answer.prediction_set for answer in answers] == sets
    assert next(recognizer.answers(photos[:1])).prediction_set is None
    wide, narrow = (recognizer.predict_sets(photos, coverage) for coverage in (0.9, 0.5))
    assert all(set(small) <= set(large) for small, large in zip(narrow, wide, strict=True))
    assert recognizer.predict_sets([]) == []


def test_a_coverage_that_needs_more_photos_gives_all_classes_and_a_warning(recognizer: Recognizer) -> None:
    photos, _ = _photos(3, 4)
    with pytest.warns(UserWarning, match=r"coverage 0\.95: 12 photos .* need 19; every set holds all classes"):
        sets = recognizer.predict_sets(photos[:2], coverage=0.95)
    assert [sorted(one) for one in sets] == [sorted(recognizer.classes_.tolist())] * 2


@pytest.mark.parametrize("coverage", [0.0, 1.0, float("nan"), "much", None])
def test_a_coverage_that_is_no_share_is_refused(recognizer: Recognizer, coverage: object) -> None:
    with pytest.raises(ValueError, match="coverage must be between 0 and 1"):
        recognizer.predict_sets([], coverage)


def test_without_left_out_photos_coverage_is_an_error() -> None:
    photos, labels = _photos(2, 1)
    single = Recognizer("mml-conv64f").fit(photos, labels)
    with pytest.raises(ValueError, match=r"coverage of sets is not known: .* add a second one to some class"):
        single.predict_sets(photos)
    with pytest.raises(ValueError, match="fit with calibrate=True"):
        Recognizer("mml-conv64f", calibrate=False).fit(*_photos(2, 2)).predict_sets(photos)


def test_a_photo_that_cannot_be_read_is_named(recognizer: Recognizer) -> None:
    with pytest.raises(ImageError, match=r"missing\.jpg"):
        recognizer.predict_sets(["missing.jpg"], coverage=0.8)
    (answer,) = recognizer.answers(["missing.jpg"], coverage=0.8)
    assert answer.prediction_set is None


def test_sets_survive_saving_and_do_not_depend_on_how_classes_came(recognizer: Recognizer, tmp_path: Path) -> None:
    photos, labels = _photos(3, 4)
    recognizer.save(tmp_path / "x.triptych")
    loaded = Recognizer.load(tmp_path / "x.triptych")
    first = [i for i, label in enumerate(labels) if label != labels[-1]]
    rest = [photo for photo, label in zip(photos, labels, strict=True) if label == labels[-1]]
    grown = Recognizer("mml-conv64f").fit([photos[i] for i in first], [labels[i] for i in first]).add(rest, labels[-1])
    sets = recognizer.predict_sets(photos, coverage=0.9)
    assert loaded.predict_sets(photos, coverage=0.9) == sets == grown.predict_sets(photos, coverage=0.9)
    assert grown.calibration_ == recognizer.calibration_ == loaded.calibration_
