"""Tables of photos: what is added is found, what is removed is not, and what is joined stays."""

import os
import pickle
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from triptych.bank import Bank, Row, is_bank
from triptych.bank import bank as bank_module
from triptych.methods import Encoded, build_method

SIZE = 4


def rows(label: str, first: int, count: int = 2) -> list[Row]:
    """Photos of a class that lie along an axis of their own."""
    kept = Encoded({"maps": torch.full((1, 64, 2, 2), float(first)).half()})
    vectors = torch.randn(count, SIZE, generator=torch.Generator().manual_seed(first)) * 0.01 + first
    return [Row(label, f"{first + i:032x}", f"{i}.jpg", vectors[i], kept, b"jpeg") for i in range(count)]


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    bank = Bank(str(tmp_path / "bank"))
    bank.create(SIZE)
    bank.add(rows("a", 0))
    bank.add(rows("it's", 100, 3))
    bank.add(rows("c", 200, 1))
    bank.write_state(b"state")
    return bank


def test_what_is_added_is_found(bank: Bank) -> None:
    assert bank.counts() == {"a": 2, "it's": 3, "c": 1}
    assert bank.shortlist(torch.full((SIZE,), 90.0), 2) == ["it's", "a"]
    assert bank.owners([f"{101:032x}", f"{7:032x}"]) == {f"{101:032x}": "it's"}
    assert len(bank.photos_beginning("0" * 30)) == 6
    assert bank.photos_beginning(f"{200:032x}") == {f"{200:032x}": "c"}
    method = build_method("mml-conv64f").eval()
    found = bank.supports(method, ["it's", "nothing"], views=1)
    assert list(found) == ["it's"]
    assert found["it's"].ids == tuple(f"{100 + i:032x}" for i in range(3))
    assert found["it's"].names == ("0.jpg", "1.jpg", "2.jpg")
    assert found["it's"].encoded.maps.dtype == torch.float16
    assert len(bank.supports(method, ["it's"], views=1, without_last=True)["it's"]) == 2


def test_damaged_descriptors_are_named(bank: Bank) -> None:
    method = build_method("mml-conv64f").eval()
    odd = replace(rows("a", 300, 1)[0], encoded=Encoded({"maps": torch.zeros(1, 64, 2, 3).half()}))
    bank.add([odd])
    with pytest.raises(ValueError, match=f"the descriptors of photo {300:032x} are damaged; remove the photo"):
        bank.supports(method, ["a"], views=1)
    bank.remove_photo(odd.id)
    with pytest.raises(ValueError, match="has 1 views, expected 2; remove the photo"):
        bank.supports(method, ["a"], views=2)
    assert list(bank.supports(method, ["a"], views=1)) == ["a"]


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="Linux alone counts what a process reads")
def test_what_is_kept_of_other_classes_is_not_read(bank: Bank) -> None:
    """Rows that are not in an index yet are looked at by their labels alone."""
    maps = Encoded({"maps": torch.zeros(1, 64, 16, 16).half()})  # 32 KB
    bank.add(
        [replace(one, encoded=maps) for number in range(150) for one in rows(f"class {number}", 1000 + 2 * number)]
    )
    before = bytes_read()
    assert list(bank.supports(build_method("mml-conv64f").eval(), ["class 7"], views=1)) == ["class 7"]
    assert bytes_read() - before < 1_000_000


def bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split()[1])


def test_what_is_removed_is_not_found(bank: Bank) -> None:
    bank.remove("it's")
    bank.remove_photo(f"{1:032x}")
    assert bank.counts() == {"a": 1, "c": 1}
    assert "it's" not in bank.shortlist(torch.full((SIZE,), 100.0), 3)
    assert bank.has_others("a", 1)
    assert not bank.has_others("a", 2)


def test_another_handle_sees_each_change(bank: Bank) -> None:
    other = pickle.loads(pickle.dumps(bank))
    before = other.version
    bank.add(rows("d", 300))
    assert other.count("d") == 2
    assert other.version != before
    assert other.read_state() == b"state"


