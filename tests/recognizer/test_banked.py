"""A recogniser whose classes lie in a bank answers as one whose classes lie in memory."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from photos import photo
from PIL import Image
from sklearn.base import clone
from toys import Centred, small_method

from triptych import Recognizer
from triptych.bank import Bank, Row
from triptych.methods import Method, Preprocessing, SalientConfig, SalientMML
from triptych.recognizer import bank_sample, banked, changing
from triptych.recognizer.file import checksum
from triptych.system.packed import pack, unpack

SHOTS = {"a": 3, "b": 1, "c": 2, "d": 2}
QUERY = [photo(kind, 20) for kind in range(4)]


def support() -> tuple[list[Image.Image], list[str]]:
    images = [photo(kind, number) for kind, shot in enumerate(SHOTS.values()) for number in range(shot)]
    return images, [label for label, shot in SHOTS.items() for _ in range(shot)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "bank"


def in_bank(place: Path, method: Method | None = None, **settings: Any) -> Recognizer:
    return Recognizer(method or small_method(), bank=place, **settings).fit(*support())


def salient() -> SalientMML:
    """The levels of the default method, over an untrained network for small photos."""
    config = SalientConfig(backbone="efficientnet-lite0", preprocessing=Preprocessing(side=64))
    return SalientMML(config).eval()


def test_few_classes_are_answered_bit_for_bit_as_in_memory(place: Path) -> None:
    method = small_method()
    memory = Recognizer(method).fit(*support())
    for recognizer in (in_bank(place, method), Recognizer.load(place)):
        assert_array_equal(recognizer.classes_, memory.classes_)
        assert recognizer.photo_counts() == memory.photo_counts() == SHOTS
        assert recognizer.calibration_ == memory.calibration_
        for one in QUERY[:1]:
            assert_array_equal(recognizer.predict_proba([one]), memory.predict_proba([one]))
            for level, scores in memory.levels([one]).items():
                assert_array_equal(recognizer.levels([one])[level], scores)
            assert recognizer.predict_sets([one], coverage=0.5) == memory.predict_sets([one], coverage=0.5)
            assert recognizer.predict([one], unknown="?") == memory.predict([one], unknown="?")
            assert recognizer.explain(one).summary() == memory.explain(one).summary()


def test_what_the_default_method_keeps_in_a_bank_answers_as_what_it_keeps_in_memory(place: Path) -> None:
    """Up to what bytes and half precision round: maps in memory, what is compared in a bank."""
    method = salient()
    memory = Recognizer(method).fit(*support())
    for recognizer in (in_bank(place, method), Recognizer.load(place)):
        assert set(recognizer.support_["a"].encoded.tensors) != set(memory.support_["a"].encoded.tensors)
        assert recognizer.calibration_ is not None
        assert recognizer.calibration_.accuracy == memory.calibration_.accuracy
        assert len(recognizer.calibration_.known) == len(memory.calibration_.known)
        for level, scores in memory.levels(QUERY[:2]).items():
            assert_allclose(recognizer.levels(QUERY[:2])[level], scores, atol=0.02 * np.ptp(scores))
        assert_allclose(recognizer.predict_proba(QUERY), memory.predict_proba(QUERY), atol=0.03)
        assert recognizer.explain(QUERY[0], top=1).label == memory.explain(QUERY[0], top=1).label


def test_a_method_that_adapts_classes_in_a_way_of_its_own_works_too(place: Path) -> None:
    method = Centred().eval()
    memory, recognizer = Recognizer(method).fit(*support()), in_bank(place, method)
    assert_array_equal(recognizer.predict_proba(QUERY[:1]), memory.predict_proba(QUERY[:1]))


def test_changes_are_seen_by_every_handle(place: Path) -> None:
    one, other = in_bank(place), Recognizer.load(place)
    before = other.fingerprint()
    one.add([photo(7, 0), photo(7, 1)], "new")
    assert other.fingerprint() != before
    assert other.classes_.tolist() == ["a", "b", "c", "d", "new"]
    assert other.predict([photo(7, 20)]).tolist() == ["new"]
    assert other.knows(photo(7, 0))
    assert not other.knows(photo(7, 20))
    other.remove("new")
    assert one.predict([photo(7, 20)])[0] in SHOTS
    [answer] = one.answers([photo(0, 0)], unknown="?")
    assert answer.in_support
    assert answer.probabilities.shape == (4,)
    assert answer.nearest == "a"


def test_adding_and_removing_is_as_fitting_again_after_it_was_renewed(place: Path) -> None:
    """Twice as many photos: what is known of all classes together is learnt anew."""
    images, labels = support()
    more = [photo(8, number) for number in range(8)]
    grown = in_bank(place).add(more, "e")
    memory = Recognizer(small_method()).fit(images + more, labels + ["e"] * 8)
    assert grown.calibration_ == memory.calibration_
    assert Recognizer.load(place).calibration_ == memory.calibration_
    assert_array_equal(grown.predict_proba(QUERY[:1]), memory.predict_proba(QUERY[:1]))


def test_photos_and_classes_are_removed_as_in_memory(place: Path) -> None:
    recognizer = in_bank(place)
    [first, *_] = recognizer.support_["a"].ids
    recognizer.remove_photo(first[:12])
    assert recognizer.photo_counts()["a"] == 2
    assert first not in recognizer.support_["a"].ids
    [only] = recognizer.support_["b"].ids
    with pytest.raises(ValueError, match="is the only one of class 'b'"):
        recognizer.remove(photo=only)
    with pytest.raises(ValueError, match="0 photos have an id that begins with"):
        recognizer.remove_photo("no digits")
    with pytest.raises(ValueError, match="no class 'x' in"):
        recognizer.remove("x")
    recognizer.remove("a").remove("b")
    with pytest.raises(ValueError, match="would leave one class"):
        recognizer.remove("c")
    assert recognizer.classes_.tolist() == ["c", "d"]


def test_the_same_photo_is_refused_in_two_classes_and_counted_once_in_one(place: Path) -> None:
    recognizer = in_bank(place)
    before = recognizer.fingerprint()
    with pytest.raises(ValueError, match="the same photo is given as 'a' and as 'new'"):
        recognizer.add([photo(0, 0)], "new")
    with pytest.warns(UserWarning, match="counted once"):
        recognizer.add([photo(0, 0)], "a")
    assert recognizer.fingerprint() == before
    with pytest.warns(UserWarning, match="counted once"):
        recognizer.add([photo(0, 0), photo(0, 30)], "a")
    assert len(recognizer.known_.bank) == sum(SHOTS.values()) + 1


def test_labels_come_back_as_they_were(place: Path) -> None:
    images, labels = support()
    numbers = [ord(label) for label in labels]
    recognizer = Recognizer(small_method(), bank=place).fit(images, np.array(numbers))
    assert Recognizer.load(place).predict(QUERY[:1]).tolist() == [97]
    assert Recognizer.load(place).classes_.dtype == recognizer.classes_.dtype == np.int64
    assert 97 in recognizer.support_
    assert recognizer.support_.written("97") == 97
    assert recognizer.support_.written("x") == "x"
    recognizer.add([photo(9, 0)], "text")
    assert Recognizer.load(place).classes_.dtype == object
    with pytest.raises(ValueError, match="cannot be saved"):
        recognizer.add([photo(9, 1)], ("a", "tuple"))


def test_a_bank_is_not_fitted_twice_and_an_error_leaves_none(place: Path) -> None:
    images, labels = support()
    with pytest.raises(ValueError, match="the same photo is given as"):
        Recognizer(small_method(), bank=place).fit([*images, images[0]], [*labels, "other"])
    assert not place.exists() or not list(place.iterdir())
    in_bank(place)
    with pytest.raises(ValueError, match="a bank already; add to it, or name another place"):
        in_bank(place)
    with pytest.raises(ValueError, match="components are not for a bank"):
        in_bank(place.with_name("other"), components=4)


def test_what_another_process_has_learnt_is_seen_and_kept(place: Path) -> None:
    """A recogniser that was open before answers as one that is opened now, and does not write its old state back."""
    before = in_bank(place)
    other = Recognizer.load(place)
    for number in range(2):
        other.add([photo(7 + number, shade) for shade in range(6)], f"new {number}")  # twice as many photos: it learns
    learnt = Recognizer.load(place)
    assert before.calibration_ == learnt.calibration_
    assert_array_equal(before.predict_proba(QUERY), learnt.predict_proba(QUERY))
    before.add([photo(9, 0)], 7)  # a label of another type: the state is written
    assert Recognizer.load(place).calibration_ == learnt.calibration_
    assert Recognizer.load(place).known_.photos == learnt.known_.photos


def test_a_bank_that_is_fitted_anew_is_not_taken_for_the_one_before(place: Path) -> None:
    before = in_bank(place)
    before.known_.bank.drop()
    Recognizer(small_method(), bank=place).fit([*QUERY[:2], photo(8, 0)], ["x", "y", "z"])
    with pytest.raises(ValueError, match="fitted anew since it was opened; load it again"):
        before.predict(QUERY[:1])
    assert list(Recognizer.load(place).classes_) == ["x", "y", "z"]


def test_a_bank_is_opened_while_another_process_adds(place: Path) -> None:
    recognizer, stop = in_bank(place, calibrate=False), threading.Event()

    def add() -> None:
        for number in range(12):
            recognizer.add([photo(9, number)], "new")
            if stop.is_set():
                return

    with ThreadPoolExecutor() as threads:
        adding = threads.submit(add)
        try:
            while not adding.done():
                Bank(str(place)).check(Recognizer.load(place).known_.axes.axes.shape[1])
        finally:
            stop.set()
        adding.result()


def test_labels_are_read_once(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    in_bank(place)
    recognizer = Recognizer.load(place)
    assert recognizer._known.version == recognizer.known_.bank.version
    before = recognizer.classes_
    monkeypatch.setattr(Bank, "counts", lambda _: pytest.fail("labels were read again"))
    assert recognizer.classes_ is before


def test_a_class_that_comes_while_photos_are_answered_changes_no_width(place: Path) -> None:
    recognizer, other = in_bank(place), Recognizer.load(place)

    def photos() -> Iterator[Image.Image]:
        yield from QUERY * 8  # a batch
        other.add([photo(9, 0)], "new")
        other.remove("a")
        yield photo(9, 1)

    assert recognizer.predict_proba(photos()).shape == (33, 4)
    answers = list(recognizer.answers(iter([QUERY[1], photo(9, 1)])))
    assert [answer.label for answer in answers] == ["b", "new"]
    assert all(list(answer.classes) == ["b", "c", "d", "new"] for answer in answers)
    assert answers[1].probabilities.argmax() == 3


def test_what_needs_all_classes_in_memory_says_so(place: Path, tmp_path: Path) -> None:
    recognizer = in_bank(place)
    with pytest.raises(ValueError, match=r"lie in the bank .* fit without a bank"):
        recognizer.save(tmp_path / "x.triptych")
    assert "Recognizer" in recognizer._repr_html_()
    assert clone(recognizer).bank == place
    with changing(place) as again:
        again.add([photo(7, 0)], "new")
    assert "new" in Recognizer.load(place).support_


def test_without_calibration_nothing_is_left_out(place: Path) -> None:
    recognizer = in_bank(place, calibrate=False)
    assert recognizer.calibration_ is None
    memory = Recognizer(small_method(), calibrate=False).fit(*support())
    assert_array_equal(Recognizer.load(place).predict_proba(QUERY[:1]), memory.predict_proba(QUERY[:1]))


def test_damage_is_named(place: Path) -> None:
    recognizer = in_bank(place)
    recognizer.known_.bank.write_state(b"nonsense")
    with pytest.raises(ValueError, match="truncated, damaged or not a triptych-bank"):
        Recognizer.load(place)


@pytest.fixture(scope="module")
def shared_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bank whose state the tests replace, and give back."""
    place = tmp_path_factory.mktemp("bank") / "bank"
    in_bank(place)
    return place


