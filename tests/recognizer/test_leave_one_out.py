"""Leave-one-out: what it sees is what a recogniser without the photo would say, however the classes came about."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from photos import photo
from torch import Tensor

from triptych import Recognizer
from triptych.methods import MML, Summary
from triptych.recognizer.estimator import _read_one
from triptych.recognizer.leave_one_out import _shares, leave_one_out, most_left_out
from triptych.support import Support

Counted = Callable[[Callable[[], Any]], int]


def stripes(shots: dict[str, int]) -> tuple[list[Any], list[str]]:
    """Photos of the kinds "0", "1", ...: so many of each."""
    images = [photo(int(kind), number) for kind, shot in shots.items() for number in range(shot)]
    return images, [kind for kind, shot in shots.items() for _ in range(shot)]


def classes(recognizer: Recognizer) -> list[Support]:
    return [recognizer.support_[label] for label in recognizer.classes_]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Counted:
    """How many photos are compared with classes while something is done."""
    calls: list[int] = []
    plain = MML.compare

    def counting(self: MML, query: Tensor, summaries: Sequence[Summary], *rest: Any) -> dict[str, Tensor]:
        calls.append(len(query) * len(summaries))
        return plain(self, query, summaries, *rest)

    monkeypatch.setattr(MML, "compare", counting)

    def count(action: Callable[[], Any]) -> int:
        calls.clear()
        action()
        return sum(calls)

    return count


@pytest.mark.parametrize("views", [1, 2])
def test_leaving_a_photo_out_is_fitting_without_it_and_one_of_each_other_class(views: int) -> None:
    images, labels = stripes({"0": 3, "1": 3, "2": 3})
    recognizer = Recognizer(views=views).fit(images, labels)
    supports = classes(recognizer)
    left_out = leave_one_out(recognizer.method_, supports)
    assert left_out.truth.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    by_id = {_read_one(recognizer.knowledge_, image).id: image for image in images}
    for position, image_id in enumerate(left_out.photos):
        rest = Recognizer(views=views).fit(images, labels).remove_photo(image_id)
        for other in {0, 1, 2} - {position // 3}:
            rest.remove_photo(supports[other].ids[-1])
        for level, scores in rest.levels([by_id[image_id]]).items():
            found = left_out.levels[level][position]
            torch.testing.assert_close(found, torch.from_numpy(scores[0]), rtol=1e-3, atol=0.05)


def test_a_class_of_one_photo_is_not_left_out() -> None:
    recognizer = Recognizer().fit(*stripes({"0": 1, "1": 2}))
    left_out = leave_one_out(recognizer.method_, classes(recognizer))
    assert left_out.truth.tolist() == [1, 1]
    assert left_out.levels["pixel"].shape == (2, 2)


def test_with_single_photos_alone_there_is_nothing_to_leave_out() -> None:
    recognizer = Recognizer().fit(*stripes({"0": 1, "1": 1}))
    left_out = leave_one_out(recognizer.method_, classes(recognizer))
    assert list(left_out.levels) == ["distribution", "pixel", "part"]
    assert {tuple(scores.shape) for scores in left_out.levels.values()} == {(0, 2)}


def test_more_views_leave_out_fewer_photos() -> None:
    supports = [
        Support(torch.zeros(400, views, 64, 21, 21, device="meta"), ("x",) * 400, (), (), {}) for views in (1, 4)
    ]
    assert [most_left_out([one]) for one in supports] == [149, 37]


def test_small_maps_leave_out_fewer_photos_of_many_classes() -> None:
    """Turning from class to class takes its time, too."""
    one = Support(torch.zeros(2, 1, 64, 7, 7, device="meta"), ("x",) * 2, (), (), {})
    assert [most_left_out([one] * classes) for classes in (10, 200, 10_000)] == [256, 181, 32]


def test_of_many_classes_a_new_one_takes_the_place_of_one_at_most() -> None:
    kept = [Support(torch.empty(0), (f"{n}a", f"{n}b"), (), (), {}) for n in range(200)]
    before, after = _shares(kept[1:], 50), _shares(kept, 50)[1:]
    assert sum(before) == 50
    assert sum(one != other for one, other in zip(before, after, strict=True)) <= 1


def test_of_many_classes_without_ids_those_left_out_come_from_all_over() -> None:
    taken = _shares([Support(torch.empty(0), ("", ""), (), (), {})] * 200, 50)
    assert sum(taken) == 50
    assert 10 < sum(taken[100:]) < 40


def test_changes_teach_what_fitting_anew_does_to_the_last_bit(tmp_path: Path) -> None:
    images, labels = stripes({"0": 4, "1": 3, "2": 1, "3": 2})
    wanted = Recognizer().fit(images, labels)
    changed = Recognizer().fit(images[:3] + images[4:6], ["0"] * 3 + ["1"] * 2)
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
    recognizer = Recognizer().fit(*stripes({str(kind): 2 for kind in range(8)}))
    assert compared(lambda: recognizer.calibration_) == 16 * 8
    recognizer.add([photo(8, 0), photo(8, 1)], "8")
    assert compared(lambda: recognizer.calibration_) == 2 * 9 + 16  # its photos with all, all others with it
    recognizer.remove("8")
    assert compared(lambda: recognizer.calibration_) == 0
    recognizer.add([photo(0, 2)], "0")
    # Its three photos with all classes and all others with it, less what a photo that sorts last has in common.
    assert compared(lambda: recognizer.calibration_) <= 3 * 8 + 14


def test_fitting_anew_forgets_what_was_left_out(compared: Counted) -> None:
    images, labels = stripes({"0": 2, "1": 2})
    recognizer = Recognizer().fit(images, labels)
    assert compared(lambda: recognizer.calibration_) == 8
    recognizer.fit(images, labels)
    assert compared(lambda: recognizer.calibration_) == 8