def test_rows_that_move_and_are_indexed_stay(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, small in (("_RECENT", 20), ("_INDEXED", 60), ("_SMALL_FILES", 3)):
        monkeypatch.setattr(bank_module, name, small)
    for number in range(60):
        bank.add(rows(f"class {number}", 1000 * (number + 1)))
        assert bank.count("class 0") == 2
    indexed = {column for one in bank._tables["photos"].list_indices() for column in one.columns}
    assert indexed == {"label", "id", "vector"}
    assert bank._tables["recent"].count_rows() < 20 + 2
    assert len(bank.counts()) == 63
    for number in (0, 30, 59):
        assert bank.shortlist(torch.full((SIZE,), 1000.0 * (number + 1)), 1) == [f"class {number}"]
    bank.remove("class 30")
    assert bank.count("class 30") == 0
    labels, vectors = bank.all_vectors()
    assert vectors.shape == (len(labels), SIZE)
    assert np.isfinite(vectors).all()


@pytest.mark.slow
def test_the_index_finds_the_nearest_photos(tmp_path: Path) -> None:
    """Vectors of many axes lie in no clusters: an index that searches some of its partitions misses some."""
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(20_000, 64, generator=generator)
    kept = Encoded({"maps": torch.zeros(1, 1, 1, 1).half()})
    bank = Bank(str(tmp_path / "bank"))
    bank.create(64)
    bank.add([Row(f"{n}", f"{n:032x}", "", one, kept, b"") for n, one in enumerate(vectors)])
    assert ["vector"] in [one.columns for one in bank._tables["photos"].list_indices()]
    asked = torch.randn(60, 64, generator=generator)
    nearest = torch.cdist(asked, vectors).argmin(1).tolist()
    assert all(str(one) in bank.shortlist(vector, 20) for vector, one in zip(asked, nearest, strict=True))


def test_a_photo_that_lies_in_both_tables_counts_once(bank: Bank) -> None:
    """A killed process may have copied recent rows, and not yet removed them."""
    interrupt_the_move(bank)
    assert bank.counts() == {"a": 2, "it's": 3, "c": 1}
    assert bank.count("a") == 2
    assert len(bank.supports(build_method("mml-conv64f").eval(), ["a"], views=1)["a"]) == 2
    bank.remove("a")
    assert bank.count("a") == 0


def test_an_interrupted_move_goes_on(bank: Bank, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that it has copied are not copied again: they would be counted, stored and searched twice."""
    interrupt_the_move(bank)
    assert len(bank) == 12
    monkeypatch.setattr(bank_module, "_RECENT", 2)
    bank.tidy()
    assert len(bank) == 6
    assert bank.counts() == {"a": 2, "it's": 3, "c": 1}


def interrupt_the_move(bank: Bank) -> None:
    bank._tables.add("photos", bank._tables.rows("recent", None))


@pytest.mark.parametrize("table", ["photos", "recent", "state"])
@pytest.mark.parametrize("harm", ["cut", "emptied", "noise", "removed"])
@pytest.mark.parametrize("part", ["data/*.lance", "_versions/*.manifest"])
def test_a_damaged_file_is_told_in_our_own_words(bank: Bank, table: str, harm: str, part: str) -> None:
    interrupt_the_move(bank)
    for path in (Path(bank.place) / f"{table}.lance").glob(part):
        data = path.read_bytes()
        spoilt = {"cut": data[:-1], "emptied": b"", "noise": bytes(255 - one for one in data), "removed": None}[harm]
        path.unlink() if spoilt is None else path.write_bytes(spoilt)
    with pytest.raises(ValueError, match=f"^{re.escape(bank.place)}: (a damaged bank|no bank)[^/]*$"):
        asked(Bank(bank.place))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_in_a_bank_is_refused(bank: Bank) -> None:
    os.mkfifo(Path(bank.place) / "recent.lance/data/0.lance")
    with pytest.raises(ValueError, match=r"recent\.lance/data: holds what is no file"):
        asked(Bank(bank.place))


def asked(bank: Bank) -> None:
    bank.read_state()
    bank.supports(build_method("mml-conv64f").eval(), bank.shortlist(torch.zeros(SIZE), 2), 1)


def test_the_system_s_errors_keep_their_reason(bank: Bank) -> None:
    with (
        pytest.raises(OSError, match=f"^{re.escape(bank.place)}: No space left on device; make room"),
        bank._tables.told(),
    ):
        raise RuntimeError("lance error: LanceError(IO): Generic error: No space (os error 28), src/local.rs:7:1")


def test_the_shortlist_reaches_as_far_as_it_must(bank: Bank) -> None:
    """One class may have more photos than rows are sought at first."""
    bank.add(rows("many", 400, 40))
    assert bank.shortlist(torch.full((SIZE,), 400.0), 4) == ["many", "c", "it's", "a"]


@pytest.mark.parametrize("states", [pa.array([5]), pa.array(["x"]), pa.array([b"x"], pa.large_binary())])
def test_a_state_of_another_program_or_version_is_refused(bank: Bank, states: pa.Array) -> None:
    bank._tables.write("state", pa.table({"state": states}))
    with pytest.raises(ValueError, match="no bank of this version of triptych"):
        bank.read_state()


def test_a_bank_without_a_state_is_damaged(bank: Bank) -> None:
    bank._tables.delete("state", "true")
    with pytest.raises(ValueError, match="a damaged bank, without its state"):
        bank.read_state()


def test_what_nobody_foresaw_is_not_taken_for_damage(bank: Bank) -> None:
    """Who reads that a bank is damaged removes it."""
    with (
        pytest.raises(OSError, match=r"cannot be read or written, .*\(lance error: of a later version\)"),
        bank._tables.told(),
    ):
        raise RuntimeError("lance error: of a later version, /root/lance/src/utils.rs:7:20")


def test_no_bank_until_it_is_whole(tmp_path: Path) -> None:
    bank = Bank(str(tmp_path / "bank"))
    bank.create(SIZE)
    assert not bank.exists
    with pytest.raises(ValueError, match="no bank, or one whose fit was interrupted"):
        bank.read_state()
    bank.drop()
    assert not is_bank(tmp_path / "bank")
    with pytest.raises(ValueError, match="expected the folder of a bank"):
        Bank("")


def test_without_lancedb_the_message_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lancedb", None)
    with pytest.raises(RuntimeError, match=r"a bank needs lancedb .*pip install '\.\[bank\]'"):
        Bank(str(tmp_path))
