"""What would be told late, or not at all, is told before any work, and says what was expected."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import Command
from photos import class_folders, photo

from triptych.evaluation import EpisodeSettings, write_episodes
from triptych.interop import load_method
from triptych.methods import save_method
from triptych.recognizer import Recognizer


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(monkeypatch, capsys)


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRIPTYCH_CACHE", str(tmp_path / "cache"))
    return class_folders(tmp_path / "photos", classes=3, each=4)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever loads a method or a recogniser fails, and not by an error that commands tell."""

    def worked(*_: object, **__: object) -> None:
        raise AssertionError("work was begun")

    monkeypatch.setattr("triptych.interop.loading.load_method", worked)
    monkeypatch.setattr("triptych.interop.sharing.push_method", worked)
    monkeypatch.setattr(Recognizer, "load", worked)


@pytest.mark.usefixtures("no_work")
def test_a_way_that_is_not_that_of_the_episodes_is_told_before_any_work(photos: Path, command: Command) -> None:
    write_episodes(photos, "e.json", EpisodeSettings(way=2, queries=2, episodes=3))
    ended = command("evaluate", photos, "--episodes-file", "e.json", "--way", 3)
    assert (ended.code, ended.err) == (2, "error: e.json: its way is 2, and 3 is asked for; leave that out\n")


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("content", ["", "# way: 5\n", "---\n"])
def test_a_file_of_settings_without_settings_is_named(photos: Path, command: Command, content: str) -> None:
    Path("c.yaml").write_text(content)
    ended = command("evaluate", photos, "--config", "c.yaml")
    assert ended.code == 2
    assert ended.err == "error: c.yaml: no settings in it; expected some by name, such as way: 5\n"


def test_a_plain_folder_is_no_known_data_set(photos: Path, command: Command) -> None:
    ended = command("splits", photos, "--expect", "miniimagenet")
    assert ended.code == 2
    assert ended.err.startswith(f"error: {photos}: has no split 'train'; miniimagenet has train, val and test (")
    assert ended.err.endswith("give it as it is shipped, or leave --expect out\n")
    assert "to evaluate on all of it" not in ended.err


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("option", [("--licence", "mit"), ("--record", "r.json")])
@pytest.mark.usefixtures("photos")
def test_what_the_made_card_would_say_is_not_passed_over(command: Command, option: tuple[str, str]) -> None:
    Path("card.md").write_text("# Mine")
    Path("r.json").write_text(json.dumps({}))
    ended = command("push", "mml-conv64f", "place", "--card", "card.md", *option)
    assert (ended.code, Path("place").exists()) == (2, False)
    assert ended.err.startswith(f"error: {option[0]}")
    assert ended.err.endswith("--card card.md is given; write it into that card\n")


@pytest.mark.usefixtures("photos")
def test_the_file_of_a_token_is_named_with_what_it_should_be(command: Command) -> None:
    missing = command("serve", "--token-file", "none.txt")
    assert (missing.code, missing.err) == (2, "error: none.txt: no such file; expected a file with the token\n")
    Path("t").write_bytes(b"\xff\xfe")
    ended = command("serve", "--token-file", "t")
    assert (ended.code, ended.err) == (2, "error: t: no text in UTF-8; expected a file with the token\n")


@pytest.mark.usefixtures("no_work")
def test_places_that_cannot_be_written_are_told_before_any_work(photos: Path, command: Command) -> None:
    Path("x.triptych").touch()
    Path("file").touch()
    for arguments in (
        ("evaluate", photos, "--run-folder"),
        ("sort", "x.triptych", photos, "-o"),
        ("push", "mml-conv64f"),
    ):
        locked = command(*arguments, "/proc/place")  # where root cannot write either
        assert locked.code == 1, locked.err
        assert locked.err.startswith("error: /proc/place: cannot be written (no file can be made in /proc: ")
        ended = command(*arguments, "file")
        assert ended.code == 2, ended.err
        assert ended.err.startswith("error: file: ")
        assert "expected a folder" in ended.err


