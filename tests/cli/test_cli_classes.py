"""fit, add, remove and show: the commands that make and change a .triptych file."""

import csv
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from commands import Command
from numpy.testing import assert_array_equal
from photos import class_folders, photo
from sklearn.exceptions import NotFittedError

from triptych import Recognizer
from triptych.reports.known import inventory, inventory_page
from triptych.system.files import write_whole
from triptych.system.locks import turn_to_write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos"), classes=3, each=3)


@pytest.fixture(scope="module")
def fitted(folder: Path) -> bytes:
    file = folder.parent / "x.triptych"
    Recognizer().fit(folder).save(file)
    return file.read_bytes()


@pytest.fixture
def shelf(fitted: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "shelf.triptych"
    path.write_bytes(fitted)
    return path


def more(folder: Path, kind: int, *numbers: int) -> list[Path]:
    """Photos of a class in a folder of their own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        photo(kind, number).save(folder / f"{number}.png")
    return [folder / f"{number}.png" for number in numbers]


def counts(file: Path) -> dict[object, int]:
    return {label: len(kept) for label, kept in Recognizer.load(file).support_.items()}


def test_fit_says_what_was_learnt_and_how_far_it_can_be_trusted(command: Command, folder: Path, tmp_path: Path) -> None:
    ended = command("fit", folder, "-o", tmp_path / "x.triptych")
    assert ended.code == 0, ended.err
    assert "3 classes, 9 photos, 3 a class" in ended.out
    assert "Of 9 of its own photos, each left out and recognised by the others, " in ended.out
    assert re.search(r"Its probabilities are off by \d+ points? on average|off by less than a point", ended.out)
    result = command("fit", folder, "-o", tmp_path / "x.triptych", "--overwrite", "--json").json
    assert result["classes"] == {"class0": 3, "class1": 3, "class2": 3}
    assert result["calibration"]["left_out"] == 9
    assert 0 <= result["calibration"]["ece"] <= 1


def test_fit_reads_nested_folders_and_tables_alike(command: Command, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "nested").mkdir()
    rows = []
    for path in sorted(folder.rglob("*.png")):
        place = tmp_path / "nested" / path.parent.name / ("deep" if path.stem == "1" else ".")
        place.mkdir(parents=True, exist_ok=True)
        (place / path.name).write_bytes(path.read_bytes())
        rows.append({"path": path, "label": path.parent.name})
    with (tmp_path / "table.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label"])
        writer.writeheader()
        writer.writerows(rows)
    for source in ("nested", "table.csv"):
        assert command("fit", tmp_path / source, "-o", tmp_path / f"{source}.triptych").code == 0
    assert (tmp_path / "nested.triptych").read_bytes() == (tmp_path / "table.csv.triptych").read_bytes()


@pytest.mark.parametrize(("verb", "name"), [("fit", "link.triptych"), ("compare", "link.html")])
def test_a_table_is_not_written_over(command: Command, folder: Path, tmp_path: Path, verb: str, name: str) -> None:
    rows = [f"{path},{path.parent.name}\n" for path in sorted(folder.rglob("*.png"))]
    table = tmp_path / "photos.csv"
    table.write_text("path,label\n" + "".join(rows))
    (tmp_path / name).symlink_to(table)
    ended = command(verb, table, "-o", tmp_path / name, "--overwrite")
    assert (ended.code, ended.out) == (2, "")
    assert f"{name}: is read by this command and would be lost; name another file" in ended.err
    assert table.read_text().startswith("path,label")


def test_a_recogniser_is_replaced_on_demand(command: Command, folder: Path, shelf: Path) -> None:
    before = shelf.read_bytes()
    ended = command("fit", folder, "-o", shelf, "--views", 2)
    assert (ended.code, ended.out) == (2, "")
    assert "shelf.triptych: exists already; replace it with --overwrite, or name another file" in ended.err
    assert shelf.read_bytes() == before
    assert command("fit", folder, "-o", shelf, "--views", 2, "--overwrite").code == 0
    assert Recognizer.load(shelf).knowledge_.views == 2


@pytest.mark.parametrize("verb", ["fit", "show", "explain"])
def test_a_device_stays_a_device(command: Command, folder: Path, shelf: Path, verb: str) -> None:
    photo = folder / "class0" / "0.png"
    asked = {"fit": [folder, "-o"], "show": [shelf, "--html"], "explain": [shelf, photo, "-o"]}[verb]
    assert command(verb, *asked, "/dev/null").code == 0
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_fit_goes_on_without_what_is_no_class(command: Command, tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", classes=2, each=2)
    (photos / "empty").mkdir()
    photo(0, 9).save(photos / "stray.png")
    ended = command("fit", photos, "-o", tmp_path / "x.triptych")
    assert ended.code == 0
    assert "left out class folders without files: empty" in ended.err
    assert "left out 1 photo beside the class folders: stray.png" in ended.err
    assert counts(tmp_path / "x.triptych") == {"class0": 2, "class1": 2}


def test_fit_keeps_views(command: Command, folder: Path, tmp_path: Path) -> None:
    assert command("fit", folder, "-o", tmp_path / "x.triptych", "--views", 2).code == 0
    assert Recognizer.load(tmp_path / "x.triptych").knowledge_.views == 2
    refused = command("fit", folder, "-o", tmp_path / "y.triptych", "--views", 0)
    assert (refused.code, refused.out) == (2, "")
    assert "views must be a whole number from 1 to 64, got 0" in refused.err
    assert not (tmp_path / "y.triptych").exists()


def test_classes_of_one_photo_have_nothing_to_be_measured_by(command: Command, tmp_path: Path) -> None:
    single = class_folders(tmp_path / "photos", classes=2, each=1)
    ended = command("fit", single, "-o", tmp_path / "x.triptych")
    assert "nothing shows how often its answers are right" in ended.out
    assert command("show", tmp_path / "x.triptych", "--json").json["calibration"] is None


def test_add_equals_fitting_all_at_once(command: Command, shelf: Path, folder: Path, tmp_path: Path) -> None:
    new = more(tmp_path / "new", 7, 0, 1)
    again = more(tmp_path / "again", 0, 30)
    assert command("add", shelf, "quince", *new).code == 0
    ended = command("add", shelf, "class0", *again, "--json")
    assert ended.json == {"file": str(shelf), "added": {"class0": 1}, "classes": 4, "photos": 12}
    photos = [*sorted(folder.rglob("*.png")), *new, *again]
    labels = [path.parent.name for path in photos[:9]] + ["quince"] * 2 + ["class0"]
    expected, asked = Recognizer().fit(photos, labels), [photo(kind, 50) for kind in (0, 1, 2, 7)]
    assert_array_equal(Recognizer.load(shelf).predict_proba(asked), expected.predict_proba(asked))


def test_add_takes_folders_of_photos_and_folders_of_classes(command: Command, shelf: Path, tmp_path: Path) -> None:
    more(tmp_path / "lot" / "deeper", 0, 30, 31)
    assert command("add", shelf, "class0", tmp_path / "lot").code == 0
    more(tmp_path / "classes" / "class0", 0, 32)
    more(tmp_path / "classes" / "quince", 7, 0)
    ended = command("add", shelf, "--from", tmp_path / "classes")
    assert "2 photos added; 4 classes, 13 photos, 1 to 6 a class" in ended.out
    assert counts(shelf) == {"class0": 6, "class1": 3, "class2": 3, "quince": 1}


def test_a_photo_that_is_there_already_is_counted_once(command: Command, shelf: Path, folder: Path) -> None:
    ended = command("add", shelf, "class0", folder / "class0" / "0.png")
    assert ended.code == 0
    assert "counted once" in ended.err
    assert "0 photos added" in ended.out


def test_a_label_is_the_same_however_its_accents_are_written(command: Command, tmp_path: Path) -> None:
    apart, composed = "A\u0308pfel", "\xc4pfel"
    for label, name in ((apart, "apart"), (composed, "composed")):
        photos, file = [photo(kind, 0) for kind in range(3)], tmp_path / f"{name}.triptych"
        Recognizer("mml-conv64f").fit(photos, [label, "b", "c"]).save(file)
        for number, given in enumerate((apart, composed), start=1):
            photo(0, number).save(tmp_path / "new.png")
            added = command("add", file, given, tmp_path / "new.png", "--json")
            assert added.json["added"] == {label: 1}
        assert command("remove", file, "--label", apart, "--json").json["removed"] == 3
    photo(5, 0).save(tmp_path / "new.png")
    assert list(command("add", file, apart, tmp_path / "new.png", "--json").json["added"]) == [composed]


def test_a_photo_that_is_named_and_cannot_be_read_adds_nothing(command: Command, shelf: Path, tmp_path: Path) -> None:
    before = shelf.read_bytes()
    photo(7, 0).save(tmp_path / "good.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "good.png").read_bytes()[:500])
    for bad, told in (("none.png", "No such file"), ("cut.png", "damaged image")):
        ended = command("add", shelf, "quince", tmp_path / "good.png", tmp_path / bad)
        assert (ended.code, ended.out) == (2, "")
        assert f"{tmp_path / bad}: {told}" in ended.err
        assert shelf.read_bytes() == before


def test_what_is_told_of_several_photos_has_a_line_for_each(command: Command, tmp_path: Path) -> None:
    folder = class_folders(tmp_path / "photos", classes=2, each=4)
    for number in range(2):
        (folder / "class0" / f"{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
        (folder / "class1" / f"note{number}.txt").write_text("no photo")
    ended = command("fit", folder, "-o", tmp_path / "x.triptych", "--method", "mml-conv64f")
    head, first, second, others = ended.err.splitlines()
    assert head == "warning: skipped 2 unreadable photos:"
    assert first.startswith(f"  {folder}/class0/0.png: damaged image")
    assert second.startswith(f"  {folder}/class0/1.png: damaged image")
    assert others.startswith("warning: left out 2 files that are no image: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("add", "SHELF", "class0", "none.png"), "none.png: No such file"),
        (("add", "SHELF", "class1", "class0.png"), "the same photo is given as 'class0' and as 'class1'"),
        (("add", "SHELF", "class0"), "expected a label and photos of it, or --from"),
        (("add", "SHELF"), "expected a label and photos of it, or --from"),
        (("add", "SHELF", "class0", "class0.png", "--from", "."), "expected a label and photos of it, or --from"),
        (("add", "SHELF", "class0", "empty"), "empty: no files in the folder"),
        (("add", "SHELF", "class9", "class0.png", "empty"), "empty: no files in the folder"),
        (("add", "SHELF", "--from", "nowhere"), "nowhere: no such file or folder"),
        (("add", "none.triptych", "class0", "class0.png"), "none.triptych: no such file"),
        (("add", "class0.png", "class0", "class0.png"), "class0.png: truncated, damaged or not"),
        (("remove", "SHELF"), "expected --label with a class or --photo with an id"),
        (("remove", "SHELF", "--label", "plum"), "no class 'plum'"),
        (("remove", "SHELF", "--photo", "zz"), "0 photos have an id that begins with 'zz'"),
        (("remove", "SHELF", "--label", "class0", "--label", "class1"), "would leave one class"),
        (("show", "none.triptych"), "none.triptych: no such file"),
        (("show", "SHELF", "--html", "SHELF"), "shelf.triptych: expected a name that ends in .html or .htm"),
        (("show", "SHELF", "--html", "class0.png"), "class0.png: expected a name that ends in .html or .htm"),
        (("add", "SHELF", "class0", "class0.png", "--device", "gpu"), "device gpu: expected auto, cpu or cuda"),
    ],
)
def test_wrong_input_is_one_line_and_changes_nothing(
    command: Command, shelf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple, message: str
) -> None:
    photo(0, 0).save(tmp_path / "class0.png")
    (tmp_path / "empty").mkdir()
    before, mine = shelf.read_bytes(), (tmp_path / "class0.png").read_bytes()
    monkeypatch.chdir(tmp_path)
    ended = command(*(shelf if argument == "SHELF" else argument for argument in arguments))
    assert (ended.code, ended.out) == (2, "")
    assert message in ended.err
    assert len(ended.err.strip().splitlines()) == 1
    assert shelf.read_bytes() == before
    assert (tmp_path / "class0.png").read_bytes() == mine


def test_one_photo_is_not_called_photos(command: Command, shelf: Path, tmp_path: Path) -> None:
    new = more(tmp_path / "new", 7, 0)
    assert "1 photo added" in command("add", shelf, "quince", *new).out
    answered = command("predict", shelf, tmp_path / "new", "--out", tmp_path / "x.csv")
    assert "1 photo, 0 unreadable" in answered.out
    assert "1 photo removed" in command("remove", shelf, "--label", "quince").out


def test_remove_forgets_classes_and_photos(command: Command, shelf: Path) -> None:
    known = command("show", shelf, "--json").json
    photos = {one["label"]: one["photos"] for one in known["classes"]}
    gone = photos["class0"][1]["id"]
    ended = command("remove", shelf, "--photo", gone[:10], "--label", "class2", "--json")
    assert ended.json == {"file": str(shelf), "removed": 4, "classes": 2, "photos": 5}
    left = command("show", shelf, "--json").json["classes"]
    assert [one["label"] for one in left] == ["class0", "class1"]
    assert gone not in [kept["id"] for kept in left[0]["photos"]]
    assert left[1]["photos"] == photos["class1"]


def test_what_is_named_twice_is_removed_once(command: Command, shelf: Path) -> None:
    gone = Recognizer.load(shelf).support_["class0"].ids[0]
    ended = command("remove", shelf, *("--label", "class2") * 2, *("--photo", gone) * 2, "--json")
    assert ended.code == 0, ended.err
    assert ended.json == {"file": str(shelf), "removed": 4, "classes": 2, "photos": 5}


def test_labels_that_are_numbers_are_named_as_they_are_written(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "x.triptych"
    Recognizer().fit([photo(kind, i) for kind in range(3) for i in range(2)], [1, 1, 2, 2, 3, 3]).save(file)
    assert command("add", file, "2", *more(tmp_path / "new", 1, 40)).code == 0
    assert command("remove", file, "--label", "3").code == 0
    assert counts(file) == {1: 2, 2: 3}
    assert Recognizer.load(file).classes_.dtype == int


def test_show_lists_classes_and_photos(command: Command, shelf: Path) -> None:
    plain = command("show", shelf)
    assert plain.code == 0
    assert "3 classes, 9 photos" in plain.out
    assert "Recognises by mml-conv64f: network conv64f, distribution + pixel + part + plda." in plain.out
    assert "     3  class1" in plain.out
    assert "1.png" not in plain.out
    assert command("show", shelf, "--photos").out.count("1.png") == 3


class Page(HTMLParser):
    """The elements, the text, and the attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_the_page_shows_every_photo_and_runs_nothing(command: Command, folder: Path, tmp_path: Path) -> None:
    label, name = "<script>alert(1)</script>", "\"'><img src=x onerror=alert(2)>.png"
    photo(0, 0).save(tmp_path / name)
    file, page = tmp_path / "x.triptych", tmp_path / "page.html"
    photos = [tmp_path / name, folder / "class1" / "0.png", folder / "class1" / "1.png"]
    Recognizer().fit(photos, [label, "b & c", "b & c"]).save(file)
    shown = command("show", file, "-o", page)
    assert (shown.code, shown.out.splitlines()[-1]) == (0, f"Page: {page}")
    found = Page(page.read_text())
    images = found.all("img")
    assert len(images) == 3
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)
    assert {image["alt"] for image in images} == {f"{label}: {name}", "b & c: 0.png", "b & c: 1.png"}
    assert not found.all("script")
    assert label in found.text
    assert name in found.text
    assert all(kept[:12] in found.text for kept in Recognizer.load(file).support_["b & c"].ids)
    assert found.all("html") == [{"lang": "en"}]
    assert len(found.all("h1")) == 1
    assert len(found.all("h2")) == 2


