"""Photos in folders, Parquet files and object storage get the same answers."""

import csv
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command
from photos import photo
from toys import small_method

from triptych import Recognizer
from triptych.folders import photos_of, predict_folder
from triptych.folders.places import photos_at

COUNT = 40


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(small_method()).fit(
        [photo(kind, i) for kind in range(2) for i in range(3)], np.repeat(["a", "b"], 3)
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("many")
    (root / "sub").mkdir()
    for number in range(COUNT):
        photo(number % 2, 100 + number).save(root / ("sub" if number % 3 else "") / f"{number:03}.png")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff and no more")
    (root / "notes.txt").write_text("mine")
    (root / ".hidden.png").write_bytes(b"")
    return root


class _Server(ThreadingHTTPServer):
    """Object storage over HTTP; ``fails`` says what is out of order for now."""

    fails = ""


class _Handler(SimpleHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        if self.server.fails and self.server.fails in self.path:
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def storage(folder: Path) -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), partial(_Handler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def tables(folder: Path, place: Path, plain: bool = False) -> list[Path]:
    """The folder's photos in two Parquet files, in row groups of 7; the last cell is empty."""
    files = sorted(path for path in folder.rglob("[!.]*") if path.suffix in {".png", ".jpg"})
    cells = [{"bytes": file.read_bytes(), "path": file.name} for file in files] + [{"bytes": None, "path": None}]
    made = []
    for number, few in enumerate((cells[:18], cells[18:])):
        values = [cell["bytes"] for cell in few] if plain else few
        kind = pa.binary() if plain else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
        made.append(place / f"part-{number}.parquet")
        pq.write_table(pa.table({"image": pa.array(values, kind), "id": range(len(few))}), made[-1], row_group_size=7)
    return made


def test_object_storage_has_the_rows_of_the_folder(
    recognizer: Recognizer, folder: Path, tmp_path: Path, storage: _Server, command: Command
) -> None:
    predict_folder(recognizer, folder, tmp_path / "local.csv")
    recognizer.save(tmp_path / "x.triptych")
    expected = (tmp_path / "local.csv").read_bytes()
    for number, url in enumerate((f"file://{folder}", f"http://127.0.0.1:{storage.server_port}/")):
        out = tmp_path / f"stored{number}.csv"
        ended = command("predict", tmp_path / "x.triptych", url, "--out", out, "--json")
        assert ended.code == 1, ended.err  # one photo is broken
        assert (ended.json["photos"], ended.json["unreadable"], ended.json["not_images"]) == (COUNT + 1, 1, 1)
        assert out.read_bytes() == expected


def test_one_photo_of_object_storage(recognizer: Recognizer, folder: Path, tmp_path: Path, command: Command) -> None:
    recognizer.save(tmp_path / "x.triptych")
    ended = command(
        "predict", tmp_path / "x.triptych", f"file://{folder}/000.png", folder / "sub" / "001.png", "--json"
    )
    assert [answer["label"] for answer in ended.json] == ["a", "b"]
    assert ended.json[0]["image"] == f"file://{folder}/000.png"


def test_an_outage_ends_the_run_and_the_next_one_goes_on(
    recognizer: Recognizer, folder: Path, tmp_path: Path, storage: _Server
) -> None:
    url, out = f"http://127.0.0.1:{storage.server_port}/", tmp_path / "x.csv"
    predict_folder(recognizer, folder, tmp_path / "local.csv")
    storage.fails = "038.png"
    with pytest.raises(RuntimeError, match=r"sub/038.png: cannot be fetched .*; run again, to go on"):
        predict_folder(recognizer, url, out)
    storage.fails = ""
    assert predict_folder(recognizer, url, out).resumed == 32
    assert out.read_bytes() == (tmp_path / "local.csv").read_bytes()


def test_a_photo_that_is_gone_is_told_in_its_row(recognizer: Recognizer, tmp_path: Path) -> None:
    for number in range(2):
        photo(number, 50).save(tmp_path / f"{number}.png")
    photos = photos_at(f"file://{tmp_path}").photos
    (tmp_path / "0.png").unlink()
    gone, there = recognizer.answers(photos.sources())
    assert gone.error == f"file://{tmp_path}/0.png: No such file; expected an image file"
    assert there.label == "b"


@pytest.mark.parametrize("plain", [False, True])
def test_parquet_has_the_answers_of_the_folder(
    recognizer: Recognizer, folder: Path, tmp_path: Path, plain: bool
) -> None:
    predict_folder(recognizer, folder, tmp_path / "local.csv")
    expected = rows(tmp_path / "local.csv")
    (tmp_path / "cells").mkdir()
    made = tables(folder, tmp_path / "cells", plain)
    predict_folder(recognizer, tmp_path / "cells", tmp_path / "x.csv")
    found = rows(tmp_path / "x.csv")
    assert [row["label"] for row in found] == [row["label"] for row in expected] + [""]
    np.testing.assert_allclose(
        [float(row["probability"] or -1) for row in found[:-1]],
        [float(row["probability"] or -1) for row in expected],
        atol=1e-6,
    )
    assert found[0]["image"] == ("part-0.parquet:0" if plain else "part-0.parquet:0 000.png")
    assert "empty (0 bytes)" in found[-1]["error"]
    predict_folder(recognizer, f"file://{tmp_path}/cells", tmp_path / "y.csv")
    assert (tmp_path / "y.csv").read_bytes() == (tmp_path / "x.csv").read_bytes()
    assert photos_at(str(made[1])).photos.names == tuple(row["image"] for row in found[18:])


def test_every_part_of_parquet_files_is_that_of_the_whole(folder: Path, tmp_path: Path) -> None:
    tables(folder, tmp_path)
    photos = photos_at(tmp_path).photos
    whole = list(photos.sources())
    for start, stop in ((0, 5), (3, 30), (17, 19), (18, 19), (25, 42), (41, 42)):
        assert list(photos.part(start, stop).sources()) == whole[start:stop]
        assert list(photos.part(start, 42).part(0, stop - start).sources()) == whole[start:stop]


def test_parts_of_several_places_are_those_of_the_whole(folder: Path, tmp_path: Path) -> None:
    tables(folder, tmp_path)
    photos = photos_of([str(folder / "broken.jpg"), str(folder), str(tmp_path), "missing.png"]).photos
    whole = list(photos.sources())
    assert len(whole) == len(photos.names) == 1 + (COUNT + 1) + (COUNT + 2) + 1
    for start, stop in ((0, 1), (0, 50), (30, 60), (83, 85), (84, 85)):
        assert list(photos.part(start, stop).sources()) == whole[start:stop]


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("nowhere.parquet", "nowhere.parquet: no such file; expected a Parquet file of photos"),
        ("text.parquet", "text.parquet: not a Parquet file"),
        ("answers.parquet", "has the columns image, label; expected one column image of {bytes, path} or of bytes"),
        ("twice.parquet", "has the columns image, image; expected one column image of {bytes, path} or of bytes"),
        ("none.parquet", "none.parquet: no rows; expected photos"),
        ("no-such://bucket", "no-such://bucket: Protocol not known: no-such"),
        ("file://PLACE/empty", "no photos there by the endings of their names; expected photos"),
        ("http://127.0.0.1:9/photos", "http://127.0.0.1:9/photos: nothing lies there, or it does not answer"),
        ("file://PLACE/nowhere", "nowhere: nothing lies there, or it does not answer; expected photos"),
    ],
)
def test_a_wrong_place_is_one_line(
    command: Command,
    recognizer: Recognizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    recognizer.save("x.triptych")
    Path("text.parquet").write_text("photos")
    Path("empty").mkdir()
    pq.write_table(pa.table({"image": ["1.jpg"], "label": ["a"]}), "answers.parquet")
    pq.write_table(pa.table({"image": pa.array([], pa.binary())}), "none.parquet")
    pq.write_table(pa.Table.from_arrays([pa.array([b"1"])] * 2, ["image", "image"]), "twice.parquet")
    ended = command("predict", "x.triptych", place.replace("PLACE", str(tmp_path)), "--out", "x.csv")
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not Path("x.csv").exists()


def test_a_table_that_unpacks_to_far_more_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRIPTYCH_MAX_MEGABYTES", "1")
    pq.write_table(pa.table({"image": [b"\0" * 4_000_000]}), tmp_path / "x.parquet", compression="zstd")
    with pytest.raises(ValueError, match=r"x.parquet: unpacks to far more than its .* MB"):
        photos_at(tmp_path / "x.parquet")


def test_a_view_of_bytes_is_read_as_bytes(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": pa.array([b"1"], pa.binary_view())}), tmp_path / "x.parquet")
    assert [source.data for source in photos_at(tmp_path / "x.parquet").photos.sources()] == [b"1"]


@pytest.mark.parametrize("address", [False, True])
def test_a_missing_file_of_several_is_missed(tmp_path: Path, address: bool) -> None:
    path = tmp_path / "train-00000-of-00002.parquet"
    pq.write_table(pa.table({"image": [b"1"]}), path)
    start = "file://" if address else ""
    with pytest.raises(ValueError, match=r"Parquet files are missing: train-00001-of-00002; add them, or name one"):
        photos_at(f"{start}{tmp_path}")
    assert len(photos_at(f"{start}{path}").photos.names) == 1


def test_storage_whose_library_is_missing_says_so() -> None:
    with pytest.raises(RuntimeError, match=r"^oci://bucket: needs a library that is not installed \(Install ocifs"):
        photos_at("oci://bucket")
