"""Leave-one-out: what it sees is what a recogniser without the photo would say, however the classes came about."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from photos import photo
from torch import Tensor
from toys import small_method

from triptych import Recognizer
from triptych.methods import MML, Encoded, Summary
from triptych.recognizer.answering import _read_one
from triptych.recognizer.leaving_out import _shares, leave_one_out, most_left_out
from triptych.support import Support

Counted = Callable[[Callable[[], Any]], int]


def stripes(shots: dict[str, int]) -> tuple[list[Any], list[str]]:
    """Photos of the kinds "0", "1", ...: so many of each."""
    images = [photo(int(kind), number) for kind, shot in shots.items() for number in range(shot)]
    return images, [kind for kind, shot in shots.items() for _ in range(shot)]


def classes(recognizer: Recognizer) -> list[Support]:
    return [recognizer.support_[label] for label in recognizer.classes_]


def kept(photos: int, views: int = 1, side: int = 1, ids: tuple[str, ...] = ()) -> Support:
    """A class of so many photos, without what is in their maps."""
    encoded = Encoded({"maps": torch.zeros(photos * views, 64, side, side, device="meta")})
    return Support(encoded, views, ids or ("",) * photos, (), (), {})


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How many photos are compared with classes while something is done."""
    calls: list[int] = []
    plain = MML.compare

    def counting(self: MML, query: Encoded, summaries: Sequence[Summary]) -> dict[str, Tensor]:
        calls.append(len(query) * len(summaries))
        return plain(self, query, summaries)

    monkeypatch.setattr(MML, "compare", counting)

    def count(action: Callable[[], Any]) -> int:
        calls.clear()
        action()
        return sum(calls)

    return count