ALTERED = {
    "axes of fewer numbers": lambda tensors, content: tensors.update(axes=tensors["axes"][:-1].contiguous()),
    "axes of integers": lambda tensors, content: tensors.update(axes=tensors["axes"].char()),
    "a short centre": lambda tensors, content: tensors.update(centre=tensors["centre"][:-1].contiguous()),
    "a large centre": lambda tensors, content: tensors["centre"].fill_(3e38),
    "similarities of another class": lambda tensors, content: tensors["truth"].add_(100),
    "fewer similarities": lambda tensors, content: tensors.update(similarities=tensors["similarities"][1:]),
    "half a view": lambda tensors, content: content.update(views=1.5),
    "photos that are not counted": lambda tensors, content: content.update(photos=float("nan")),
    "a flag that is a number": lambda tensors, content: content.update(calibrate=1.5),
    "left out is text": lambda tensors, content: content.update(left_out="x"),
}


@pytest.mark.parametrize("name", ALTERED)
def test_an_altered_state_is_refused(shared_place: Path, name: str) -> None:
    """By its checksum; where that is right, by what each part must be."""
    bank = Bank(str(shared_place))
    whole = bank.read_state()
    tensors, content = unpack(whole, "triptych-bank", 3, "the bank")
    ALTERED[name](tensors, content)
    messages = []
    for change in ({}, {"checksum": checksum(tensors, without(content, "checksum", "version", "format"))}):
        bank.write_state(pack(tensors, "triptych-bank", 3, without(content | change, "version", "format")))
        try:
            Recognizer.load(shared_place)
        except ValueError as error:
            messages.append(str(error))
    bank.write_state(whole)
    assert Recognizer.load(shared_place).predict(QUERY[:1])
    assert len(messages) == 2
    assert all(message.startswith(f"{bank.place}: damaged") for message in messages)
    assert "damaged or altered since it was written" in messages[0]
    assert "damaged (" in messages[1]


