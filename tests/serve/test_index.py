"""What lies on a shelf, as data."""

import json
from dataclasses import replace
from functools import partial

import pytest

from triptych.serve.index import Index, Missing, check_name, file_name

ONE, TWO, THREE = ("1" * 32, "2" * 32, "3" * 32)


@pytest.fixture
def index() -> Index:
    empty = Index("fruit", True, "some-method").with_class("apple").with_class("pear")
    return empty.with_photos("apple", {TWO: "2.jpg", ONE: "1.jpg"}).with_photos("pear", {THREE: "3.jpg"})


def test_photos_are_added_moved_and_removed(index: Index) -> None:
    assert index.ids("apple") == (ONE, TWO)
    moved = index.with_moved([ONE], "pear")
    assert (moved.ids("apple"), moved.ids("pear")) == ((TWO,), (ONE, THREE))
    assert moved.without_photos([ONE]).ids("pear") == (THREE,)
    assert moved.revision == index.revision + 1
    assert index.ids("apple") == (ONE, TWO)  # nothing changes what is there


def test_a_photo_that_is_there_stays_in_its_class(index: Index) -> None:
    assert index.with_photos("pear", {ONE: "again.jpg"}) is index


def test_a_class_gets_another_name_and_goes_with_its_photos(index: Index) -> None:
    renamed = index.with_class_renamed("apple", "Apfel")
    assert renamed.classes == ("Apfel", "pear")
    assert renamed.ids("Apfel") == (ONE, TWO)
    assert set(renamed.without_class("Apfel").photos) == {THREE}


def test_what_is_not_there_is_said(index: Index) -> None:
    for ask in (
        lambda: index.with_photos("plum", {}),
        lambda: index.with_moved([ONE], "plum"),
        lambda: index.without_class("plum"),
        lambda: index.with_class_renamed("plum", "x"),
        lambda: index.without_photos(["4" * 32]),
        lambda: index.with_moved(["../apple"], "pear"),
    ):
        with pytest.raises(Missing, match="on this shelf"):
            ask()
    for again in (lambda: index.with_class("pear"), lambda: index.with_class_renamed("apple", "pear")):
        with pytest.raises(ValueError, match="there is a class 'pear' already"):
            again()


@pytest.mark.parametrize(
    "name", ["", " plum", "plum ", "a\nb", "\x1b[31m", "\ud800", "\u202eplum", "x" * 201, "..", "."]
)
def test_what_cannot_be_shown_is_no_name(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of a class"):
        check_name(name, "a class")


@pytest.mark.parametrize("name", ["../../etc", "C:\\x", "a/b", "ليمون", "柠檬 👩‍🌾", "<script>", "CON"])
def test_any_other_text_is_a_name(name: str) -> None:
    index = Index(name, False, "m").with_class(name)
    assert Index.from_bytes(index.to_bytes(), "x") == index


def test_a_file_s_name_has_no_folder() -> None:
    assert [file_name(name) for name in ("/a/b.jpg", "a\\b.jpg", "b.jpg", "b\x07.jpg", "")] == [
        "b.jpg",
        "b.jpg",
        "b.jpg",
        "b\ufffd.jpg",
        "",
    ]


def test_it_is_read_as_it_was_written(index: Index) -> None:
    assert Index.from_bytes(index.to_bytes(), "x") == index


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"version": 2},
        {"version": "1"},
        {"revision": "1"},
        {"keep_photos": 1},
        {"name": 3},
        {"name": ""},
        {"classes": ["apple", "apple"]},
        {"classes": ["apple", 3]},
        {"classes": 3},
        {"photos": {"../x": [0, "1.jpg"]}},
        {"photos": {ONE: [7, "1.jpg"]}},
        {"photos": {ONE: [0, 1]}},
        {"photos": {ONE: 0}},
        {"photos": [ONE]},
    ],
)
def test_a_damaged_index_is_one_line(index: Index, changes: dict[str, object]) -> None:
    content = json.loads(index.to_bytes()) | changes
    with pytest.raises(ValueError, match=r"^x: not the index of a shelf, or damaged"):
        Index.from_bytes(json.dumps(content).encode(), "x")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"{}", b"[" * 100_000])
def test_what_is_no_index_is_one_line(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"^x: not the index of a shelf, or damaged"):
        Index.from_bytes(data, "x")


@pytest.mark.parametrize("name", ["\u200b", "plum\u200b", "\ufeffplum", "pl\xadum", "plum\u200d", "\u3164"])
def test_a_new_name_holds_nothing_that_cannot_be_seen(name: str) -> None:
    index = Index("fruit", True, "some-method").with_class("plum")
    for change in (index.with_class, partial(index.with_class_renamed, "plum"), index.with_settings):
        with pytest.raises(ValueError, match="characters that can be shown"):
            change(name)
    assert Index.from_bytes(replace(index, classes=(name,)).to_bytes(), "x").classes == (name,)  # of an earlier version


def test_joiners_stay_inside_a_name() -> None:
    names = ("\U0001f468\u200d\U0001f33e", "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645")
    index = Index("fruit", True, "some-method")
    assert index.with_class(names[0]).with_class(names[1]).classes == names


def test_a_change_that_changes_nothing_is_none() -> None:
    index = Index("fruit", True, "some-method").with_class("plum")
    assert (
        index.with_settings() is index.with_settings("fruit", True) is index.with_class_renamed("plum", "plum") is index
    )
