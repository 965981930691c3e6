"""The decoded store: right pixels, decoded once, and never half a cache, whatever happens to the process."""

import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from triptych.data import ImageError, ImageStore, Preprocessing, cache_folder, open_store
from triptych.data.images import source_name

SIDE = 16
LONG = 120  # seconds, in which anything here is done


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRIPTYCH_CACHE", str(folder))
    return folder


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The names of the photos that are decoded from here on."""
    names: list[str] = []
    read = Preprocessing.pixels

    def counting(preprocessing, source):
        names.append(source_name(source))
        return read(preprocessing, source)

    monkeypatch.setattr(Preprocessing, "pixels", counting)
    return names


def photo(number: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (40, 60, 3), dtype=np.uint8))


def write_photos(root: Path, each: int = 3) -> Path:
    for label, name in enumerate(["ant", "bee"]):
        (root / name).mkdir(parents=True)
        for number in range(each):
            photo(label * each + number).save(root / name / f"{number:03}.png")
    return root


def expected_pixels(root: Path, side: int = SIDE) -> np.ndarray:
    size = (side, side)
    photos = [Image.open(path).convert("RGB") for path in sorted(root.rglob("*.png"))]
    return np.stack([np.asarray(image.resize(size, Image.Resampling.BILINEAR)) for image in photos])


def assert_whole(store: ImageStore, root: Path, side: int = SIDE) -> None:
    assert store.images.dtype == torch.uint8
    np.testing.assert_array_equal(store.images.numpy(), expected_pixels(root, side))
    assert len(store) == len(store.labels) == len(store.names) == len(store.images)


def kept_files(cache: Path) -> set[str]:
    """The kinds of files in the cache, locks aside: they are empty and may stay."""
    return {"".join(path.suffixes[-1:]) for path in cache.iterdir() if path.suffix != ".lock"}


def only(cache: Path, suffix: str) -> Path:
    (path,) = cache.glob(f"*{suffix}")
    return path


# What is in it.


def test_pixels_equal_a_direct_decode_and_resize(tmp_path):
    root = write_photos(tmp_path / "data")
    store = open_store(root, None, Preprocessing(SIDE))
    assert_whole(store, root)
    assert store.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert store.classes == ("ant", "bee")
    assert store.names[4] == str(root / "bee" / "001.png")
    assert store.duplicates == ()


def test_more_photos_than_are_read_ahead_keep_their_order(tmp_path):
    root = write_photos(tmp_path / "data", each=70)
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)


def test_large_jpegs_are_close_to_a_direct_decode(tmp_path):
    waves = np.sin(np.arange(600)[:, None] / 40) * np.cos(np.arange(800)[None] / 70) * 120 + 128
    path = tmp_path / "data" / "wave" / "a.jpg"
    path.parent.mkdir(parents=True)
    Image.fromarray(waves.astype(np.uint8)).convert("RGB").save(path, quality=92)
    direct = Image.open(path).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = open_store(tmp_path / "data", None, Preprocessing(SIDE)).images[0].numpy()
    assert np.abs(pixels.astype(int) - np.asarray(direct).astype(int)).max() <= 4


def test_an_index_of_any_shape_and_order_picks_images(tmp_path):
    root = write_photos(tmp_path / "data")
    store, pixels = open_store(root, None, Preprocessing(SIDE)), expected_pixels(root)
    for index in (np.array([4, 0, 4]), np.array([[1, 2], [3, 5]]), np.array([], np.int64)):
        np.testing.assert_array_equal(store[index].numpy(), pixels[index])


def test_a_store_moved_to_a_device_is_the_same_store(tmp_path):
    store = open_store(write_photos(tmp_path / "data"), None, Preprocessing(SIDE))
    moved = store.to("cpu")
    assert torch.equal(moved.images, store.images)
    assert (moved.names, moved.fingerprint) == (store.names, store.fingerprint)


def test_writing_into_the_images_does_not_reach_the_cache(tmp_path):
    root = write_photos(tmp_path / "data")
    open_store(root, None, Preprocessing(SIDE)).images.zero_()
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)


def test_duplicates_are_reported_as_pairs_with_the_first(tmp_path):
    root = write_photos(tmp_path / "data")
    for copy in ("ant/copy.png", "bee/copy.png"):
        shutil.copy(root / "ant" / "001.png", root / copy)
    first = str(root / "ant" / "001.png")
    store = open_store(root, None, Preprocessing(SIDE))
    assert store.duplicates == ((first, str(root / "ant" / "copy.png")), (first, str(root / "bee" / "copy.png")))
    assert len(store) == 8


# The cache.


def test_a_second_opening_decodes_nothing(tmp_path, decoded):
    root = write_photos(tmp_path / "data")
    first = open_store(root, None, Preprocessing(SIDE))
    assert sorted(decoded) == sorted(first.names)
    decoded.clear()
    second = open_store(root, None, Preprocessing(SIDE))
    assert decoded == []
    assert_whole(second, root)
    assert second.fingerprint == first.fingerprint


def test_the_same_photos_in_another_folder_are_not_decoded_again(tmp_path, decoded):
    open_store(write_photos(tmp_path / "data"), None, Preprocessing(SIDE))
    decoded.clear()
    moved = (tmp_path / "data").rename(tmp_path / "moved")
    store = open_store(moved, None, Preprocessing(SIDE))
    assert decoded == []
    assert store.names[0] == str(moved / "ant" / "000.png")


def test_a_changed_photo_is_decoded_anew(tmp_path):
    root = write_photos(tmp_path / "data")
    before = open_store(root, None, Preprocessing(SIDE))
    photo(99).save(root / "bee" / "001.png")
    after = open_store(root, None, Preprocessing(SIDE))
    assert_whole(after, root)
    assert after.fingerprint != before.fingerprint
    assert not torch.equal(after.images, before.images)


def test_another_side_is_another_store(tmp_path):
    root = write_photos(tmp_path / "data")
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)
    assert_whole(open_store(root, None, Preprocessing(24)), root, side=24)
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)


def test_the_cache_holds_only_whole_files(tmp_path, cache):
    open_store(write_photos(tmp_path / "data"), None, Preprocessing(SIDE))
    assert kept_files(cache) == {".npy", ".json"}


@pytest.mark.parametrize("suffix", [".npy", ".json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "header", "short", "other"])
def test_a_damaged_cache_is_rebuilt(tmp_path, cache, decoded, suffix, damage):
    root = write_photos(tmp_path / "data")
    open_store(root, None, Preprocessing(SIDE))
    path = only(cache, suffix)
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "header": data[:20], "short": data[:-1], "other": b"[1, 2]"}[damage])
    decoded.clear()
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)
    assert len(decoded) == 6
    decoded.clear()
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)
    assert decoded == []


def test_an_index_that_does_not_fit_its_pixels_is_rebuilt(tmp_path, cache):
    root = write_photos(tmp_path / "data")
    open_store(root, None, Preprocessing(SIDE))
    only(cache, ".json").write_text(json.dumps({"kept": [0, 3], "skipped": []}))
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)


def test_the_cache_folder_follows_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("TRIPTYCH_CACHE")
    assert cache_folder() == tmp_path / "xdg" / "triptych"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == tmp_path / "home" / ".cache" / "triptych"


# Photos that cannot be read.


def test_unreadable_photos_are_skipped_and_listed_at_every_opening(tmp_path, decoded):
    root = write_photos(tmp_path / "data")
    (root / "ant" / "000.txt").write_text("no photo")
    (root / "bee" / "zero.jpg").touch()
    for folder in (root, root, tmp_path / "moved"):
        if not folder.exists():
            root.rename(folder)
        with pytest.warns(UserWarning, match="skipped 1 unreadable photo|left out 1 file") as caught:
            store = open_store(folder, None, Preprocessing(SIDE))
        message, others = [str(warning.message) for warning in caught]
        assert others == f"left out 1 file that is no image: {folder / 'ant' / '000.txt'}"
        assert f"{folder / 'bee' / 'zero.jpg'}: the file is empty" in message
        assert_whole(store, folder)
        assert store.labels.tolist() == [0, 0, 0, 1, 1, 1]
        assert store.names[0] == str(folder / "ant" / "000.png")
    assert len(decoded) == 8  # at the first opening alone


def test_a_photo_that_was_too_large_is_read_under_a_higher_limit(tmp_path, monkeypatch):
    root = write_photos(tmp_path / "data")
    Image.new("RGB", (300, 300)).save(root / "bee" / "large.png")
    monkeypatch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "0.05")
    for _ in range(2):
        with pytest.warns(UserWarning, match="TRIPTYCH_MAX_MEGAPIXELS, which is 0.05, higher"):
            assert len(open_store(root, None, Preprocessing(SIDE))) == 6
    monkeypatch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "1")
    assert len(open_store(root, None, Preprocessing(SIDE))) == 7


@pytest.mark.parametrize(
    "change",
    [
        {"kept": [99, 1, 2, 3, 4, 5]},
        {"kept": ["x"] * 6},
        {"kept": [2, 1, 0, 3, 4, 5]},
        {"ids": [None] * 6},
        {"lost": [["no", True]]},
        [],
        "[" * 100_000,
    ],
    ids=str,
)
def test_a_damaged_index_is_made_anew(tmp_path, change):
    root = write_photos(tmp_path / "data")
    open_store(root, None, Preprocessing(SIDE))
    [index] = cache_folder().glob("*.json")
    entry = json.loads(index.read_text())
    if isinstance(change, str):
        index.write_text(change)
    else:
        index.write_text(json.dumps({**entry, **change} if isinstance(change, dict) else change))
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)
    assert json.loads(index.read_text()) == entry


def test_damaged_pixels_are_made_anew(tmp_path):
    root = write_photos(tmp_path / "data")
    open_store(root, None, Preprocessing(SIDE))
    [pixels] = cache_folder().glob("*.npy")
    for write in (
        lambda: np.save(pixels, np.zeros((6, SIDE, SIDE, 3), np.float32)),
        lambda: np.savez(pixels.with_suffix(".npz"), np.zeros(3)) or os.replace(pixels.with_suffix(".npz"), pixels),
        lambda: pixels.unlink() or os.mkfifo(pixels),
    ):
        write()
        assert_whole(open_store(root, None, Preprocessing(SIDE)), root)


def test_a_long_list_of_unreadable_photos_is_cut(tmp_path):
    root = write_photos(tmp_path / "data")
    for number in range(23):
        (root / "bee" / f"{number}.jpg").write_bytes(b"")
    with pytest.warns(UserWarning, match="skipped 23 unreadable photos") as caught:
        open_store(root, None, Preprocessing(SIDE))
    assert str(caught[0].message).endswith("and 3 more")
    assert str(caught[0].message).count("the file is empty") == 20


def test_readable_photos_raise_no_warning(tmp_path):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        open_store(write_photos(tmp_path / "data"), None, Preprocessing(SIDE))
    assert caught == []


def test_a_class_without_any_readable_photo_is_an_error(tmp_path, cache):
    root = write_photos(tmp_path / "data")
    for path in (root / "bee").iterdir():
        path.write_text("no photo")
    for _ in range(2):
        with pytest.raises(ImageError, match=r"class 'bee': none of its photos can be read .3.; the first: ") as caught:
            open_store(root, None, Preprocessing(SIDE))
        assert str(root / "bee" / "000.png") in str(caught.value)
        assert kept_files(cache) == set()


# Disks that are full or not there.


def assert_names_the_mend(error: OSError, folder: Path) -> None:
    assert str(error).startswith(f"{folder}: the decoded images cannot be written (")
    assert "or point TRIPTYCH_CACHE elsewhere" in str(error)


def test_a_write_that_fails_says_how_to_mend_it_and_leaves_nothing(tmp_path, cache):
    root = write_photos(tmp_path / "data", each=20)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # of 40 * 64 * 64 * 3 = 491520 bytes
    try:
        with pytest.raises(OSError, match="free 1 MB") as caught:
            open_store(root, None, Preprocessing(64))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_names_the_mend(caught.value, cache)
    assert kept_files(cache) == set()
    assert_whole(open_store(root, None, Preprocessing(64)), root, side=64)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    folder = tmp_path / "small disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_says_how_to_mend_it_and_leaves_nothing(tmp_path, small_disk, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_CACHE", str(small_disk))
    root = write_photos(tmp_path / "data", each=10)
    with pytest.raises(OSError, match=r"No space left on device.*free 4 MB") as caught:
        open_store(root, None, Preprocessing(256))  # 20 * 256 * 256 * 3 = 3.9 MB
    assert_names_the_mend(caught.value, small_disk)
    assert kept_files(small_disk) == set()


def test_a_store_that_just_fits_the_disk_is_written(tmp_path, small_disk, monkeypatch):
    monkeypatch.setenv("TRIPTYCH_CACHE", str(small_disk))
    root = write_photos(tmp_path / "data", each=5)
    assert_whole(open_store(root, None, Preprocessing(240)), root, side=240)  # 1.7 of 2 MB: no room for a second copy


def test_a_cache_that_is_no_folder_is_named(tmp_path, cache):
    cache.write_text("a file")
    with pytest.raises(OSError, match="File exists") as caught:
        open_store(write_photos(tmp_path / "data"), None, Preprocessing(SIDE))
    assert_names_the_mend(caught.value, cache)


# Several processes.


class Opening:
    """A process that waits for a word and opens the store; ``each_decode`` runs before each decode."""

    PROGRAM = """
        import sys, time
        import numpy as np
        from triptych.data import Preprocessing, open_store

        count, read = 0, Preprocessing.pixels

        def counting(*arguments):
            global count
            count += 1
            {each_decode}
            return read(*arguments)

        Preprocessing.pixels = counting
        print("ready", flush=True)
        sys.stdin.readline()
        images = open_store(sys.argv[1], None, Preprocessing({side})).images.numpy()
        np.save(sys.argv[2], images)
        print(count, flush=True)
    """

    def __init__(self, root: Path, result: Path, each_decode: str) -> None:
        program = textwrap.dedent(self.PROGRAM.format(each_decode=each_decode, side=SIDE))
        self.result = result
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, str(root), str(result)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line.strip())

    def line(self) -> str:
        """The next line that it prints; an error after minutes without one."""
        return self._lines.get(timeout=LONG)

    def go(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        self.process.kill()
        self.process.wait(LONG)
        self._listening.join(LONG)
        self.process.stdin.close()


@pytest.fixture
def start(tmp_path) -> Iterator[Callable[..., Opening]]:
    """Start such processes; none is left, whatever fails."""
    started: list[Opening] = []

    def opening(root: Path, each_decode: str) -> Opening:
        started.append(Opening(root, tmp_path / f"seen-{len(started)}.npy", each_decode))
        return started[-1]

    yield opening
    for one in started:
        one.end()


@pytest.mark.slow
def test_processes_at_once_decode_once_and_both_get_the_whole_store(tmp_path, start):
    root = write_photos(tmp_path / "data", each=8)
    processes = [start(root, "time.sleep(0.05)") for _ in range(2)]
    for process in processes:
        assert process.line() == "ready"
    for process in processes:
        process.go()
    assert sorted(int(process.line()) for process in processes) == [0, 16]
    for process in processes:
        np.testing.assert_array_equal(np.load(process.result), expected_pixels(root))


@pytest.mark.timeout(LONG)
def test_a_process_killed_in_the_middle_leaves_nothing_that_is_taken_for_whole(tmp_path, cache, decoded, start):
    root = write_photos(tmp_path / "data", each=8)
    process = start(root, 'count == 12 and print("middle", flush=True); count >= 12 and time.sleep(600)')
    assert process.line() == "ready"
    process.go()
    assert process.line() == "middle"
    assert kept_files(cache) == {".part"}
    process.end()
    assert process.process.returncode == -signal.SIGKILL
    assert kept_files(cache) == {".part"}
    assert_whole(open_store(root, None, Preprocessing(SIDE)), root)
    assert len(decoded) == 16
    assert kept_files(cache) == {".npy", ".json"}


@pytest.mark.slow
@pytest.mark.timeout(LONG)
def test_who_waits_for_another_process_is_told(tmp_path, cache, start):
    root = write_photos(tmp_path / "data", each=8)
    process = start(root, 'count == 12 and print("middle", flush=True); count >= 12 and time.sleep(600)')
    process.line()
    process.go()
    assert process.line() == "middle"
    told = threading.Timer(4, process.end)
    told.start()
    with pytest.warns(UserWarning, match=r"\.npy: waiting for another process that is changing it"):
        assert_whole(open_store(root, None, Preprocessing(SIDE)), root)
    told.join()