def without(content: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in content.items() if name not in names}


@pytest.mark.parametrize("key", ["[1]", "{}", "plum", "null", "NaN", "[" * 100_000])
def test_a_row_whose_label_is_none_is_refused(shared_place: Path, key: str) -> None:
    """As something else than Triptych would write it."""
    bank = Bank(str(shared_place))
    row = replace(bank_row(bank), label=key)
    bank.add([row])
    try:
        with pytest.raises(ValueError, match=r"a damaged bank: .* is no label; take a copy of the bank"):
            _ = Recognizer.load(shared_place).classes_
    finally:
        bank.remove(key)


def test_another_program_s_tables_are_spared(place: Path) -> None:
    lancedb.connect(place).create_table("photos", [{"vector": [0.0] * 4, "text": "mine"}])
    with pytest.raises(ValueError, match="holds a table photos that Triptych did not write; name a folder of its own"):
        in_bank(place)
    assert lancedb.connect(place).open_table("photos").count_rows() == 1


def test_photos_that_are_gone_and_columns_of_others_are_told(place: Path) -> None:
    bank = in_bank(place).known_.bank
    for table in ("photos", "recent"):
        bank._tables.delete(table, "true")
    with pytest.raises(ValueError, match="a damaged bank: its photos are gone"):
        Recognizer.load(place)
    lancedb.connect(place).create_table("recent", [{"vector": [0.0] * 4, "text": "mine"}], mode="overwrite")
    with pytest.raises(ValueError, match="a damaged bank: its table recent has other columns"):
        Recognizer.load(place)