def test_sorting_and_pushing_in_python_look_at_the_place_first(photos: Path) -> None:
    from triptych.folders import sort_photos
    from triptych.interop import model_card, push_method

    method = load_method("mml-conv64f")
    recognizer = Recognizer(method, calibrate=False).fit(photos)
    with pytest.raises(OSError, match="/proc/place: cannot be written"):
        sort_photos(recognizer, photos, "/proc/place")
    with pytest.raises(OSError, match="/proc/place: cannot be written"):
        push_method(method, "/proc/place", model_card(method, "place"))


@pytest.mark.usefixtures("photos")
def test_a_split_beside_a_label_is_not_passed_over(command: Command) -> None:
    Path("x.triptych").touch()
    ended = command("add", "x.triptych", "plum", "photos/class0/0.png", "--split", "val")
    assert ended.code == 2
    assert ended.err == "error: --split val is of the data that --from names, which is missing; leave it out\n"


def test_a_record_or_a_run_that_somebody_changed_is_told(photos: Path, command: Command) -> None:
    asked = ("--way", 2, "--queries", 1, "--episodes", 2)
    done = command("evaluate", photos, "--method", "mml-conv64f", *asked, "-o", "r.json")
    assert done.code == 0, done.err
    record = json.loads(Path("r.json").read_text())
    for name, value in (("accuracy", "high"), ("accuracy", 7.0), ("way", None), ("data", 5), ("ci95", [])):
        Path("r.json").write_text(json.dumps({**record, name: value}))
        ended = command("push", "mml-conv64f", "place", "--record", "r.json")
        assert ended.code == 2, ended.err
        assert ended.err.startswith(f"error: a record has {value!r} for {name}; expected ")
    for text in ("{", "[]", '{"starts": []}', '{"starts": [{"git": 5}]}'):
        save_method(load_method("mml-conv64f"), "best.safetensors")
        Path("environment.json").write_text(text)
        ended = command("push", "best.safetensors", "place")
        assert (ended.code, Path("place").exists()) == (2, False)
        assert ended.err.startswith("error: environment.json: damaged; expected that of a run")


@pytest.mark.parametrize(
    ("images", "told"),
    [
        ([1, 2], "got int for an image"),
        ([b"x", b"y"], "got bytes for an image"),
        ([{"x": 1}, {"x": 2}], "no bytes in the image None"),
    ],
)
def test_a_table_of_other_images_says_what_it_should_hold(
    photos: Path, command: Command, images: list[object], told: str
) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.table({"image": images, "label": ["a", "b"]}), "x.parquet")
    ended = command("splits", "x.parquet")
    head = "error: x.parquet: not a Parquet file with image {bytes, path} and label columns"
    assert (ended.code, ended.err) == (2, f"{head} ({told})\n")


@pytest.mark.usefixtures("no_work")
def test_settings_with_a_key_that_is_no_text_say_the_line(photos: Path, command: Command) -> None:
    Path("c.yaml").write_text("way: 5\n? [a]\n: b\n")
    ended = command("evaluate", photos, "--config", "c.yaml")
    assert ended.code == 2
    assert ended.err.startswith(
        "error: c.yaml: no YAML file of settings (line 2: a key that is no text); expected some"
    )


@pytest.mark.usefixtures("photos", "no_work")
def test_names_that_no_place_has_are_refused_before_any_work(command: Command) -> None:
    Path("x.triptych").touch()
    long = "a" * 300
    for arguments in (
        ("fit", "photos", "-o", f"{long}.triptych"),
        ("sort", "x.triptych", "photos", "-o", long),
        ("evaluate", "photos", "--run-folder", long),
    ):
        ended = command(*arguments)
        assert ended.code == 2, ended.err
        assert ended.err == f"error: {'a' * 60}...: File name too long; give a shorter one\n"
    for place in ("s3://bucket/run", "https://example.org/run", "hf:me/run"):
        ended = command("sort", "x.triptych", "photos", "-o", place)
        assert ended.code == 2, ended.err
        assert "looks like an address; expected a folder of this machine for the copies" in ended.err
    for arguments in (("add", "x.triptych", "plum", ""), ("sort", "x.triptych", "", "-o", "sorted"), ("fit", "")):
        ended = command(*arguments)
        assert ended.code == 2
        assert ended.err.startswith("error: an argument is empty, as of a variable that is not set; give a value")
    for arguments in (
        ("sort", "x.triptych", "photos", "--out="),
        ("add", "x.triptych", "--from="),
        ("serve", "--data="),
    ):
        ended = command(*arguments)
        assert (ended.code, ended.err[:28]) == (2, "error: an argument is empty,")
    assert sorted(path.name for path in Path().iterdir()) == ["photos", "x.triptych"]


