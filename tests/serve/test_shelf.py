"""A shelf on the disk: what it learns, what it remembers, what it forgets."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
import torch
from pages import small_method
from registry import small_method_of
from shelved import filled, png, put, settled

from triptych import ImageError, Recognizer
from triptych.data import NamedBytes
from triptych.serve import ChangedMeanwhile, Missing, Shelf, Shelves, opened
from triptych.serve.findings import findings


def files(shelf: Shelf) -> set[str]:
    """The photos whose files are kept."""
    return {place.name for place in (shelf.folder.path / "photos").iterdir()}


def classes_of(shelf: Shelf) -> dict[str, tuple[str, ...]]:
    return {label: shelf.index.ids(label) for label in shelf.index.classes}


def test_it_learns_what_fit_learns(shelf: Shelf, method_file: str, tmp_path: Path) -> None:
    learnt = filled(shelf)
    photos = [png(kind, number) for kind in range(2) for number in range(3)]
    fitted = Recognizer(method_file).fit(photos, np.repeat(["apple", "pear"], 3))
    assert learnt.recognizer is not None
    assert learnt.recognizer.fingerprint() == fitted.fingerprint()
    assert Recognizer.load(shelf.folder.recognizer_file).fingerprint() == fitted.fingerprint()


def test_the_small_method_tells_these_photos_apart_whatever_ran_before() -> None:
    photos = [png(kind, number) for kind in range(2) for number in range(2)]
    torch.manual_seed(114)  # weights drawn from here call a pear an apple
    method = small_method("pixel", "part")
    for calibrate in (False, True):
        fitted = Recognizer(method, calibrate=calibrate).fit(photos, np.repeat(["apple", "pear"], 2))
        assert fitted.predict([png(1, 0)]).tolist() == ["pear"]


def test_it_answers_before_photos_are_left_out(shelf: Shelf) -> None:
    for kind, label in enumerate(("apple", "pear")):
        put(shelf, label, [png(kind, number) for number in range(2)])
    first = shelf.wait(shelf.index.revision, 120)
    assert first.recognizer is not None
    assert first.recognizer.predict([png(1, 0)]).tolist() == ["pear"]


def test_with_one_class_there_is_nothing_to_choose(shelf: Shelf) -> None:
    added = put(shelf, "apple", [png(0, 0)])
    learnt = shelf.wait(added.index.revision, 120, settled=True)
    assert learnt.recognizer is None
    assert files(shelf) == set(added.added)


@pytest.mark.parametrize("keep", [True, False])
def test_what_is_on_it_is_there_again(shelves: Shelves, data: Path, method_file: str, keep: bool) -> None:
    shelf = shelves.create("fruit", keep)
    for label in ("apple", "pear"):
        shelf.change(lambda index, label=label: index.with_class(label))
    learnt = filled(shelf)
    shelves.stop()
    assert learnt.recognizer is not None
    assert (files(shelf) == set(shelf.index.photos)) if keep else (files(shelf) == set())
    again = Shelves(data, method_file, "cpu")
    found = settled(again.get(shelf.id))
    assert found.recognizer is not None
    assert found.recognizer.fingerprint() == learnt.recognizer.fingerprint()
    assert again.get(shelf.id).index == shelf.index
    again.stop()


def test_a_photo_in_another_class_is_learnt_without_reading_it(shelf: Shelf, method_file: str) -> None:
    filled(shelf)
    photo = shelf.index.ids("apple")[0]
    (shelf.folder.path / "photos" / photo).unlink()
    shelf.change(lambda index: index.with_moved([photo], "pear"))
    learnt = settled(shelf)
    assert learnt.recognizer is not None
    assert {label: kept.ids for label, kept in learnt.recognizer.support_.items()} == classes_of(shelf)
    assert learnt.lost == ()


def test_undo_takes_back_one_change_after_the_other(shelf: Shelf) -> None:
    filled(shelf)
    before = classes_of(shelf)
    first, second = shelf.index.ids("apple")[:2]
    shelf.change(lambda index: index.with_moved([first], "pear"))
    shelf.change(lambda index: index.without_photos([second]))
    shelf.change(lambda index: index.with_class_renamed("pear", "Birne"))
    revision = shelf.index.revision
    for _ in range(3):
        shelf.undo()
    assert classes_of(shelf) == before
    assert shelf.index.revision == revision + 3
    learnt = settled(shelf)
    assert learnt.lost == ()
    assert learnt.recognizer is not None
    assert {label: kept.ids for label, kept in learnt.recognizer.support_.items()} == before


def test_undo_ends(shelf: Shelf) -> None:
    while shelf.undoable:
        shelf.undo()
    assert shelf.index.classes == ()
    with pytest.raises(ValueError, match="nothing to undo"):
        shelf.undo()


def test_twenty_changes_can_be_undone(shelf: Shelf) -> None:
    names = [f"plum {number}" for number in range(21)]
    for name in names:
        shelf.change(lambda index, name=name: index.with_class(name))
    assert shelf.undoable == 20
    with pytest.raises(ChangedMeanwhile):
        shelf.undo(0)
    for _ in range(20):
        shelf.undo()
    assert shelf.index.classes == ("apple", "pear", "plum 0")
    assert shelf.undoable == 0


def test_a_photo_that_was_not_learnt_is_kept(shelves: Shelves, data: Path, method_file: str) -> None:
    shelf = shelves.create("fruit", keep_photos=False)
    for label in ("apple", "pear"):
        shelf.change(lambda index, label=label: index.with_class(label))
    filled(shelf)
    staged, whole = shelf.stage(png(0, 9)), png(0, 9).data
    staged.place.write_bytes(whole[:100])  # the disk cannot read all of it now
    shelf.add("apple", [staged])
    assert settled(shelf).lost == (staged.id,)
    shelves.stop()
    assert files(shelf) == {staged.id}
    (shelf.folder.path / "photos" / staged.id).write_bytes(whole)
    again = Shelves(data, method_file, "cpu")
    learnt = settled(again.get(shelf.id))
    again.stop()
    assert learnt.lost == ()
    assert staged.id in learnt.support["apple"].ids
    assert files(shelf) == set()


def test_without_photos_kept_a_removal_is_for_good(shelves: Shelves) -> None:
    shelf = shelves.create("fruit", keep_photos=False)
    for label in ("apple", "pear"):
        shelf.change(lambda index, label=label: index.with_class(label))
    filled(shelf)
    shelf.change(lambda index: index.without_photos(index.ids("apple")[:1]))
    assert shelf.undoable == 0
    assert settled(shelf).lost == ()


def test_a_removed_photo_can_be_added_again_at_once(shelves: Shelves) -> None:
    shelf = shelves.create("fruit", keep_photos=False)
    for label in ("apple", "pear"):
        shelf.change(lambda index, label=label: index.with_class(label))
    filled(shelf)
    for _ in range(3):  # whatever is being learnt and saved meanwhile
        shelf.change(lambda index: index.without_photos(index.ids("apple")))
        put(shelf, "apple", [png(0, number) for number in range(3)])
        shelf.change(lambda index: index.without_photos(index.ids("pear")[:1]))
        put(shelf, "pear", [png(1, number) for number in range(3)])
    learnt = settled(shelf)
    assert learnt.lost == ()
    assert {label: len(kept) for label, kept in learnt.support.items()} == {"apple": 3, "pear": 3}


def test_two_editors_do_not_overwrite_each_other(shelf: Shelf) -> None:
    seen = shelf.index.revision
    shelf.change(lambda index: index.with_class("plum"), seen)
    with pytest.raises(ChangedMeanwhile, match=f"at revision {seen + 1}, expected {seen}"):
        shelf.change(lambda index: index.with_class("fig"), seen)
    staged = shelf.stage(png(0, 0))
    with pytest.raises(ChangedMeanwhile):
        shelf.add("apple", [staged], seen)
    assert not staged.place.exists()
    assert shelf.index.classes == ("apple", "pear", "plum")
    assert files(shelf) == set()


def test_the_same_photo_is_not_added_twice(shelf: Shelf) -> None:
    first = put(shelf, "apple", [png(0, 0), png(0, 0)])
    assert len(first.added) == 1
    again = put(shelf, "apple", [png(0, 0)])
    assert (again.added, again.already) == ((), first.added)
    assert again.index.revision == first.index.revision
    other = put(shelf, "pear", [png(0, 0), png(1, 0)])
    assert other.elsewhere == {first.added[0]: "apple"}
    assert len(other.added) == 1


def test_what_is_no_photo_is_refused(shelf: Shelf) -> None:
    for bad in (b"", b"# My photos", png(0, 0).data[:100]):
        with pytest.raises(ImageError, match=r"x\.png"):
            shelf.stage(NamedBytes(bad, "x.png"))
    assert list((shelf.folder.path / "incoming").iterdir()) == []


def test_a_full_disk_loses_nothing(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(shelf)
    before = shelf.index

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        shelf.stage(png(0, 7))
    with pytest.raises(OSError, match="No space left"):
        shelf.change(lambda index: index.with_class("plum"))
    monkeypatch.undo()
    assert shelf.index == before
    assert list((shelf.folder.path / "incoming").iterdir()) == []
    assert shelf.change(lambda index: index.with_class("plum")).classes[-1] == "plum"


def test_a_damaged_recogniser_is_learnt_again_from_its_photos(shelf: Shelf, shelves: Shelves, data: Path) -> None:
    filled(shelf)
    shelves.stop()
    shelf.folder.recognizer_file.write_bytes(b"nothing")
    again = Shelves(data, "mml-conv64f", "cpu")
    found = settled(again.get(shelf.id))
    again.stop()
    assert found.recognizer is not None
    assert found.lost == ()
    assert Recognizer.load(shelf.folder.recognizer_file).fingerprint() == found.recognizer.fingerprint()


def test_findings_name_the_photo_in_the_wrong_class(shelf: Shelf) -> None:
    filled(shelf, each=5)
    wrong = put(shelf, "apple", [png(1, 9)]).added[0]
    learnt = settled(shelf)
    assert learnt.recognizer is not None
    found = findings(learnt.recognizer)
    assert found is not None
    assert found.left_out == 11
    assert wrong in {one.photo for one in found.suspects if one.label == "apple" and one.answer == "pear"}
    assert sum(pair.count for pair in found.confused) == found.left_out - found.right


def test_findings_have_the_probabilities_of_photos_left_out() -> None:
    photos = [png(kind, number) for kind, number in ((0, 0), (0, 1), (1, 9), (1, 0), (1, 1), (1, 2))]
    recognizer = Recognizer(small_method_of("matching-context-conv64f")).fit(photos, np.repeat(["apple", "pear"], 3))
    known, found = recognizer.knowledge_, findings(recognizer)
    assert found is not None
    assert known.learnt.calibration is not None
    left_out, temperature = known.learnt.left_out, known.learnt.calibration.left_out_temperature
    assert temperature != known.temperature
    own = (known.logits(left_out.levels) / temperature).softmax(1).gather(1, left_out.truth[:, None])[:, 0]
    place = left_out.photos.index(found.suspects[0].photo)
    assert found.suspects[0].own == pytest.approx(float(own[place]))


def test_trouble_ends_with_the_state_that_had_it(shelves: Shelves) -> None:
    bad = [shelves.create(name) for name in ("apples", "pears")]
    for shelf in bad:
        shelf.change(lambda index: index.with_class("apple"))
        staged = shelf.stage(png(0, 0))
        staged.place.unlink()
        staged.place.mkdir()  # no file can be read there
        shelf.add("apple", [staged])
    shelves.stop()
    assert all(shelves.trouble(shelf.id) for shelf in bad)
    bad[0].change(lambda index: index.without_class("apple"))
    shelves.delete(bad[1].id)
    assert [shelves.trouble(shelf.id) for shelf in bad] == [None, None]


def test_a_file_becomes_a_shelf(shelves: Shelves, tmp_path: Path, method_file: str) -> None:
    photos = [png(kind, number) for kind in range(2) for number in range(2)]
    Recognizer(method_file).fit(photos, [7, 7, 8, 8]).save(tmp_path / "numbers.triptych")
    shelf = shelves.load(tmp_path / "numbers.triptych")
    assert (shelf.index.name, shelf.index.classes) == ("numbers", ("7", "8"))
    learnt = settled(shelf)
    assert learnt.recognizer is not None
    assert learnt.recognizer.classes_.tolist() == ["7", "8"]
    assert shelves.load(tmp_path / "numbers.triptych") is shelf
    assert shelves.load(tmp_path / "numbers.triptych", "again") is not shelf


def test_a_file_that_was_written_anew_is_on_one_shelf_and_one_that_has_changed_on_another(
    shelves: Shelves, tmp_path: Path, method_file: str
) -> None:
    file = tmp_path / "fruit.triptych"
    photos = [png(kind, number) for kind in range(2) for number in range(2)]
    Recognizer(method_file).fit(photos, ["apple", "apple", "pear", "pear"]).save(file)
    shelf = shelves.load(file)
    Recognizer(method_file, calibrate=False).fit(photos, ["apple", "apple", "pear", "pear"]).save(file)
    assert shelves.load(file) is shelf
    Recognizer(method_file).fit(photos, ["apple", "apple", "pear", "plum"]).save(file)
    with pytest.warns(
        UserWarning, match=r"other photos than the shelf 'fruit', which stays .* a new shelf, 'fruit \(2\)'"
    ):
        other = shelves.load(file)
    assert sorted(one.index.name for one in shelves) == ["fruit", "fruit (2)"]
    assert shelves.load(file) is other


def test_a_file_that_is_none_leaves_nothing_behind(shelves: Shelves, data: Path, tmp_path: Path) -> None:
    (tmp_path / "x.triptych").write_bytes(b"{}")
    with pytest.raises(ValueError, match=r"x\.triptych"):
        shelves.load(tmp_path / "x.triptych")
    assert len(shelves) == 0
    assert {place.name for place in data.iterdir()} == {".shelves.lock"}


def test_what_a_crash_left_is_removed(shelves: Shelves, data: Path, method_file: str) -> None:
    shelves.stop()
    (data / ".new-0123.triptych").write_bytes(b"half of an upload")
    (data / ".gone-0123").mkdir()
    (data / ".gone-0123" / "shelf.json").write_bytes(b"{}")
    Shelves(data, method_file, "cpu").stop()
    assert {place.name for place in data.iterdir()} == {".shelves.lock"}


def test_a_deleted_shelf_is_gone(shelves: Shelves, shelf: Shelf, data: Path) -> None:
    filled(shelf)
    shelves.delete(shelf.id)
    with pytest.raises(Missing, match="no shelf"):
        shelves.get(shelf.id)
    with pytest.raises(Missing, match="is gone"):
        shelf.change(lambda index: index.with_class("plum"))
    assert {place.name for place in data.iterdir()} == {".shelves.lock"}


@pytest.mark.parametrize("id", ["", "..", "../data", "0" * 16, "\0", "x" * 10_000])
def test_an_id_is_never_a_path(shelves: Shelves, id: str) -> None:
    for ask in (shelves.get, shelves.delete):
        with pytest.raises(Missing, match="no shelf"):
            ask(id)


def test_one_damaged_shelf_does_not_harm_the_others(shelves: Shelves, shelf: Shelf, data: Path) -> None:
    broken = shelves.create("broken")
    shelves.stop()
    broken.folder.index_file.write_text("{")
    again = Shelves(data, "mml-conv64f", "cpu")
    again.stop()
    assert again.get(shelf.id).index == shelf.index
    with pytest.raises(ValueError, match="cannot be read"):
        again.get(broken.id)
    assert broken.folder.index_file.read_text() == "{"


def test_one_process_has_the_data(shelves: Shelves, data: Path) -> None:
    with pytest.raises(RuntimeError, match="another process"), opened(data):
        pass


def test_shelves_that_rest_wake_up(shelves: Shelves, shelf: Shelf) -> None:
    learnt = filled(shelves.get(shelf.id))
    others = [shelves.create(f"shelf {number}") for number in range(9)]
    for other in others:
        shelves.get(other.id)
    assert shelf._learnt is None  # so many others were asked for since
    again = settled(shelf).recognizer
    assert again is not None
    assert learnt.recognizer is not None
    assert again.fingerprint() == learnt.recognizer.fingerprint()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no permission bits to look at")
def test_no_other_user_of_the_machine_may_look_at_the_photos(data: Path, method_file: str) -> None:
    before = os.umask(0o022)
    try:
        with opened(data / "new", method_file) as shelves:
            shelf = shelves.create("fruit")
        with opened(data, method_file) as shelves:  # a folder that was there keeps its mode
            other = shelves.create("fruit")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(one.stat().st_mode) for one in (data / "new", shelf.folder.path, other.folder.path, data)] == [
        *[0o700] * 3,
        0o755,
    ]
