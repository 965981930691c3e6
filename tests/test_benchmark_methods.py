"""The table of all methods: it is measured once, its figures are those of the documents, and its plot can be read."""

import json
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from photos import class_folders

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def test_the_figures_of_methods_in_the_documents_are_those_of_the_record() -> None:
    from methods_table import table, with_figures

    record = json.loads((BENCHMARKS / "results" / "methods.json").read_text(encoding="utf-8"))
    assert (BENCHMARKS / "results" / "methods.md").read_text(encoding="utf-8") == table(record) + "\n"
    page = (BENCHMARKS.parent / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == with_figures(page, record), "run benchmarks/methods.py with --report and --page docs/methods.md"
    row = next(row for row in record["rows"] if row["method"] == "protonet-conv64f")
    row["shots"]["5"]["accuracy"]["mean"] = 0.12345
    changed = with_figures(page, record)
    assert [line for line in changed.splitlines() if " / 12.35 |" in line] == [
        line for line in changed.splitlines() if line.startswith("| `protonet`")
    ]


def rows_of(methods: Sequence[str], data: str, shots: Sequence[str], rng: np.random.Generator) -> list[dict[str, Any]]:
    """Rows of invented figures, close together."""
    drawn = [{shot: {"mean": rng.normal(0.66, 0.01), "ci95": 0.004} for shot in shots} for _ in methods]
    asked = {"way": 5, "queries": 15, "episodes": 9}
    return [
        {
            "method": method,
            "data": data,
            "training": "none",
            "transductive": False,
            "parameters": 7,
            "machine": {"device": "x"},
            "shots": {shot: {"accuracy": one, **asked} for shot, one in figures.items()},
        }
        for method, figures in zip(methods, drawn, strict=True)
    ]


def test_no_name_of_the_plot_covers_another_or_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import methods_plot

    from triptych.methods import METHODS

    rng = np.random.default_rng(0)
    names = [name for name in METHODS if name.endswith("-conv64f")]
    rows = rows_of(names, "data", ["1", "5"], rng)
    times = 10 ** rng.normal(-0.5, 0.4, len(rows))  # denser than any that was measured
    boxes, points = [], []
    named = methods_plot.named

    def seen(axes: Any, at: Any, *rest: Any) -> Any:
        texts = named(axes, at, *rest)
        boxes.extend(text.get_window_extent().extents for text in texts)
        points.extend(axes.transData.transform(at))
        return texts

    monkeypatch.setattr(methods_plot, "named", seen)
    methods_plot.plot(list(zip(rows, times, strict=True)), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert len(boxes) == len(points) == len(names)
    for one, other in combinations(boxes, 2):
        assert not ((one[:2] < other[2:]).all() and (other[:2] < one[2:]).all())
    assert not any((box[:2] < point).all() and (point < box[2:]).all() for box in boxes for point in points)


def test_folders_of_photos_share_a_table() -> None:
    from methods_table import table

    rng = np.random.default_rng(0)
    frozen = ["dn4-efficientnet-lite0", "protonet-efficientnet-lite0"]
    rows = rows_of(frozen, "birds", ["1", "4"], rng) + rows_of(frozen[:1], "signs", ["1", "4"], rng)
    cost = {"s_an_episode": 1.0, "ms_a_query": 2.0, "peak_memory_mb": 3000.0}
    costs = {"machine": None, "methods": {"dn4-efficientnet-lite0 on birds": cost}}
    trained = rows_of(["dn4-conv64f"], "data", ["1", "5"], rng)
    lines = table({"budget": {"steps": 1}, "costs": costs, "rows": [*trained, *rows]}).splitlines()
    assert [line for line in lines if line.startswith("## ")] == ["## data, 5-way", "## Folders of photos, 5-way"]
    heading = next(number for number, line in enumerate(lines) if line.startswith("| method | birds, 1-shot"))
    first, second = (line.split(" | ") for line in lines[heading + 2 :])
    assert (first[0], second[0]) == ("| dn4-efficientnet-lite0", "| protonet-efficientnet-lite0")
    assert first[-3:] == ["1.00", "2.00", "3,000 |"], "of the first folder that has them"
    assert second[3:5] == ["", ""], "not measured on signs"


@pytest.mark.slow
def test_the_table_of_methods_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import methods

    data, photos = tmp_path / "data", class_folders(tmp_path / "photos", classes=3, each=5)
    class_folders(data / "train", classes=10, each=9)
    class_folders(data / "val", classes=5, each=20, first=10)
    class_folders(data / "test", classes=5, each=20, first=15)
    names = [
        "meta-baseline-conv64f",
        "simpleshot-conv64f",
        "relation-efficientnet-lite0",
        "protonet-efficientnet-lite0",
    ]
    few = ["--steps", "1", "--episodes", "3", "--photo-episodes", "3"]
    where = ["--out", str(tmp_path / "out"), "--report", str(tmp_path / "report")]
    monkeypatch.setattr("sys.argv", ["methods.py", str(data), "--photos", str(photos), *where, *few, "--only", *names])
    methods.main()
    files = sorted((tmp_path / "out" / "rows").iterdir())
    assert len(files) == 3, "a method with a module to train is no row over a frozen network"
    told, written = capsys.readouterr().out, [file.stat().st_mtime_ns for file in files]
    methods.main()
    assert [file.stat().st_mtime_ns for file in files] == written
    assert capsys.readouterr().out in told
    assert not (tmp_path / "report.png").exists(), "costs are not known yet"
    with monkeypatch.context() as patch:
        patch.setattr("sys.argv", [*sys.argv, "--costs", "--no-rows"])
        methods.main()
    assert [file.stat().st_mtime_ns for file in files] == written
    assert (tmp_path / "report.png").stat().st_size > 1000
    record = json.loads((tmp_path / "report.json").read_text())
    rows = {row["method"]: row for row in record["rows"]}
    costs = record["costs"]["methods"]
    assert set(costs) == {file.stem for file in files}
    assert all(
        0 < 1e-3 * one["ms_a_query"] < one["s_an_episode"] and one["peak_memory_mb"] > 100 for one in costs.values()
    )
    lines = [line.split(" | ") for line in (tmp_path / "report.md").read_text().splitlines() if "-conv64f" in line]
    assert all(line[-2] == f"{costs[f'{line[0][2:]} on data']['ms_a_query']:.2f}" for line in lines)
    assert rows["meta-baseline-conv64f"]["training"] == "1 steps"
    simple = rows["simpleshot-conv64f"]
    assert (simple["training"], simple["centred"]) == ("none beyond the start", True)
    plain = methods.at_start("simpleshot-conv64f")
    assert simple["weights_sha256"] != methods.weights_hash(plain), "the mean of the training classes is in it"
    for row in rows.values():
        assert all(0 <= shot["accuracy"]["mean"] <= 1 for shot in row["shots"].values())
    stale = json.loads(files[0].read_text())
    files[0].write_text(json.dumps({**stale, "config": {**stale["config"], "new": 1}}))
    monkeypatch.setattr("sys.argv", [*sys.argv, "--no-rows"])
    methods.main()
    shown = {f"{row['method']} on {row['data']}" for row in json.loads((tmp_path / "report.json").read_text())["rows"]}
    assert shown == {file.stem for file in files[1:]}, "a row of another configuration is of another method"
    record = json.loads((tmp_path / "report.json").read_text())
    again = ["--out", str(tmp_path / "again"), "--report", str(tmp_path / "beside"), "--only", *names, "--no-rows"]
    begun = ["methods.py", str(data), "--photos", str(photos), *again, "--begin", str(tmp_path / "report.json")]
    monkeypatch.setattr("sys.argv", [*begun, *few])
    methods.main()
    assert json.loads((tmp_path / "beside.json").read_text()) == record
    monkeypatch.setattr("sys.argv", begun)
    with pytest.raises(SystemExit, match=r"another budget, \{'steps': 1,"):
        methods.main()
