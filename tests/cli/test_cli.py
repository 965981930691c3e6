"""The command as a person runs it: a process, its exit code, and what it prints where."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from photos import class_folders, photo, split_folders

from triptych.cli import main


def triptych(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "triptych.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=False, env=os.environ)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("photos"), classes=3, each=3)


@pytest.fixture(scope="module")
def model(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "x.triptych"
    result = triptych("fit", folder, "-o", path, "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["classes"] == {"class0": 3, "class1": 3, "class2": 3}
    return path


def test_help_lists_the_commands_without_loading_torch() -> None:
    result = triptych("--help")
    assert result.returncode == 0
    for command in ("demo", "fit", "predict", "compare", "evaluate", "pretrain", "train"):
        assert command in result.stdout
    check = "import sys; import triptych.cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_predict_answers_new_photos(model: Path, tmp_path: Path) -> None:
    for kind in range(3):
        photo(kind, 50).save(tmp_path / f"{kind}.png")
    paths = [str(tmp_path / f"{kind}.png") for kind in range(3)]
    result = triptych("predict", model, *paths, "--json")
    answers = json.loads(result.stdout)
    assert result.returncode == 0
    assert [answer["image"] for answer in answers] == paths
    assert [answer["label"] for answer in answers] == ["class0", "class1", "class2"]
    assert all(sum(answer["probabilities"].values()) == pytest.approx(1) for answer in answers)


def test_predict_goes_on_after_an_unreadable_photo_and_exits_with_1(model: Path, tmp_path: Path) -> None:
    photo(0, 50).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"not a photo")
    result = triptych("predict", model, tmp_path / "bad.png", tmp_path / "good.png")
    assert result.returncode == 1
    assert "error: " in result.stderr
    assert "bad.png: not an image" in result.stderr
    assert "good.png: class0" in result.stdout


def test_predict_says_when_a_photo_was_learnt_from(model: Path, folder: Path) -> None:
    result = triptych("predict", model, folder / "class0" / "0.png", "--json")
    assert result.returncode == 0
    assert json.loads(result.stdout)[0]["in_support"] is True
    assert "learnt from" in result.stderr


def test_demo_recognises_the_shipped_photos_and_writes_the_page(tmp_path: Path) -> None:
    result = triptych("demo", "--json", "--shot", 5, "-o", tmp_path / "page.html")
    summary = json.loads(result.stdout)
    assert result.returncode == 0
    assert summary["classes"] == 8
    assert summary["photos"] == len(summary["answers"]) == 64
    assert summary["right"] == sum(a["photo"].split("/")[0] == a["label"] for a in summary["answers"])
    assert summary["accuracy"] > 0.5  # chance is 0.125
    page = (tmp_path / "page.html").read_text()
    assert page.count("<img ") >= 104
    assert f"{summary['right']} of 64 photos recognised" in page
    assert "http:" not in page
    assert "https:" not in page


def test_evaluate_prints_one_json_record(folder: Path) -> None:
    arguments = ("--way", 2, "--shot", 1, "--queries", 2, "--episodes", 5, "--seed", 3, "--json")
    first, second = (json.loads(triptych("evaluate", folder, *arguments).stdout) for _ in range(2))
    assert first["episodes"] == 5
    assert first["accuracy"] == first["levels"]["distribution + pixel + part"]["mean"]
    assert len(first["levels"]) == 7
    for changing in ("seconds",):
        first.pop(changing), second.pop(changing)
    assert first == second


def test_evaluate_refuses_a_photo_that_support_and_query_could_share(tmp_path: Path) -> None:
    folder = class_folders(tmp_path, classes=2, each=4)
    (folder / "class0" / "copy.png").write_bytes((folder / "class0" / "0.png").read_bytes())
    result = triptych("evaluate", folder, "--way", 2, "--queries", 2, "--episodes", 2)
    assert result.returncode == 2
    assert "copy.png are the same photo" in result.stderr
    assert result.stdout == ""


def test_train_runs_and_resumes(tmp_path: Path) -> None:
    data = split_folders(tmp_path / "data")
    arguments = ("train", data, "--preset", "fast", "--epochs", 1, "--steps", 2, "--way", 3, "--shot", 1)
    arguments += ("--queries", 2, "--out", tmp_path / "run")
    refused = triptych(*arguments)  # 48 training images are less than the preset's batch of 128
    assert refused.returncode == 2
    assert "fewer than one batch" in refused.stderr
    pre = triptych("pretrain", data, "--epochs", 1, "--batch", 8, "--out", tmp_path / "pre")
    assert pre.returncode == 0, pre.stderr
    best = pre.stdout.strip()
    assert Path(best).is_file()
    first = triptych(*arguments, "--init", best)
    assert first.returncode == 0, first.stderr
    again = triptych(*arguments, "--init", best)
    assert again.returncode == 2
    assert "--resume" in again.stderr
    assert triptych(*arguments, "--init", best, "--resume").returncode == 0
    trained = first.stdout.strip()
    asked = ("--split", "val", "--way", 3, "--episodes", 3)
    assert triptych("evaluate", data, "--method", trained, *asked).returncode == 0


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
        (("fit", "two", "-o", "x.triptych", "--shot", "5"), "class 'a' has 1 usable photo, expected at least 5"),
        (("fit", "two", "-o", "x.triptych", "--method", "no-such"), "no-such: no such file or embedded method"),
        (("predict", "none.triptych", "a.png"), "none.triptych: No such file"),
        (("predict", "two/a/x.png", "a.png"), "not a triptych-recognizer file"),
        (("evaluate", "two", "--way", "2"), "class 'a' has 1 images; 1 shots and 15 queries need 16"),
        (("evaluate", "two", "--way", "9"), "9-way episodes need"),
        (("evaluate", "two", "--episodes", "0"), "episodes must be at least 1, got 0"),
        (("evaluate", "two", "--precision", "7"), "unknown precision '7'"),
        (("evaluate", "nowhere"), "nowhere: no such file or folder"),
        (("train", "two", "--method", "no-such"), "unknown method 'no-such'"),
        (("evaluate", "two", "--wey", "2"), "No such option"),
        (("predict",), "Missing argument"),
    ],
)
def test_wrong_input_is_one_clear_line_and_exit_2(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("empty", "one/a", "hollow/a", "hollow/b", "broken/a", "broken/b", "two/a", "two/b"):
        (tmp_path / name).mkdir(parents=True)
    for number, name in enumerate(("one/a", "hollow/a", "broken/a", "two/a", "two/b")):
        photo(number, 0).save(tmp_path / name / "x.png")
    (tmp_path / "broken/b/x.png").write_bytes(b"")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["triptych", *arguments])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # main replaces it
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    assert caught.value.code == 2, printed.err
    assert message in " ".join(printed.err.split())
    assert printed.out == ""
    assert sorted(tmp_path.rglob("*")) == before
