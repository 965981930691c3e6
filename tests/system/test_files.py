"""A file is written whole or not at all."""

import os
import resource
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from triptych.system.files import read_named, write_whole
from triptych.system.packed import read_packed


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Within, a write beyond ``size`` bytes fails as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()  # hidden files too: no part is left
    return path


@pytest.mark.parametrize("data", [b"", b"whole", bytes(3_000_000)], ids=["empty", "small", "large"])
def test_the_bytes_arrive(tmp_path, data):
    write_whole(tmp_path / "result", data)
    assert only_file(tmp_path).read_bytes() == data


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_that_nothing_reads_from_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match=r"pipe: cannot be written \(nothing reads from it; name a file\)"):
        write_whole(tmp_path / "pipe", b"whole")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / "pipe", b"whole")
    assert os.read(reader, 99) == b"whole"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_string_is_a_path(tmp_path):
    write_whole(str(tmp_path / "result"), b"whole")
    assert only_file(tmp_path).name == "result"


def test_an_old_file_is_replaced(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"the old and longer contents")
    write_whole(path, b"new")
    assert only_file(tmp_path).read_bytes() == b"new"


def test_a_reader_of_the_old_file_keeps_it(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with path.open("rb") as reader:
        write_whole(path, b"new")
        assert reader.read() == b"old"


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077, 0o002])
def test_the_umask_decides_who_may_read(tmp_path, mask):
    with umask(mask):
        write_whole(tmp_path / "result", b"whole")
    assert stat.S_IMODE((tmp_path / "result").stat().st_mode) == 0o666 & ~mask


def test_the_folder_is_on_the_disk_when_it_returns(tmp_path, monkeypatch):
    real, brought = os.fsync, []

    def fsync(descriptor):
        brought.append((os.fstat(descriptor).st_ino, (tmp_path / "file").exists()))
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)
    write_whole(tmp_path / "file", b"whole")
    assert brought == [((tmp_path / "file").stat().st_ino, False), (tmp_path.stat().st_ino, True)]


def test_a_full_disk_keeps_the_old_file_and_leaves_no_part(tmp_path):
    path = tmp_path / "result"
    path.write_bytes(b"old")
    with largest_file(100_000), pytest.raises(OSError, match="cannot be written") as caught:
        write_whole(path, bytes(1_000_000))
    assert str(path) in str(caught.value)
    assert only_file(tmp_path).read_bytes() == b"old"


def test_a_full_disk_leaves_nothing_where_nothing_was(tmp_path):
    with largest_file(100_000), pytest.raises(OSError, match="cannot be written"):
        write_whole(tmp_path / "result", bytes(1_000_000))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path):
    path = tmp_path / "absent" / "result"
    with pytest.raises(OSError, match=r"cannot be written \(No such file") as caught:
        write_whole(path, b"whole")
    assert str(path) in str(caught.value)


def test_a_folder_in_the_place_is_kept_and_named(tmp_path):
    path = tmp_path / "result"
    path.mkdir()
    with pytest.raises(OSError, match="cannot be written") as caught:
        write_whole(path, b"whole")
    assert str(path) in str(caught.value)
    assert only_file(tmp_path).is_dir()


def test_data_that_cannot_be_written_leaves_no_part(tmp_path):
    with pytest.raises(TypeError):
        write_whole(tmp_path / "result", "text, not bytes")
    assert list(tmp_path.iterdir()) == []


def test_of_writers_at_once_one_wins_whole(tmp_path):
    path = tmp_path / "result"
    payloads = [bytes([writer]) * 200_000 for writer in range(8)]
    with umask(0o027), ThreadPoolExecutor(8) as pool:
        for _ in range(5):
            list(pool.map(lambda data: write_whole(path, data), payloads))
            assert only_file(tmp_path).read_bytes() in payloads
            assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_a_reader_never_sees_half_a_file(tmp_path):
    path = tmp_path / "result"
    payloads = [bytes([writer]) * 500_000 for writer in range(2)]
    write_whole(path, payloads[0])
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [write_whole(path, payloads[turn % 2]) for turn in range(40)])
        seen = [path.read_bytes()]
        while not writing.done():
            seen.append(path.read_bytes())
        writing.result()
    assert set(seen) <= set(payloads)


@pytest.mark.parametrize("path", [None, 5, b"x", [], object()])
def test_what_is_no_path_is_told(path):
    with pytest.raises(ValueError, match="expected a path, got "):
        write_whole(path, b"")
    with pytest.raises(ValueError, match="expected a path, got "):
        read_packed(path, "x")


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "episodes.json"
    with path.open("wb") as file:
        file.truncate(30 * 10**9)  # sparse
    with pytest.raises(ValueError, match=r"episodes.json: 30000 MB; expected a record, of at most 200 MB"):
        read_named(path, "a record")