def test_a_page_is_replaced_on_demand(command: Command, shelf: Path, tmp_path: Path) -> None:
    plain = shelf.rename(tmp_path / "shelf.of.fruit")  # its name alone does not say who wrote the page
    assert command("show", plain, "--html", tmp_path / "page.html").code == 0
    refused = command("show", plain, "--html", tmp_path / "page.html")
    assert (refused.code, refused.out) == (2, "")
    assert "page.html: exists already; replace it with --overwrite" in refused.err
    assert command("show", plain, "--html", tmp_path / "page.html", "--overwrite").code == 0


def test_a_page_of_classes_that_are_dates(folder: Path) -> None:
    photos = sorted(folder.rglob("*.png"))
    recognizer = Recognizer().fit(photos, np.datetime64("2026-01-01") + np.arange(9) // 3)
    assert "2026-01-03" in inventory_page(recognizer, "dates")
    with pytest.raises(ValueError, match="cannot be saved; expected a string, a number or a boolean"):
        inventory(recognizer)


def test_an_inventory_tells_the_views_that_there_are(folder: Path) -> None:
    photos = sorted(folder.rglob("*.png"))
    recognizer = Recognizer(views=np.int64(2)).fit(photos, np.arange(9) // 3)  # as a search over an array sets it
    known = json.loads(json.dumps(inventory(recognizer)))
    assert known["views"] == 2
    assert inventory(recognizer.set_params(views=3)) == known


def test_nothing_is_known_before_fitting() -> None:
    with pytest.raises(NotFittedError, match="call fit"):
        inventory_page(Recognizer(), "nothing")


def test_a_page_without_thumbnails_still_names_the_photos(command: Command, folder: Path, tmp_path: Path) -> None:
    Recognizer(thumbnails=False).fit(folder).save(tmp_path / "x.triptych")
    assert command("show", tmp_path / "x.triptych", "--html", tmp_path / "page.html").code == 0
    found = Page((tmp_path / "page.html").read_text())
    assert not found.all("img")
    assert found.text.count("1.png") == 3


def process(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "triptych.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ)


@pytest.mark.slow
def test_parallel_changes_all_arrive_and_no_reader_sees_half_a_file(shelf: Path, tmp_path: Path) -> None:
    adding = [process("add", shelf, f"new{kind}", *more(tmp_path / str(kind), kind, 0)) for kind in range(5, 9)]
    seen = set()
    while any(one.poll() is None for one in adding):
        seen.add(len(counts(shelf)))
    for one in adding:
        _, err = one.communicate()
        assert one.returncode == 0, err
    assert counts(shelf) == {"class0": 3, "class1": 3, "class2": 3, "new5": 1, "new6": 1, "new7": 1, "new8": 1}
    assert seen <= set(range(3, 8))
    assert {path.name for path in tmp_path.glob("*.*")} | {path.name for path in tmp_path.glob(".*")} == {
        "shelf.triptych"
    }


_KILLED_BEFORE_THE_MOVE = """
import os, signal, sys
from triptych.cli import main
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main()
"""


def test_a_killed_writer_leaves_the_old_file_and_no_lock(command: Command, shelf: Path, tmp_path: Path) -> None:
    before, new = shelf.read_bytes(), more(tmp_path / "new", 7, 0)
    killed = subprocess.run(
        [sys.executable, "-c", _KILLED_BEFORE_THE_MOVE, "add", str(shelf), "quince", str(new[0])], check=False
    )
    assert killed.returncode == -signal.SIGKILL
    assert shelf.read_bytes() == before
    (part,) = tmp_path.glob(".*.part")
    assert command("add", shelf, "quince", *new).code == 0
    assert part.exists()  # it may be another process's that still writes
    os.utime(part, (time.time() - 7200,) * 2)
    write_whole(shelf, b"")
    assert not part.exists()


def test_whoever_waits_for_a_turn_says_so(tmp_path: Path) -> None:
    with turn_to_write(tmp_path / "x"):
        with (
            pytest.raises(RuntimeError, match=r"x: another process is writing it"),
            turn_to_write(tmp_path / "x", wait=False),
        ):
            pass
        waiting = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from triptych.system.locks import *\nwith turn_to_write({str(tmp_path / 'x')!r}): pass",
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert waiting.stderr is not None
        assert "waiting for another process that is changing it" in waiting.stderr.readline()
    assert waiting.wait() == 0
    waiting.stderr.close()


@pytest.mark.filterwarnings("ignore:.*waiting for another process")
def test_locks_leave_nothing_behind_and_let_one_in_at_a_time(tmp_path: Path) -> None:
    counter = tmp_path / "x"
    counter.write_text("0")

    def count() -> None:
        for _ in range(8):
            with turn_to_write(counter):
                number = int(counter.read_text())
                time.sleep(0.0005)
                counter.write_text(str(number + 1))

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.read_text() == "32"
    assert list(tmp_path.iterdir()) == [counter]


def test_a_link_keeps_pointing_to_the_file(command: Command, shelf: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.triptych"
    link.symlink_to(shelf)
    assert command("add", link, "quince", *more(tmp_path / "new", 7, 0)).code == 0
    assert link.is_symlink()
    assert "quince" in counts(shelf)


def test_adding_computes_nothing_for_the_other_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = [photo(kind, i) for kind in range(6) for i in range(3)]
    recognizer = Recognizer(calibrate=False).fit(photos, np.repeat(list("abcdef"), 3).tolist())
    encoded, summarised = [], []
    method = recognizer.method_
    encode, summarise = method.encode, method.summarise
    monkeypatch.setattr(method, "encode", lambda images: encoded.append(len(images)) or encode(images))
    monkeypatch.setattr(method, "summarise", lambda maps, views: summarised.append(len(maps)) or summarise(maps, views))
    recognizer.add([photo(0, 60), photo(0, 61)], "a").add([photo(9, 0)], "g")
    assert (sum(encoded), summarised) == (3, [5, 1])
    encoded.clear(), summarised.clear()
    recognizer.remove_photo(recognizer.support_["b"].ids[0])
    assert (encoded, summarised) == ([], [2])
    recognizer.remove("c")
    assert (encoded, summarised) == ([], [2])


def test_the_json_of_each_command_is_one_document(command: Command, shelf: Path, tmp_path: Path) -> None:
    new = more(tmp_path / "new", 7, 0)
    for arguments in (("show", shelf), ("add", shelf, "quince", *new), ("remove", shelf, "--label", "quince")):
        ended = command(*arguments, "--json")
        assert ended.code == 0
        json.loads(ended.out)


def test_what_is_no_recogniser_is_not_locked(command: Command, tmp_path: Path) -> None:
    """A lock cannot even be made beside some files, such as those of /proc, and would be waited for without end."""
    path = tmp_path / "x.triptych"
    path.write_text("a note")
    assert command("remove", path, "--label", "plum").err == f"error: {path}: truncated, damaged or not a " + (
        ".triptych file: it does not begin with a header in JSON, as such files do; expected one that triptych wrote, "
        "whole\n"
    )
    assert list(tmp_path.iterdir()) == [path]
