"""Cross-domain evaluation: one table of several data sets, each figure as it would be alone."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from commands import Command
from photos import class_folders
from toys import small_method

from triptych import save_method
from triptych.evaluation import EvaluateSettings, domain_table, evaluate, evaluate_domains
from triptych.methods import METHODS, Preprocessing, build_method

SETTINGS = EvaluateSettings(way=2, queries=2, episodes=3, seed=4)
ASKED = ("--way", 2, "--queries", 2, "--episodes", 3, "--seed", 4)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("data")
    return [class_folders(root / f"d{number}", classes=2 + number, each=4, first=5 * number) for number in range(3)]


def test_each_figure_is_what_it_would_be_alone(places: list[Path]) -> None:
    record = evaluate_domains(places, small_method(), "small", SETTINGS)
    for place, found in zip(places, record["domains"], strict=True):
        assert found["levels"] == evaluate(place, small_method(), "small", SETTINGS)["levels"]
        assert found["data"] == str(place)
    assert [found["classes"] for found in record["domains"]] == [2, 3, 4]
    table = domain_table(record).splitlines()
    assert len(table) == 5
    assert all(line.count("|") == table[0].count("|") for line in table)
    assert f"| 8 | {100 * record['domains'][0]['accuracy']:.2f} ± " in table[2]


def test_a_transductive_method_is_marked(places: list[Path]) -> None:
    method = build_method(replace(METHODS["laplacianshot-conv64f"], preprocessing=Preprocessing(side=32))).eval()
    record = evaluate_domains(places[:2], method, "laplacianshot", SETTINGS)
    assert record["transductive"]
    assert all(one["transductive"] for one in record["domains"])
    assert domain_table(record).endswith("\n\nTransductive: the queries of an episode are answered together.")


def test_a_mistake_in_the_last_data_set_costs_nothing(
    places: list[Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("triptych.evaluation.domains.evaluate", lambda *_: pytest.fail("evaluated"))
    with pytest.raises(ValueError, match=f"{places[0]}: 3-way episodes need"):
        evaluate_domains(places[::-1], small_method(), "small", EvaluateSettings(way=3, queries=2))
    with pytest.raises(ValueError, match="no such file or folder"):
        evaluate_domains([places[0], tmp_path / "none"], small_method(), "small", SETTINGS)
    for again in (places[0], f"{places[1]}/../{places[0].name}"):
        with pytest.raises(ValueError, match="named twice"):
            evaluate_domains([places[0], again], small_method(), "small", SETTINGS)
    last = shutil.copytree(places[1], tmp_path / "last")
    shutil.copy(last / "class5" / "0.png", last / "class5" / "again.png")
    with pytest.raises(ValueError, match="are the same photo"):
        evaluate_domains([places[0], last], small_method(), "small", SETTINGS)


def test_the_command_with_a_run_s_folder(command: Command, places: list[Path], tmp_path: Path) -> None:
    (tmp_path / "trained").mkdir()
    save_method(small_method(), tmp_path / "trained" / "best.safetensors")
    asked = ("--method", tmp_path / "trained", *ASKED)
    ended = command("evaluate", *places, *asked, "--run-folder", tmp_path / "run", "-o", tmp_path / "r.json")
    assert ended.code == 0, ended.err
    record = json.loads((tmp_path / "r.json").read_text())
    assert len(record["domains"]) == 3
    assert ended.out.splitlines()[1:] == (tmp_path / "run" / "table.md").read_text().splitlines()
    again = command("evaluate", "--config", tmp_path / "run" / "config.yaml", "--json")
    assert again.code == 0, again.err
    levels = [[one["levels"] for one in found["domains"]] for found in (record, again.json)]
    assert levels[0] == levels[1]
    one = command("evaluate", places[1], *asked, "--json").json
    assert one["levels"] == levels[0][1]
    assert "DATA" in command("evaluate").err
    (tmp_path / "e.json").write_text("{}")
    refused = command("evaluate", *places, "--episodes-file", tmp_path / "e.json")
    assert "its episodes are of one data set, and 3 are given" in refused.err


@pytest.mark.parametrize(
    ("datasets", "name", "message"),
    [([], "m", "no data sets; expected one or more"), (["x"], "", "name must be a name")],
)
def test_nothing_to_evaluate_is_told(datasets: list[str], name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        evaluate_domains(datasets, small_method(), name, SETTINGS)