OF_ANOTHER_KIND = """
import torch
from triptych import Recognizer, load_method, save_method
from triptych.data import Limits, Preprocessing
from triptych.engines import engine_of
from triptych.evaluation import evaluate, evaluate_domains, read_episodes, write_episodes
from triptych.methods import build_method, read_method

method = load_method("mml-conv64f")
for call in (
    lambda: Recognizer.load(5),
    lambda: read_episodes([]),
    lambda: evaluate_domains([None], method, "x"),
    lambda: save_method(None, "x.safetensors"),
    lambda: read_method("/proc"),
    lambda: Limits(megabytes="x"),
    lambda: Limits(megabytes=10**400),
    lambda: Preprocessing(interpolation=[]),
    lambda: Recognizer(method).fit(["1.png"], [torch.zeros(3)]),
    lambda: build_method(None),
    lambda: evaluate("photos", None, "x"),
    lambda: write_episodes("photos", "x.json", None),
    lambda: engine_of("local"),
):
    try:
        call()
    except ValueError as error:
        print(error)
"""


def test_what_is_of_another_kind_is_told_in_python_too() -> None:
    """In a process of its own: under pytest, types are checked as well."""
    ended = subprocess.run([sys.executable, "-c", OF_ANOTHER_KIND], capture_output=True, text=True, timeout=120)
    expected = (
        "expected a path, got int: 5",
        "expected a path, got list: []",
        "expected a path, got NoneType: None",
        "expected a method, such as load_method gives, got NoneType",
        "/proc: a folder; expected a .safetensors file of a method",
        "megabytes must be a number above 0 and at most 1e+09, got 'x'",
        "megabytes must be a number above 0 and at most 1e+09, got 1000",
        "interpolation is []; expected one of",
        "a label is a Tensor; expected a text or a number",
        "expected the name of a method or its configuration, got NoneType",
        "expected a method, such as load_method gives, got NoneType",
        "expected EpisodeSettings, got NoneType",
        "expected EngineSettings, got str",
    )
    assert ended.stderr == ""
    lines = ended.stdout.splitlines()
    assert [line[: len(told)] for line, told in zip(lines, expected, strict=True)] == list(expected)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("predict", "x.triptych", "1.png", "--overwrite"), "--overwrite is for the table of --out, which is missing"),
        (("show", "x.triptych", "--overwrite"), "--overwrite is for the page of --out, which is missing"),
        (
            ("explain", "x.triptych", "1.png", "--overwrite"),
            "--overwrite is for the picture of --out, which is missing",
        ),
        (("push", "mml-conv64f", "shared", "--private"), "--private is of a repository on the hub, and shared is a"),
        (("predict", "x.triptych", "1.png", "--coverage"), "see triptych predict --help"),
        (("show", "x.triptych", "--photos=5"), "see triptych show --help"),
        (("compare", "photos", "--shot", 2**64), "--shot must be a whole number from 1 to 1000000"),
        (("fit", "photos", "-o", "y.triptych", "--components", 1), "--components must be a whole number of at least 2"),
    ],
)
def test_options_without_effect_and_out_of_bounds_are_refused(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    class_folders(tmp_path / "photos", classes=2, each=2)
    photo(0, 9).save("1.png")
    Path("x.triptych").write_bytes(b"not opened")
    ended = command(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1