def test_a_photo_that_lacks_a_part_is_told(place: Path) -> None:
    bank = in_bank(place).known_.bank
    table = bank._tables.rows("recent", None)
    for name in ("label", "id", "name", "descriptors"):
        nulls = pa.nulls(len(table), table.schema.field(name).type)
        lancedb.connect(place).create_table(
            "recent", table.set_column(table.schema.get_field_index(name), name, nulls), mode="overwrite"
        )
        with pytest.raises(ValueError, match="a damaged bank: a photo lacks a part"):
            Recognizer.load(place).predict(QUERY[:1])


def bank_row(bank: Bank) -> Row:
    known = Recognizer.load(bank.place).known_
    vector = torch.zeros(known.axes.axes.shape[1])
    return Row("x", "f" * 32, "x.jpg", vector, next(iter(known.support.values())).encoded, b"")


def test_a_bank_of_an_earlier_version_is_refused(place: Path) -> None:
    recognizer = in_bank(place)
    tensors, content = unpack(recognizer.known_.bank.read_state(), "triptych-bank", 3, "the bank")
    recognizer.known_.bank.write_state(pack(tensors, "triptych-bank", 2, {**content, "version": 2}))
    with pytest.raises(ValueError, match="filled by an earlier triptych; remove it, and fit it anew"):
        Recognizer.load(place)


