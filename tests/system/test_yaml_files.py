"""Settings in YAML: plain values alone, and what is wrong in one sentence."""

from pathlib import Path

import pytest

from triptych.system.wording import nearest
from triptych.system.yaml_files import read_yaml, yaml_text


def read(path: Path, text: str) -> dict:
    path.write_text(text)
    return read_yaml(path)


def test_numbers_are_numbers_however_they_are_written(tmp_path: Path) -> None:
    found = read(tmp_path / "x.yaml", "a: 1e-3\nb: 1.5\nc: 2\nd: -3E4\ne: '1e-3'\nf: .5\ng: v1.2")
    assert found == {"a": 0.001, "b": 1.5, "c": 2, "d": -30000.0, "e": "1e-3", "f": 0.5, "g": "v1.2"}
    assert type(found["c"]) is int


def test_an_empty_file_sets_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "x.yaml", "# nothing yet\n") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("way: [", r"x.yaml: no YAML file of settings \(line 1"),
        ("way: 5\nway: 6", r"\(line 2: the key 'way' twice\)"),
        ("a: &x [1, 2]\nb: [*x, *x]", r"\(line 2: an alias"),
        ("a: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
        ("[1, 2]", "expected settings by name, such as way: 5; got list"),
        ("1: 2", "expected settings by name"),
        ("{[1]: 2}", "a key that is no text"),
        ("a: 2026-13-45", "no YAML file of settings"),
        ("[" * 5000, "no YAML file of settings"),
    ],
)
def test_what_is_no_settings_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read(tmp_path / "x.yaml", text)
    assert "\n" not in str(caught.value)


def test_a_binary_and_a_huge_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00way")
    with pytest.raises(ValueError, match="no YAML file"):
        read_yaml(tmp_path / "x.yaml")
    (tmp_path / "x.yaml").write_bytes(b"#" * 2_000_000)
    with pytest.raises(ValueError, match=r"2\.0 MB; expected a YAML file of settings"):
        read_yaml(tmp_path / "x.yaml")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    values = {
        "name": "a: 'b' # c",
        "seed": 2**64 - 1,
        "train": {"rate": 1e-30, "shots": [1, 5], "none": None, "flips": True},
    }
    values["train"]["text"] = ["yes", "1e-3", "null", "", "ü\n"]
    assert read(tmp_path / "x.yaml", yaml_text(values, "Two\nlines.")) == values


def test_the_nearest_name_is_told() -> None:
    assert nearest("shoot", ["way", "shot"]) == "did you mean 'shot'?"
    assert nearest("qqq", ["way", "shot"]) == "expected some of shot, way"
