"""The command as a person runs it: its exit code, and what it prints where."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from commands import Command
from photos import class_folders, photo, split_folders

import triptych
from triptych import Recognizer
from triptych.methods import METHODS, WEIGHTS
from triptych.system.kinds import PAGE
from triptych.system.outputs import check_output
from triptych.system.wording import printable


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos"), classes=3, each=3)


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "x.triptych"
    Recognizer().fit(folder).save(path)
    return path


def test_help_lists_the_commands_without_loading_torch(command: Command) -> None:
    listed = command("--help").out
    for name in ("demo", "fit", "predict", "compare", "evaluate", "methods", "pretrain", "train"):
        assert name in listed
    check = "import sys; import triptych.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_the_version_is_told(command: Command) -> None:
    assert command("--version").out == f"triptych {triptych.__version__}\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["predict"], "error: Missing argument 'FILE'; see triptych predict --help\n"),
        (["predict", "a", "b", "--qqq"], "error: No such option: --qqq; see triptych predict --help\n"),
        (["nope\x1b[2J"], "error: No such command 'nope\\x1b[2J'; see triptych --help\n"),
        (["explain", "a", "b", "--top", "[/red]"], "error: Invalid value for '--top': "),
    ],
)
def test_what_the_parser_refuses_is_one_line(command: Command, given: list[str], told: str) -> None:
    ended = command(*given)
    assert ended.code == 2
    assert ended.err.startswith(told)
    assert ended.err.count("\n") == 1
    assert ended.out == ""


def test_without_arguments_there_is_help(command: Command) -> None:
    assert "recognise" in command().out.lower()


def test_an_interruption_is_one_line(command: Command, folder: Path, request: pytest.FixtureRequest) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    long = ["--way", 2, "--queries", 1, "--episodes", 1_000_000, "--method", "mml-conv64f"]
    ended = command("evaluate", folder, *long)
    assert ended.code == 130
    assert ended.err == "error: interrupted\n"


def test_an_interruption_says_where_the_command_goes_on(
    command: Command, model: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recognizer, "answers", interrupted)
        asked = ("predict", model, folder, "--out", tmp_path / "x.csv")
        ended = [command(*asked), command("sort", model, folder, tmp_path / "sorted"), command(*asked[:3])]
    assert [one.code for one in ended] == [130] * 3
    assert [one.err for one in ended] == [
        "error: interrupted; the same command goes on from here\n",
        "error: interrupted; the same command copies the others\n",
        "error: interrupted\n",
    ]
    assert command(*asked).code == 0


def test_an_interrupted_run_says_that_it_goes_on_where_there_is_a_checkpoint(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, run = split_folders(tmp_path / "data"), tmp_path / "run"

    def interrupted(*_: object, **__: object) -> None:
        if run.exists():
            (run / "checkpoint.pt").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr("triptych.training.pretrain", interrupted)
    assert command("pretrain", data, "-o", run).err == "error: interrupted\n"
    run.mkdir()
    told = "error: interrupted; the same command with --resume goes on from the last checkpoint\n"
    assert command("pretrain", data, "-o", run).err == told


def test_threads_of_small_commands_spin_little(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    command("predict", "none.triptych", "1.png")
    assert "GOMP_SPINCOUNT" not in os.environ
    command("explain", "none.triptych", "1.png")
    assert os.environ["GOMP_SPINCOUNT"] == "2000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    command("explain", "none.triptych", "1.png")
    assert os.environ["GOMP_SPINCOUNT"] == "7"


def test_predict_answers_new_photos(command: Command, model: Path, tmp_path: Path) -> None:
    for kind in range(3):
        photo(kind, 50).save(tmp_path / f"{kind}.png")
    paths = [str(tmp_path / f"{kind}.png") for kind in range(3)]
    ended = command("predict", model, *paths, "--json")
    assert ended.code == 0
    assert [answer["image"] for answer in ended.json] == paths
    assert [answer["label"] for answer in ended.json] == ["class0", "class1", "class2"]
    assert all(sum(answer["probabilities"].values()) == pytest.approx(1) for answer in ended.json)


def test_predict_gives_sets_of_a_stated_coverage(command: Command, model: Path, tmp_path: Path) -> None:
    photo(0, 50).save(tmp_path / "new.png")
    (told,) = command("predict", model, tmp_path / "new.png", "--coverage", "0.5", "--json").json
    assert told["prediction_set"][0] == told["label"]
    assert set(told["prediction_set"]) <= set(told["probabilities"])
    ended = command("predict", model, tmp_path / "new.png", "--coverage", "0.5")
    assert f"; set at 50%: {', '.join(told['prediction_set'])}" in ended.out
    assert "prediction_set" not in command("predict", model, tmp_path / "new.png", "--json").json[0]


def test_a_device_that_holds_no_numbers_does_not_make_a_sound_file_look_damaged(command: Command, model: Path) -> None:
    ended = command("predict", model, "new.png", "--device", "meta")
    assert (ended.code, ended.err) == (2, "error: device meta: expected auto, cpu or cuda\n")


def test_predict_answers_the_photos_of_folders_too(command: Command, model: Path, tmp_path: Path) -> None:
    (tmp_path / "more" / "deeper").mkdir(parents=True)
    places = ["first.png", "more/1.png", "more/deeper/2.png"]
    for kind, place in enumerate(places):
        photo(kind, 50).save(tmp_path / place)
    ended = command("predict", model, tmp_path / "first.png", tmp_path / "more")
    assert ended.code == 0
    answers = [line.rsplit(" (", 1)[0] for line in ended.out.splitlines()]
    assert answers == [f"{tmp_path / place}: class{kind}" for kind, place in enumerate(places)]


def test_predict_goes_on_after_a_photo_that_cannot_be_read(command: Command, model: Path, tmp_path: Path) -> None:
    photo(0, 50).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"not a photo")
    for bad, reason in (("bad.png", "not an image"), ("none.png", "No such file"), ("x" * 300, "name too long")):
        ended = command("predict", model, tmp_path / bad, tmp_path / "good.png")
        assert ended.code == 1
        assert ended.err.startswith(f"error: {tmp_path / bad}: ")
        assert reason in ended.err
        assert "good.png: class0" in ended.out


def test_predict_names_files_whose_names_are_no_text(command: Command, model: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    try:
        photo(0, 50).save(tmp_path / "1.png")
        (tmp_path / "1.png").rename(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    ended = command("predict", model, tmp_path / name, tmp_path / os.fsdecode(b"no\xe9.png"))
    assert ended.code == 1
    assert "caf\\udce9.png: class0" in ended.out
    assert "no\\udce9.png: No such file" in ended.err
    assert command("predict", model, tmp_path / name, "--json").json[0]["image"] == printable(tmp_path / name)


def test_predict_says_when_a_photo_was_learnt_from(command: Command, model: Path, folder: Path) -> None:
    ended = command("predict", model, folder / "class0" / "0.png", "--json")
    assert ended.code == 0
    assert ended.json[0]["in_support"] is True
    assert "0.png: one of the photos that were learnt from; its answer proves nothing" in ended.err
    ended = command("predict", model, folder)
    assert ended.err.count("\n") == 1
    assert "of the photos were learnt from; their answers prove nothing: " in ended.err
    assert ended.err.endswith(", ...\n")


def test_what_is_no_text_does_not_reach_the_terminal(command: Command, tmp_path: Path) -> None:
    label, name = "\x1b]0;owned\x07\x9b31m\n\u202elemon", "\x1b[2J.png"
    Recognizer().fit([photo(0, 0), photo(1, 0)], [label, "plum"]).save(tmp_path / "x.triptych")
    photo(0, 50).save(tmp_path / name)
    for verb, *rest in (("show",), ("predict", tmp_path / name, f"no{name}"), ("explain", tmp_path / name)):
        for form in ([], ["--json"]):
            ended = command(verb, tmp_path / "x.triptych", *rest, *form)
            assert (ended.out + ended.err).replace("\n", "").isprintable(), (verb, form)
    assert command("show", tmp_path / "x.triptych", "--json").json["classes"][0]["label"] == label


@pytest.mark.slow
def test_demo_recognises_the_shipped_photos_on_a_page(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    ended = command("demo", "--json", "--shot", 5, "-o", page)
    assert ended.code == 0
    summary = ended.json
    assert summary["classes"] == 8
    assert summary["photos"] == len(summary["answers"]) == 64
    assert summary["right"] == sum(a["photo"].split("/")[0] == a["label"] for a in summary["answers"])
    assert summary["accuracy"] > 0.5  # chance is 0.125
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") >= 64
    assert f"{summary['right']} of 64 photos recognised" in text
    assert 'src="http' not in text
    check_output(page, PAGE, overwrite=True)  # as the next run asks


def test_demo_replaces_its_page_on_demand_alone(command: Command, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html>\n<title>Triptych demonstration</title>")
    ended = command("demo", "-o", page)
    assert (ended.code, ended.out) == (2, "")
    assert "page.html: exists already; replace it with --overwrite" in ended.err


def test_evaluate_prints_one_json_record_and_writes_it(command: Command, folder: Path, tmp_path: Path) -> None:
    arguments = ("--way", 2, "--shot", 1, "--queries", 2, "--episodes", 5, "--seed", 2**64 - 1, "--json")
    asked = ("evaluate", folder, *arguments, "-o", tmp_path / "record.json")
    first = command(*asked).json
    assert json.loads((tmp_path / "record.json").read_text()) == first
    assert "exists already; replace it with --overwrite" in command(*asked).err
    second = command(*asked, "--overwrite").json
    assert first["episodes"] == 5
    assert first["accuracy"] == list(first["levels"].values())[-1]["mean"]
    first.pop("seconds"), second.pop("seconds")
    assert first == second


def test_evaluate_prints_a_table_whose_columns_stand_below_each_other(command: Command, folder: Path) -> None:
    arguments = ("--way", 2, "--shot", 1, "--queries", 2, "--episodes", 2, "--method", "mml-conv64f")
    _, head, *rows = command("evaluate", folder, *arguments).out.splitlines()
    assert len(rows) == 15
    assert {line.index("±") for line in rows} == {head.index("accuracy") + 7}
    assert {line.rindex("±") for line in rows} == {head.index("all levels minus these") + 7}
    assert "+-" not in "".join(rows)


def test_evaluate_refuses_a_photo_that_support_and_query_could_share(command: Command, tmp_path: Path) -> None:
    folder = class_folders(tmp_path, classes=2, each=4)
    (folder / "class0" / "copy.png").write_bytes((folder / "class0" / "0.png").read_bytes())
    ended = command("evaluate", folder, "--way", 2, "--queries", 2, "--episodes", 2)
    assert (ended.code, ended.out) == (2, "")
    assert "copy.png are the same photo" in ended.err


def test_methods_lists_what_there_is(command: Command) -> None:
    known = command("methods", "--json").json
    assert {one["name"] for one in known} == {*METHODS, *WEIGHTS}
    assert {one["name"] for one in known if one["weights"] is not None} == set(WEIGHTS)
    together = {one["name"] for one in known if one["transductive"]}
    assert together == {name for name in METHODS if name.startswith("laplacianshot-")}
    listed = command("methods").out
    for one in known:
        assert f"{one['name']} " in listed
    assert listed.count("(transductive: no recogniser takes it)") == len(together)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_stdout_is_one_line() -> None:
    script = f"{sys.executable} -m triptych.cli --version"
    ended = subprocess.run(f"{script} > /dev/full", shell=True, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "error: the result cannot be printed (No space left on device)\n"
    closed = subprocess.run(f"{script} >&-", shell=True, capture_output=True, text=True, check=False)
    assert closed.stderr == ""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("place", ["2>/dev/full", "2>&-"])
def test_messages_that_nobody_can_read_leave_the_code_and_stdout_as_they_are(place: str) -> None:
    script = f"{sys.executable} -m triptych.cli show nowhere.triptych --json {place}"
    ended = subprocess.run(script, shell=True, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")


def test_a_closed_pipe_ends_quietly() -> None:
    ended = subprocess.run(
        f"(sleep 1; {sys.executable} -m triptych.cli train --help) | true",
        shell=True,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""


@pytest.mark.slow
def test_train_runs_and_resumes(command: Command, tmp_path: Path) -> None:
    data = split_folders(tmp_path / "data")
    pretrained = command("pretrain", data, "--epochs", 1, "--batch", 8, "--side", 32, "-o", tmp_path / "pre")
    assert pretrained.code == 0, pretrained.err
    best = pretrained.out.strip()
    assert Path(best).is_file()
    tiny = ("--steps", 1, "--way", 2, "--shot", 1, "--queries", 1, "--side", 32, "--plda-images", 0)
    tiny += ("--balance-episodes", 0, "--validation-episodes", 1, "--validation-shot", 1)
    arguments = ("train", data, *tiny, "--init", best, "-o", tmp_path / "run")
    first = command(*arguments)
    assert first.code == 0, first.err
    again = command(*arguments)
    assert again.code == 2
    assert "--resume" in again.err
    assert command(*arguments, "--resume").code == 0
    assert command("show", first.out.strip()).code == 2
    asked = ("--split", "val", "--way", 3, "--episodes", 3)
    assert command("evaluate", data, "--method", first.out.strip(), *asked).code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("fit", "nowhere", "-o", "x.triptych"), "nowhere: no such file or folder"),
        (
            ("fit", "empty", "-o", "x.triptych"),
            "empty: no class folders in it; expected a folder with one sub-folder of photos per class, or a CSV",
        ),
        (("fit", "one", "-o", "x.triptych"), "at least two classes, got 1"),
        (
            ("fit", "hollow", "-o", "x.triptych"),
            "hollow: class folders without files: b; put photos in them or remove them",
        ),
        (("fit", "broken", "-o", "x.triptych"), "class 'b': none of its photos can be read (1)"),
        (("fit", "two", "-o", "nowhere/x.triptych"), "x.triptych: expected a file in a folder that exists"),
        (("fit", "two", "-o", "x.triptych", "--min-photos", "5"), "class 'a' has 1 photo, expected at least 5"),
        (("fit", "two", "-o", "x.triptych", "--method", "no-such"), "no-such: no such file or registered weights"),
        (("predict", "none.triptych", "a.png"), "none.triptych: no such file"),
        (("predict", "two/a/x.png", "a.png"), "not a .triptych file"),
        (("evaluate", "two", "--way", "2"), "class 'a' has 1 images; 1 shots and 15 queries need 16"),
        (("evaluate", "two", "--way", "9"), "9-way episodes need 9 classes; the data has 2"),
        (("evaluate", "two", "--episodes", "0"), "--episodes must be a whole number from 1 to 1000000, got 0"),
        (("evaluate", "two", "--precision", "7"), "--precision must be one of auto, 32, bf16-search, bf16, got '7'"),
        (("evaluate", "nowhere"), "nowhere: no such file or folder"),
        (("train", "two", "--method", "no-such"), "unknown method 'no-such'"),
        (("evaluate", "two", "--wey", "2"), "No such option"),
        (("fit", "two", "-o", "two/a/x.png"), "two/a/x.png: expected a name that ends in .triptych"),
        (("fit", "two", "-o", "two/x.triptych"), "two/x.triptych: lies inside two, whose photos are read"),
        (("fit", "two", "-o", "x.triptych", "--device", "gpu"), "device gpu: expected auto, cpu or cuda"),
        (("fit", "two", "-o", "x.triptych", "--views", "1000"), "views must be a whole number from 1 to 64, got 1000"),
        (("fit", "two", "-o", "x.triptych", "--views", f"{10**20}"), "views must be a whole number from 1 to 64"),
        (("fit", "two", "-o", "x.triptych", "--views", "0"), "views must be a whole number from 1 to 64, got 0"),
        (("compare", "two", "-o", "two/a/x.png"), "two/a/x.png: expected a name that ends in .html or .htm"),
        (("compare", "two", "-o", "two/a/x.html"), "two/a/x.html: lies inside two"),
        (("compare", "two", "--repeats", "1"), "--repeats must be a whole number from 2 to 1000, got 1"),
        (("compare", "two", "--shot", "0"), "--shot must be a whole number from 1 to 1000000, got 0"),
        (("compare", "two", "--seed", f"{2**64}"), "--seed must be a whole number from 0 to 18446744073709551615"),
        (("compare", "two", "--device", "cuda:77"), "device cuda:77: PyTorch finds "),
        (("demo", "-o", "home/page.html"), "home/page.html: exists and is no page that triptych wrote"),
        (("demo", "-o", "nodir/x.html"), "nodir/x.html: expected a file in a folder that exists"),
        (("evaluate", "two", "-o", "two/x.json"), "two/x.json: lies inside two"),
        (("evaluate", "two", "--seed", f"{2**64}"), "--seed must be a whole number from 0 to 18446744073709551615"),
        (("evaluate", "two", "--device", "gpu"), "device gpu: expected auto, cpu or cuda"),
        (("train", "two", "--way", "0"), "--way must be a whole number of at least 2, got 0"),
        (("train", "two", "--shot", "1", "--shot", "0"), "--shot must be a whole number of at least 1, got 0"),
        (("train", "two", "--queries", "0"), "--queries must be a whole number of at least 1, got 0"),
        (
            ("train", "two", "--learning-rate", "nan"),
            "--learning-rate must be a number above 0 and at most 100, got",
        ),
        (
            ("train", "two", "--learning-rate", "inf"),
            "--learning-rate must be a number above 0 and at most 100, got",
        ),
        (("train", "two", "--pretrain-learning-rate", "0"), "--pretrain-learning-rate must be a number above 0"),
        (("train", "two", "--side", "0"), "--side must be a whole number from 16 to 1024, got 0"),
        (("train", "two", "--side", "1"), "--side must be a whole number from 16 to 1024, got 1"),
        (("train", "two", "--side", "100000"), "--side must be a whole number from 16 to 1024, got 100000"),
        (("train", "two", "--steps", "0"), "--steps must be a whole number of at least 1"),
        (("train", "two", "--epochs", "0"), "--epochs must be a whole number of at least 1"),
        (("train", "two", "--precision", "fp8"), "--precision must be one of auto"),
        (("train", "two", "--seed", f"{2**64}"), "--seed must be a whole number from 0 to 18446744073709551615"),
        (("train", "two", "--checkpoint-seconds", "nan"), "--checkpoint-seconds must be a number from 0"),
        (("train", "two", "--preset", "slow"), "unknown preset 'slow'; expected one of paper, fast"),
        (
            ("train", "two", "--preset", "paper", "--epochs", "1"),
            "error: preset paper leaves out pre-training; leave out --epochs too",
        ),
        (("train", "two", "--new-fusion"), "--new-fusion is an option of --init, which is missing"),
        (
            ("train", "two", "--init", "x", "--pretrain-jitter", "1"),
            "error: --init x leaves out pre-training; leave out --pretrain-jitter too",
        ),
        (("train", "two", "-o", "home"), "home: holds other things than a run (page.html)"),
        (("train", "two", "-o", "two/run"), "two/run: lies inside two"),
        (("train", "two", "--device", "gpu"), "device gpu: expected auto, cpu or cuda"),
        (("pretrain", "two", "-o", "home"), "home: holds other things than a run (page.html)"),
        (("pretrain", "two", "--batch", "0"), "--batch must be a whole number of at least 1, got 0"),
        (("predict",), "Missing argument"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("empty", "one/a", "hollow/a", "hollow/b", "broken/a", "broken/b", "two/a", "two/b", "home"):
        (tmp_path / name).mkdir(parents=True)
    for number, name in enumerate(("one/a", "hollow/a", "broken/a", "two/a", "two/b")):
        photo(number, 0).save(tmp_path / name / "x.png")
    (tmp_path / "broken/b/x.png").write_bytes(b"")
    (tmp_path / "home/thesis.tex").write_text("years of work")
    (tmp_path / "home/page.html").write_text("<!doctype html><title>My own page</title>")
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    monkeypatch.chdir(tmp_path)
    ended = command(*arguments)
    assert ended.code == 2, ended.err
    assert message in " ".join(ended.err.replace("│", "").split())
    assert ended.out == ""
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_remarks_of_the_decoder_are_not_passed_on(command: Command, model: Path, tmp_path: Path) -> None:
    tags = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\x06\0\0\0"  # of which most are cut off
    photo(0, 50).save(tmp_path / "x.jpg", exif=tags)
    ended = command("predict", model, tmp_path / "x.jpg")
    assert (ended.code, ended.err) == (0, "")