@pytest.mark.parametrize("views", [1, 2])
def test_leaving_a_photo_out_is_fitting_without_it_and_one_of_each_other_class(views: int) -> None:
    images, labels = stripes({"0": 3, "1": 3, "2": 3})
    recognizer = Recognizer(small_method(), views=views).fit(images, labels)
    supports = classes(recognizer)
    left_out = leave_one_out(recognizer.method_, supports)
    assert left_out.truth.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    by_id = {_read_one(recognizer.knowledge_, image).id: image for image in images}
    for position, image_id in enumerate(left_out.photos):
        rest = Recognizer(small_method(), views=views, calibrate=False).fit(images, labels).remove_photo(image_id)
        for other in {0, 1, 2} - {position // 3}:
            rest.remove_photo(supports[other].ids[-1])
        for level, scores in rest.levels([by_id[image_id]]).items():
            found = left_out.levels[level][position]
            torch.testing.assert_close(found, torch.from_numpy(scores[0]), rtol=1e-3, atol=0.05)


def test_a_class_of_one_photo_is_not_left_out() -> None:
    recognizer = Recognizer(small_method()).fit(*stripes({"0": 1, "1": 2}))
    left_out = leave_one_out(recognizer.method_, classes(recognizer))
    assert left_out.truth.tolist() == [1, 1]
    assert left_out.levels["pixel"].shape == (2, 2)


def test_with_single_photos_alone_there_is_nothing_to_leave_out() -> None:
    recognizer = Recognizer(small_method()).fit(*stripes({"0": 1, "1": 1}))
    left_out = leave_one_out(recognizer.method_, classes(recognizer))
    assert list(left_out.levels) == ["distribution", "pixel", "part", "plda"]
    assert {tuple(scores.shape) for scores in left_out.levels.values()} == {(0, 2)}


def test_more_views_leave_out_fewer_photos() -> None:
    supports = [kept(400, views, side=21) for views in (1, 4)]
    assert [most_left_out(small_method(), [one]) for one in supports] == [149, 37]


def test_small_maps_leave_out_fewer_photos_of_many_classes() -> None:
    """Turning from class to class takes its time, too."""
    one = kept(2, 1, side=7)
    assert [most_left_out(small_method(), [one] * classes) for classes in (10, 200, 10_000)] == [256, 181, 32]


def test_of_many_classes_a_new_one_takes_the_place_of_one_at_most() -> None:
    supports = [kept(2, ids=(f"{n}a", f"{n}b")) for n in range(200)]
    before, after = _shares(supports[1:], 50), _shares(supports, 50)[1:]
    assert sum(before) == 50
    assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1


def test_of_many_classes_without_ids_those_left_out_come_from_all_over() -> None:
    taken = _shares([kept(2)] * 200, 50)
    assert sum(taken) == 50
    assert 10 < sum(taken[100:]) < 40


def test_changes_teach_what_fitting_anew_does_to_the_last_bit(tmp_path: Path) -> None:
    images, labels = stripes({"0": 4, "1": 3, "2": 1, "3": 2})
    wanted = Recognizer(small_method()).fit(images, labels)
    changed = Recognizer(small_method()).fit(images[:3] + images[4:6], ["0"] * 3 + ["1"] * 2)
    assert changed.calibration_ is not None
    changed.add(images[3:4], "0").add(images[8:], "3")
    changed.add([photo(5, 0), photo(5, 1)], "gone")
    changed.save(tmp_path / "x.triptych")
    changed = Recognizer.load(tmp_path / "x.triptych")
    changed.add([*images[6:7], photo(1, 77)], "1").add(images[7:8], "2").remove("gone")
    changed.remove_photo(_read_one(changed.knowledge_, photo(1, 77)).id)
    one, other = wanted.knowledge_.learnt.left_out, changed.knowledge_.learnt.left_out
    assert (one.photos, one.classes, one.truth.tolist()) == (other.photos, other.classes, other.truth.tolist())
    for level, scores in one.levels.items():
        assert torch.equal(scores, other.levels[level])
    assert wanted.calibration_ == changed.calibration_
    assert changed.fingerprint() == wanted.fingerprint()


def test_a_change_is_compared_with_the_rest_and_the_rest_is_left_alone(compared: Counted) -> None:
    images, labels = stripes({str(kind): 2 for kind in range(8)})
    recognizer = Recognizer(small_method())
    assert compared(lambda: recognizer.fit(images, labels)) == 16 * 8
    # Its photos with all, all others with it.
    assert compared(lambda: recognizer.add([photo(8, 0), photo(8, 1)], "8")) == 2 * 9 + 16
    assert compared(lambda: recognizer.remove("8")) == 0
    # Its three photos with all classes and all others with it, less what a photo that sorts last has in common.
    assert compared(lambda: recognizer.add([photo(0, 2)], "0")) <= 3 * 8 + 14


def test_fit_learns_all_there_is_and_what_follows_only_looks(compared: Counted) -> None:
    images, labels = stripes({"0": 2, "1": 2})
    recognizer = Recognizer(small_method())
    assert compared(lambda: recognizer.fit(images, labels)) == 8
    assert compared(lambda: recognizer.predict(images[:1])) == 2  # the photo with both classes
    assert compared(lambda: recognizer.predict_proba(images[:1])) == 2
    assert compared(lambda: recognizer.predict(images[:1], unknown="none")) == 2
    assert compared(lambda: (recognizer.calibration_, recognizer.fusion_, recognizer.fingerprint())) == 0
    assert compared(lambda: recognizer.fit(images, labels)) == 8  # forgets what was left out


def test_without_calibration_nothing_is_left_out(compared: Counted) -> None:
    images, labels = stripes({"0": 2, "1": 2})
    recognizer = Recognizer(small_method(), calibrate=False)
    assert compared(lambda: recognizer.fit(images, labels)) == 2  # one photo with both: are scores finite?
    assert compared(lambda: recognizer.add([photo(2, 0), photo(2, 1)], "2").remove("0")) == 3 + 2
    assert recognizer.calibration_ is None
    assert recognizer.fusion_ is recognizer.method_.fusion
    with pytest.raises(ValueError, match="no photo was left out to learn from; fit with calibrate=True"):
        recognizer.predict(images, unknown="none")
