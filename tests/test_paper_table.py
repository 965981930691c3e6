"""The command for the paper's table: checks first, trains each method for each shot, measures nothing twice."""

from dataclasses import replace
from pathlib import Path

import pytest
from photos import class_folders

from triptych.data import KnownData
from triptych.training import PRESETS, Preset

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
KNOWN = {
    "birds": KnownData({"train": 5, "val": 5, "test": 5}, {"train": 100, "val": 100, "test": 100}, 300, "a look-alike"),
    "dogs": KnownData({"train": 1, "val": 1, "test": 1}, {}, 3, "a look-alike"),
}


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for number, split in enumerate(("train", "val", "test")):
        class_folders(tmp_path / "data" / "birds" / split, classes=5, each=20, first=5 * number)
    return tmp_path / "data"


@pytest.mark.slow
def test_the_table_is_measured_once(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from paper_table import Plan, table

    small = {"episodes_per_step": 1, "way": 2, "queries": 1, "sides": (24,), "validation_queries": 1, "precision": "32"}
    paper = PRESETS["paper"].train
    monkeypatch.setitem(PRESETS, "paper", Preset(None, replace(paper, store_side=None, **small)))
    plan = Plan(root, tmp_path / "out", steps=1, validation_episodes=2, episodes=2, known=KNOWN)
    first = table(plan, ["dn4-conv64f"], tmp_path / "report" / "table")
    assert capsys.readouterr().out.splitlines() == ["dn4-conv64f on birds, 1-shot", "dn4-conv64f on birds, 5-shot"]
    assert first.splitlines()[0] == "| method | birds, 1-shot | birds, 5-shot |"
    assert first.splitlines()[2].count(" ± ") == 2
    assert table(plan, ["dn4-conv64f"], None) == first
    assert capsys.readouterr().out == ""
    assert (tmp_path / "report" / "table.md").read_text().strip() == first
    assert (tmp_path / "out" / "runs" / "birds" / "dn4-conv64f-5-shot" / "config.yaml").is_file()


@pytest.mark.slow
def test_methods_over_a_network_share_its_pretraining(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paper_table import Plan, table

    fast, queries = PRESETS["fast"], {"validation_queries": 1, "precision": "32", "sides": (24,)}
    assert fast.pretrain is not None
    first = replace(fast.pretrain, batch=16, store_side=None, **queries)
    episodes = replace(fast.train, way=2, shots=(1,), queries=1, plda_images=0, plda_loss=0.0, **queries)
    monkeypatch.setitem(PRESETS, "fast", Preset(first, episodes))
    plan = Plan(root, tmp_path, "fast", epochs=1, steps=1, validation_episodes=2, episodes=2, known=KNOWN)
    assert table(plan, ["dn4-conv64f", "protonet-conv64f"], None).count(" ± ") == 4
    runs = sorted(one.name for one in (tmp_path / "runs" / "birds").iterdir())
    assert runs == ["dn4-conv64f", "pretrain-conv64f", "protonet-conv64f"]
    assert not list(tmp_path.rglob("pretrain"))


def test_data_is_checked_before_anything_is_trained(root: Path, tmp_path: Path) -> None:
    from paper_table import Plan, table

    class_folders(root / "dogs" / "train", classes=2, each=1)
    for split in ("val", "test"):
        class_folders(root / "dogs" / split, classes=1, each=1)
    with pytest.raises(ValueError, match="dogs: train has 2 classes, expected 1"):
        table(Plan(root, tmp_path / "out", known=KNOWN), ["dn4-conv64f"], None)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ValueError, match="none of birds, dogs is in it"):
        table(Plan(tmp_path, tmp_path / "out", known=KNOWN), ["dn4-conv64f"], None)


def test_epochs_are_of_a_preset_that_has_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import paper_table

    monkeypatch.setattr("sys.argv", ["paper_table.py", str(tmp_path), "--epochs", "2"])
    with pytest.raises(SystemExit):
        paper_table.main()
    assert "preset paper has no pre-training; leave --epochs out" in capsys.readouterr().err
    with pytest.raises(ValueError, match="epochs must be a whole number of at least 1, got 0"):
        paper_table.Plan(tmp_path, tmp_path, "fast", epochs=0).recipe(1)


def test_what_is_wrong_with_the_data_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import paper_table

    monkeypatch.setattr("sys.argv", ["paper_table.py", str(tmp_path)])
    with pytest.raises(SystemExit) as ended:
        paper_table.main()
    assert ended.value.code == 1
    assert capsys.readouterr().err.startswith(f"error: {tmp_path}: none of miniimagenet, tieredimagenet, cub")


def test_the_paper_s_recipe_is_trained_for_each_shot(tmp_path: Path) -> None:
    from paper_table import PAPER, Plan

    from triptych.methods import METHODS

    assert set(PAPER) <= set(METHODS)
    plan = Plan(tmp_path, tmp_path)
    recipes = [plan.recipe(shot).train for shot in (1, 5)]
    assert [one.shots for one in recipes] == [(1,), (5,)]
    assert recipes[0].steps * recipes[0].episodes_per_step == 500_000
    assert plan.run("cub", "dn4-conv64f", 1) != plan.run("cub", "dn4-conv64f", 5)
    fast = Plan(tmp_path, tmp_path, preset="fast")
    assert fast.run("cub", "dn4-conv64f", 1) == fast.run("cub", "dn4-conv64f", 5)
    assert fast.recipe(1) == fast.recipe(5)


def test_other_recipes_images_and_configurations_have_other_rows(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from paper_table import Plan, fingerprint_of

    from triptych.methods import METHODS

    before = fingerprint_of(root / "birds")
    plan = Plan(root, tmp_path)
    plans = [plan, *(replace(plan, **{name: 7}) for name in ("steps", "validation_episodes", "episodes", "seed"))]
    first = next((root / "birds" / "train").rglob("*.png"))
    first.write_bytes(next((root / "birds" / "val").rglob("*.png")).read_bytes())
    after = fingerprint_of(root / "birds")
    rows = [one.row("birds", before, "dn4-conv64f", 1) for one in plans] + [plan.row("birds", after, "dn4-conv64f", 1)]
    assert plan.row("birds", before, "dn4-conv64f", 1) == rows[0]
    monkeypatch.setitem(METHODS, "dn4-conv64f", replace(METHODS["dn4-conv64f"], pixel_k=2))
    assert len({*rows, plan.row("birds", before, "dn4-conv64f", 1)}) == 7
