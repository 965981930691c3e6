"""A folder of any size into a file of answers, also when the run is killed."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from commands import Command
from photos import photo
from PIL import Image
from toys import small_method

from triptych import Recognizer
from triptych.folders.photos import photos_below
from triptych.folders.predict import predict_folder
from triptych.recognizer import QUERY_BATCH
from triptych.system.locks import turn_to_write

KINDS = 3


@pytest.fixture(scope="module")
def recognizer() -> Recognizer:
    return Recognizer(small_method()).fit(
        [photo(kind, i) for kind in range(KINDS) for i in range(3)], np.repeat(["a", "b", "c"], 3)
    )


@pytest.fixture(scope="module")
def shelf(recognizer: Recognizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("shelf") / "shelf.triptych"
    recognizer.save(file)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """In three folders: new photos, one that was learnt from, an empty one, a text, and a hidden photo."""
    root = tmp_path_factory.mktemp("many")
    for number in range(103):
        place = root / f"day{number % 3}"
        place.mkdir(exist_ok=True)
        photo(number % KINDS, 100 + number).save(place / f"{number:03}.png")
    photo(1, 0).save(root / "day0" / "learnt.png")
    (root / "day1" / "empty.jpg").write_bytes(b"")
    (root / "day2" / "note, with a comma.txt").write_text("no photo")
    (root / ".hidden.png").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def expected(recognizer: Recognizer, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("expected") / "answers.csv"
    predict_folder(recognizer, folder, out)
    return out


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_photo_has_a_row(recognizer: Recognizer, folder: Path, tmp_path: Path) -> None:
    summary = predict_folder(recognizer, folder, tmp_path / "answers.csv")
    found = rows(tmp_path / "answers.csv")
    assert [row["image"] for row in found] == list(photos_below(folder).names)
    assert (summary.photos, summary.unreadable, summary.unknown, summary.resumed) == (105, 1, 0, 0)
    assert (summary.not_images, summary.unread) == (1, 0)
    assert summary.photos_per_second > 0
    by_image = {row["image"]: row for row in found}
    assert by_image["day1/empty.jpg"]["error"].startswith("the file is empty")
    assert by_image["day1/empty.jpg"]["label"] == by_image["day1/empty.jpg"]["probability"] == ""
    assert [row["image"] for row in found if row["in_support"] == "True"] == ["day0/learnt.png"]
    assert all(row["label"] == "abc"[int(row["image"][3])] for row in found if row["image"].endswith("0.png"))
    assert [path.name for path in tmp_path.iterdir()] == ["answers.csv"]


def test_answers_are_those_of_predict(recognizer: Recognizer, folder: Path, expected: Path) -> None:
    readable = [row for row in rows(expected) if not row["error"]]
    paths = [folder / row["image"] for row in readable]
    assert [row["label"] for row in readable] == recognizer.predict(paths).tolist()
    stated = [float(row["probability"]) for row in readable]
    np.testing.assert_allclose(stated, recognizer.predict_proba(paths).max(1), atol=1e-6)


def test_the_forms_hold_the_same(recognizer: Recognizer, folder: Path, expected: Path, tmp_path: Path) -> None:
    for name in ("answers.jsonl", "answers.parquet"):
        predict_folder(recognizer, folder, tmp_path / name)
    lines = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert pq.read_table(tmp_path / "answers.parquet").to_pylist() == lines
    text = [{name: "" if value is None else str(value) for name, value in line.items()} for line in lines]
    assert text == rows(expected)


@pytest.mark.parametrize(
    ("labels", "unknown", "kind"), [([1, 2], None, "int64"), ([1, 2], "none", "str"), ([1, "x"], None, "str")]
)
def test_a_column_of_parquet_has_the_type_of_its_labels(
    labels: list, unknown: str | None, kind: str, tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    photo(1, 50).save(tmp_path / "photos" / "x.png")
    recognizer = Recognizer(small_method()).fit(
        [photo(kind, i) for kind in range(2) for i in range(2)], np.repeat(labels, 2).tolist()
    )
    predict_folder(recognizer, tmp_path / "photos", tmp_path / "x.parquet", unknown, false_alarm=0.1)
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert table["label"].dtype == table["nearest"].dtype == kind


@pytest.mark.parametrize("ending", ["CSV", "csv", "jsonl", "parquet"])
def test_sets_are_a_column_where_they_are_asked_for(
    recognizer: Recognizer, folder: Path, tmp_path: Path, ending: str
) -> None:
    out = tmp_path / f"answers.{ending}"
    predict_folder(recognizer, folder, out, coverage=0.5)
    read = {
        "csv": lambda: [{**row, "prediction_set": json.loads(row["prediction_set"] or "null")} for row in rows(out)],
        "jsonl": lambda: [json.loads(line) for line in out.read_text().splitlines()],
        "parquet": lambda: pq.read_table(out).to_pylist(),
    }
    found = read[ending.lower()]()
    readable = [row for row in found if not row["error"]]
    sets = recognizer.predict_sets([folder / row["image"] for row in readable], coverage=0.5)
    assert [tuple(row["prediction_set"]) for row in readable] == sets
    assert [row["prediction_set"] for row in found if row["error"]] == [None]


def test_sets_of_labels_of_several_types_are_text_in_parquet(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    photo(1, 50).save(tmp_path / "photos" / "x.png")
    recognizer = Recognizer(small_method()).fit(
        [photo(kind, i) for kind in range(2) for i in range(3)], [1] * 3 + ["x"] * 3
    )
    with pytest.warns(UserWarning, match="every set holds all classes"):
        predict_folder(recognizer, tmp_path / "photos", tmp_path / "x.parquet", coverage=0.99)
    (row,) = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert sorted(row["prediction_set"]) == ["1", "x"]


def command_line(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "triptych.cli", *map(str, arguments)]


@pytest.mark.slow
def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(
    shelf: Path, folder: Path, expected: Path, tmp_path: Path, command: Command
) -> None:
    out, journal = tmp_path / "answers.csv", tmp_path / "answers.csv.partial"
    running = subprocess.Popen(command_line("predict", shelf, folder, "--out", out), env=os.environ)
    while not (journal.exists() and journal.read_bytes().count(b"\n") > QUERY_BATCH):
        assert running.poll() is None
        time.sleep(0.001)
    running.send_signal(signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    assert not out.exists()
    with journal.open("ab") as file:
        file.write(b'{"image": "day0/0')  # a kill may tear a line
    ended = command("predict", shelf, folder, "--out", out, "--json")
    assert ended.code == 1  # a photo is empty
    assert ended.json["resumed"] >= QUERY_BATCH
    assert ended.json["resumed"] % QUERY_BATCH == 0
    assert out.read_bytes() == expected.read_bytes()
    assert not journal.exists()


@pytest.mark.parametrize("share", [0, 0.4, 1])
def test_a_journal_torn_anywhere_ends_with_the_same_bytes(
    recognizer: Recognizer,
    folder: Path,
    expected: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    share: float,
) -> None:
    out, journal = tmp_path / "answers.csv", tmp_path / "answers.csv.partial"
    with monkeypatch.context() as patch:
        patch.setattr("triptych.folders.predict.writing_whole", lambda path: open("/dev/full", "wb"))  # noqa: SIM115
        with pytest.raises(OSError, match="No space left"):
            predict_folder(recognizer, folder, out)
    data = journal.read_bytes()
    kept = data[: int(share * len(data))]
    journal.write_bytes(kept)
    answered = max(0, kept.count(b"\n") - 1)
    whole = answered if share == 1 else answered // QUERY_BATCH * QUERY_BATCH
    assert predict_folder(recognizer, folder, out).resumed == whole
    assert out.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"label": ...},
        {"probability": "x"},
        {"probability": 7.0},
        {"probability": float("nan")},
        {"label": [1]},
        {"in_support": "x"},
        {"error": 5},
        {"more": 1},
    ],
)
@pytest.mark.parametrize("coverage", [None, 0.9])
def test_lines_that_are_no_answers_are_answered_anew(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict, coverage: float | None
) -> None:
    photos, journal, out = tmp_path / "photos", tmp_path / "x.parquet.partial", tmp_path / "x.parquet"
    photos.mkdir()
    photo(0, 50).save(photos / "1.png")
    (photos / "2.png").write_bytes((photos / "1.png").read_bytes()[:60])
    with monkeypatch.context() as patch:
        patch.setattr("triptych.folders.predict.writing_whole", lambda path: open("/dev/full", "wb"))  # noqa: SIM115
        with pytest.raises(OSError, match="No space left"):
            predict_folder(recognizer, photos, out.with_suffix(".csv"), coverage=coverage)
    header, *rows = map(json.loads, out.with_suffix(".csv.partial").read_text().splitlines())
    changed = [{name: value for name, value in {**row, **change}.items() if value is not ...} for row in rows]
    for lines, resumed in ((changed, 0), (rows, 2)):
        journal.write_text("".join(f"{json.dumps(row)}\n" for row in (header, *lines)))
        assert predict_folder(recognizer, photos, out, overwrite=True, coverage=coverage).resumed == resumed
    assert pq.read_table(out)["image"].to_pylist() == ["1.png", "2.png"]


def test_a_journal_of_something_else_is_kept(recognizer: Recognizer, folder: Path, tmp_path: Path) -> None:
    out, journal = tmp_path / "answers.csv", tmp_path / "answers.csv.partial"
    journal.write_text("my own notes")
    for mine in (recognizer, Recognizer(small_method()).fit([photo(0, 0), photo(1, 0)], ["a", "b"])):
        with pytest.raises(ValueError, match=r"answers.csv.partial: holds answers of another recogniser, folder"):
            predict_folder(mine, folder, out)
    assert journal.read_text() == "my own notes"


def test_answers_to_photos_of_the_same_names_are_not_gone_on_with(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "x.csv"
    for place, kind in (("a", 0), ("b", 1)):
        (tmp_path / place).mkdir()
        photo(kind, 50).save(tmp_path / place / "IMG_0001.png")
    with monkeypatch.context() as patch:
        patch.setattr("triptych.folders.predict.writing_whole", lambda path: open("/dev/full", "wb"))  # noqa: SIM115
        with pytest.raises(OSError, match="No space left"):
            predict_folder(recognizer, tmp_path / "a", out)
    with pytest.raises(ValueError, match=r"x.csv.partial: holds answers of another recogniser, folder, photo"):
        predict_folder(recognizer, tmp_path / "b", out)
    assert predict_folder(recognizer, tmp_path / "a", out).resumed == 1


def test_a_changed_folder_or_setting_is_noticed(recognizer: Recognizer, tmp_path: Path) -> None:
    photos, out, journal = tmp_path / "photos", tmp_path / "x.csv", tmp_path / "x.csv.partial"
    photos.mkdir()
    photo(0, 50).save(photos / "1.png")
    (tmp_path / "x.csv.partial").touch()
    predict_folder(recognizer, photos, out)  # an empty journal is a beginning
    out.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "unlink", lambda *_, **__: None)
        predict_folder(recognizer, photos, out)
    out.unlink()
    with pytest.raises(ValueError, match="another recogniser, folder, photo, setting, engine or version"):
        predict_folder(recognizer, photos, out, unknown="none")
    with pytest.raises(ValueError, match="another recogniser, folder, photo, setting, engine or version"):
        predict_folder(recognizer, photos, out, coverage=0.5)
    photo(0, 51).save(photos / "2.png")
    with pytest.raises(ValueError, match="another recogniser, folder, photo, setting, engine or version"):
        predict_folder(recognizer, photos, out)
    assert journal.exists()


def left_unfinished(recognizer: Recognizer, place: str | Path, out: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("triptych.folders.predict.writing_whole", lambda path: open("/dev/full", "wb"))  # noqa: SIM115
        with pytest.raises(OSError, match="No space left"):
            predict_folder(recognizer, place, out)


@pytest.mark.parametrize("kind", ["folder", "link", "address", "table"])
def test_a_table_that_was_begun_is_not_continued_for_other_photos_of_the_same_names(
    recognizer: Recognizer, tmp_path: Path, kind: str
) -> None:
    places = []
    for number, camera in enumerate(("one", "two")):
        folder = tmp_path / camera
        folder.mkdir()
        photo(number, 50).save(folder / "IMG_0001.bmp")  # of one size in bytes
        data = (folder / "IMG_0001.bmp").read_bytes()
        os.utime(folder / "IMG_0001.bmp", (1e9, 1e9 + (kind in {"link", "address"})))
        pq.write_table(pa.table({"image": [data]}), folder / "photos.parquet")
        places.append({"address": f"file://{folder}", "table": folder / "photos.parquet"}.get(kind, folder))
    if kind == "link":
        places = [tmp_path / "link"] * 2
        places[0].symlink_to(tmp_path / "one")
    out = tmp_path / "answers.jsonl"
    left_unfinished(recognizer, places[0], out)
    if kind == "link":
        places[0].unlink()
        places[0].symlink_to(tmp_path / "two")
    with pytest.raises(
        ValueError,
        match=r"answers.jsonl.partial: holds answers of another recogniser, folder, photo, setting, engine or version;",
    ):
        predict_folder(recognizer, places[1], out)
    (tmp_path / "answers.jsonl.partial").unlink()
    predict_folder(recognizer, places[1], out)
    assert [json.loads(line)["label"] for line in out.read_text().splitlines()] == ["b"]


def test_a_photo_that_was_replaced_meanwhile_is_noticed(recognizer: Recognizer, tmp_path: Path) -> None:
    for kind in range(2):
        (tmp_path / "photos").mkdir(exist_ok=True)
        photo(kind, 50).save(tmp_path / "photos" / "x.bmp")
        if kind == 0:
            left_unfinished(recognizer, tmp_path / "photos", tmp_path / "x.csv")
    with pytest.raises(ValueError, match="another recogniser, folder, photo, setting, engine or version"):
        predict_folder(recognizer, tmp_path / "photos", tmp_path / "x.csv")


def test_a_limit_that_was_raised_meanwhile_counts(
    recognizer: Recognizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photos").mkdir()
    photo(0, 50).save(tmp_path / "photos" / "x.bmp")
    with monkeypatch.context() as patch:
        patch.setenv("TRIPTYCH_MAX_MEGAPIXELS", "0.001")
        left_unfinished(recognizer, tmp_path / "photos", tmp_path / "x.csv")
    with pytest.raises(ValueError, match="another recogniser, folder, photo, setting, engine or version"):
        predict_folder(recognizer, tmp_path / "photos", tmp_path / "x.csv")


def test_unknowns_are_counted(recognizer: Recognizer, tmp_path: Path, shelf: Path, command: Command) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    photo(0, 50).save(photos / "1.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(photos / "2.png")
    asked = ("predict", shelf, photos, "-o", tmp_path / "answers.jsonl", "--unknown", "none", "--false-alarm", 0.1)
    ended = command(*asked)
    assert ended.code == 0, ended.err
    assert "2 photos, 1 none, 0 unreadable" in ended.out
    known, strange = map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())
    assert (known["label"], known["nearest"], strange["label"]) == ("a", "a", "none")
    assert strange["nearest"] in recognizer.classes_


def test_an_unknown_has_a_nearest_class_and_its_probability(
    recognizer: Recognizer, tmp_path: Path, shelf: Path, command: Command
) -> None:
    strange = tmp_path / "strange.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 90, 3), np.uint8)).save(strange)
    (nearest,), (each,) = recognizer.predict([strange]), recognizer.predict_proba([strange])
    asked = ("predict", shelf, strange, "--unknown", "none of these", "--false-alarm", 0.1)
    assert f": none of these (most like {nearest}, {each.max():.1%})" in command(*asked).out
    told = command(*asked, "--json").json[0]
    assert (told["label"], told["nearest"]) == ("none of these", nearest)
    assert told["probability"] == told["probabilities"][nearest]


def test_names_that_are_no_text_are_shown_as_they_can_be(recognizer: Recognizer, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    name = os.fsencode(photos) + b"/caf\xe9.png"
    try:
        Path(os.fsdecode(name)).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    for form in ("csv", "parquet", "jsonl"):
        predict_folder(recognizer, photos, tmp_path / f"x.{form}")
    assert rows(tmp_path / "x.csv")[0]["image"] == "caf\\udce9.png"
    assert pq.read_table(tmp_path / "x.parquet").to_pylist()[0]["image"] == "caf\\udce9.png"


def test_one_process_at_a_time(recognizer: Recognizer, folder: Path, tmp_path: Path) -> None:
    with turn_to_write(tmp_path / "x.csv"), pytest.raises(RuntimeError, match=r"x.csv: another process is writing it"):
        predict_folder(recognizer, folder, tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("photos", "--out", "x.txt"), "x.txt: expected a name that ends in .csv, .jsonl or .parquet"),
        (("photos", "--out", "nowhere/x.csv"), "nowhere/x.csv: expected a file in a folder that exists"),
        (("photos", "--out", "there.csv"), "there.csv: exists and is no table of answers that triptych wrote"),
        (("empty", "--out", "x.csv"), "empty: no photos in the folder; expected photos"),
        (
            ("photos", "photos", "--out", "x.csv"),
            "expected one folder of photos, Parquet file or address, got photos, photos",
        ),
        (
            ("photos/1.png", "--out", "x.csv"),
            "expected one folder of photos, Parquet file or address, got photos/1.png",
        ),
        (("photos", "--out", "photos/x.csv"), "photos/x.csv: lies inside photos, whose photos are read"),
        (("photos", "--out", "/dev/null"), "/dev/null: a device or a named pipe, which cannot hold a table of answers"),
        (("photos/1.png", "--device", "gpu"), "device gpu: expected auto, cpu or cuda"),
        (
            ("photos", "--out", "x.csv", "--unknown", "none", "--false-alarm", "2"),
            "false_alarm must be between 0 and 1",
        ),
        (("photos/1.png", "--coverage", "1"), "coverage must be between 0 and 1"),
        (("photos", "--out", "x.csv", "--coverage", "0"), "coverage must be between 0 and 1"),
        (("photos/1.png", "--false-alarm", "0.1"), "--false-alarm 0.1: expected --unknown beside it"),
        (("photos", "--out", "x.csv", "--false-alarm", "0.1"), "--false-alarm 0.1: expected --unknown beside it"),
        (("photos", "--unknown", " "), "--unknown must be a name, got ' '"),
        (("photos", "--out", "x.csv", "--unknown", ""), "an argument is empty, as of a variable that is not set"),
    ],
)
def test_wrong_input_is_one_line(
    command: Command, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple, message: str
) -> None:
    for name in ("photos", "empty"):
        (tmp_path / name).mkdir()
    photo(0, 50).save(tmp_path / "photos" / "1.png")
    (tmp_path / "there.csv").write_text("hours of work")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    ended = command("predict", shelf, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_else_lies_in_the_folder_is_counted_apart(
    recognizer: Recognizer, shelf: Path, tmp_path: Path, command: Command
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    photo(0, 50).save(photos / "1.png")
    (photos / "README.md").write_text("# My photos")
    (photos / "answers of May.csv").write_text("image,label\n")
    (photos / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41")
    ended = command("predict", shelf, photos, "--out", tmp_path / "x.csv")
    assert ended.code == 0, ended.err
    assert "1 photo, 0 unreadable" in ended.out
    assert "3 other files are no images" in ended.out
    assert [row["image"] for row in rows(tmp_path / "x.csv")] == ["1.png"]
    said = command("predict", shelf, photos)
    assert (said.code, said.err.strip()) == (0, "warning: left out 3 files that are no images")
    (photos / "1.png").unlink()
    with pytest.raises(ValueError, match="photos: no photos in the folder, but 3 other files; expected photos"):
        photos_below(photos)


def test_what_may_not_be_read_is_counted_and_makes_the_exit_1(shelf: Path, tmp_path: Path, command: Command) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    photo(0, 50).save(photos / "1.png")
    (photos / "2.png").symlink_to("gone.png")
    ended = command("predict", shelf, photos, "--out", tmp_path / "x.csv", "--json")
    assert ended.code == 1
    assert (ended.json["photos"], ended.json["unreadable"], ended.json["unread"]) == (1, 0, 1)
    said = command("predict", shelf, photos)
    assert said.code == 1
    for one in (ended, said):
        assert "2.png: a link that leads nowhere" in one.err


def test_photos_behind_a_link_are_answered_once(recognizer: Recognizer, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "more").mkdir()
    photo(0, 50).save(photos / "1.png")
    photo(1, 50).save(tmp_path / "more" / "2.png")
    (photos / "more").symlink_to(tmp_path / "more")
    (photos / "loop").symlink_to(".")
    assert photos_below(photos).names == ("1.png", "more/2.png")
    assert predict_folder(recognizer, photos, tmp_path / "x.csv").photos == 2


def test_what_a_spreadsheet_takes_for_a_formula_is_counted_and_read_back(tmp_path: Path) -> None:
    sums = Recognizer(small_method()).fit([photo(kind, 0) for kind in range(2)], ["=1+1", "-7"])
    for name in ("1.png", "-2.png"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        photo(0, 5).save(tmp_path / "photos" / name)
    with pytest.warns(UserWarning, match="5 cells would be a formula to a spreadsheet") as caught:
        predict_folder(sums, tmp_path / "photos", tmp_path / "x.csv")
    assert len(caught) == 1
    assert set(pd.read_csv(tmp_path / "x.csv")["label"]) == {"=1+1"}
    predict_folder(sums, tmp_path / "photos", tmp_path / "x.jsonl")  # no warning, or the test would fail