def test_many_classes_have_a_shortlist_and_a_calibration_of_their_own(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight classes with a shortlist of four: the same scores as in memory, of fewer classes."""
    for module in (banked, bank_sample):
        monkeypatch.setattr(module, "SHORTLIST", 4)
    images = [photo(kind, number) for kind in range(8) for number in range(2)]
    labels = [f"c{kind}" for kind in range(8) for _ in range(2)]
    memory = Recognizer(small_method(), calibrate=False).fit(images, labels)
    recognizer = Recognizer(small_method(), bank=place).fit(images, labels)
    for kind in range(3):
        [levels], [whole] = recognizer.levels([photo(kind, 20)])["pixel"], memory.levels([photo(kind, 20)])["pixel"]
        assert np.isfinite(levels).sum() == 4
        assert_array_equal(levels[np.isfinite(levels)], whole[np.isfinite(levels)])
        probabilities = recognizer.predict_proba([photo(kind, 20)])
        assert (probabilities > 0).sum() <= 4
        assert probabilities.sum() == pytest.approx(1)
        assert memory.predict([photo(kind, 20)]).tolist() == recognizer.predict([photo(kind, 20)]).tolist()
    calibration = recognizer.calibration_
    assert calibration is not None
    assert len(calibration.known) == 4  # of two classes, each photo beside the rivals of its own shortlist
    sets = recognizer.predict_sets([photo(0, 20)], coverage=0.5)
    assert len(sets[0]) <= 4


def test_photos_left_out_do_not_give_themselves_away(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of classes that are noise, a photo left out is recognised no more often than by chance, one time in five."""
    for module in (banked, bank_sample):
        monkeypatch.setattr(module, "SHORTLIST", 5)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 64, 3), dtype=np.uint8)
    recognizer = Recognizer(salient(), bank=place, thumbnails=False).fit(noise, np.arange(64) // 2)
    calibration = recognizer.calibration_
    assert calibration is not None
    assert len(calibration.known) == 16
    assert calibration.accuracy < 0.6


CHILD = f"""
import sys
sys.path[:0] = {[str(Path(__file__).parents[1])]!r}
from photos import photo
from triptych import Recognizer
recognizer = Recognizer.load(sys.argv[1])
first, count = int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
for number in range(first, first + count):
    recognizer.add([photo(number, 0), photo(number, 1)], f"class {{number}}")
    print(number, flush=True)
"""


def adding(place: Path, first: int, count: int) -> subprocess.Popen[str]:
    """A process that adds classes, and says of each when it is there."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(place), str(first), str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_process_loses_nothing_that_it_has_acknowledged(place: Path) -> None:
    in_bank(place)
    rng, told = np.random.default_rng(0), set()
    for turn in range(6):
        with adding(place, 100 * (turn + 1), 100) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            time.sleep(rng.uniform(0.02, 0.4))
            process.send_signal(signal.SIGKILL)
            told |= {f"class {line.strip()}" for line in process.stdout if line.strip()}
        counts = Recognizer.load(place).photo_counts()
        assert told <= set(counts)
        assert all(count == 2 for label, count in counts.items() if label.startswith("class"))
    assert told
    known = next(iter(told))
    assert Recognizer.load(place).predict([photo(int(known.split()[1]), 0)]).tolist() == [known]


@pytest.mark.slow
def test_two_processes_add_at_once(place: Path) -> None:
    in_bank(place)
    processes = [adding(place, first, 6) for first in (100, 200)]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert all(len(output.split()) == 7 for output in outputs)
    counts = Recognizer.load(place).photo_counts()
    assert {f"class {first + n}" for first in (100, 200) for n in range(6)} <= set(counts)
    assert sum(counts.values()) == sum(SHOTS.values()) + 24


def test_a_class_that_reads_like_another_is_refused(place: Path) -> None:
    images, labels = support()
    recognizer = Recognizer(small_method(), bank=place).fit(images, ["abcd".index(label) for label in labels])
    with pytest.raises(ValueError, match="the labels 1 and '1' read the same"):
        recognizer.add([photo(7, 0)], "1")
    assert recognizer.add([photo(7, 0)], 1).photo_counts()[1] == SHOTS["b"] + 1


def test_a_bank_of_numbers_takes_more_of_them_and_a_number_for_unknowns(place: Path) -> None:
    images, labels = support()
    recognizer = Recognizer(small_method(), bank=place).fit(images, [ord(one) for one in labels])
    recognizer.add([photo(5, 0)], 7)
    assert 7 in recognizer.classes_
    assert set(recognizer.predict(QUERY, unknown=-1)) <= {-1, 7, *map(ord, SHOTS)}
    for label in ("7", "97"):
        with pytest.raises(ValueError, match="read the same"):
            recognizer.add([photo(5, 1)], label)


def test_numbers_of_photos_count_among_the_classes_that_are_compared(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the sample of what all classes tell: with as many photos of each, nothing changes."""
    monkeypatch.setattr(bank_sample, "_PHOTOS", 8)  # one of each class
    method = salient()
    plain = SalientMML(replace(method.config, prior_photos=0, pool_gain=0), method.backbone).eval()
    images = [photo(kind, number) for kind in range(8) for number in range(3)]
    labels = [kind for kind in range(8) for _ in range(3)]
    levels = [
        Recognizer(one, bank=place.with_name(name), calibrate=False).fit(images, labels).levels(QUERY[:1])
        for name, one in (("one", method), ("other", plain))
    ]
    for level, scores in levels[0].items():
        assert_array_equal(scores, levels[1][level])
