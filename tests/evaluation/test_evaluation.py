"""Evaluation: the interval, the ablation, and a record from which a figure can be rerun."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import class_folders
from PIL import Image
from registry import EACH
from toys import SIDE

from triptych.data import open_store
from triptych.evaluation import Accuracy, EpisodeSampler, EvaluateSettings, evaluate, evaluate_store, per_level
from triptych.methods import METHODS, MMLConfig, Preprocessing, build_method

SMALL = MMLConfig(preprocessing=Preprocessing(side=SIDE), part_normalize=True, distance="log_kl")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return class_folders(tmp_path_factory.mktemp("data"), classes=4, each=6)


def record(data: Path, **settings: object) -> dict:
    torch.manual_seed(0)
    chosen = {"way": 3, "shot": 2, "queries": 3, "episodes": 6} | settings
    return evaluate(data, build_method(SMALL).eval(), "fresh", EvaluateSettings(**chosen))


def test_the_interval_is_that_of_the_mean() -> None:
    values = np.array([0.2, 0.4, 0.6, 0.8])
    accuracy = Accuracy.over(values)
    assert accuracy.mean == pytest.approx(0.5)
    assert accuracy.ci95 == pytest.approx(1.96 * np.sqrt(((values - 0.5) ** 2).sum() / 3) / 2)
    assert Accuracy.over(np.array([0.3])) == Accuracy(0.3, 0.0)


def noise(root: Path, mirrored: bool = False) -> Path:
    """Three classes of eight images whose recognition is luck."""
    rng = np.random.default_rng(0)
    for number in range(24):
        pixels = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
        folder = root / str(number % 3)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[:, ::-1] if mirrored else pixels).save(folder / f"{number}.png")
    return root


def test_the_same_seed_gives_the_same_record_and_another_another(tmp_path: Path) -> None:
    noise(tmp_path)
    first, second, other = (record(tmp_path, seed=seed) for seed in (0, 0, 1))
    del first["seconds"], second["seconds"]
    assert first == second
    assert first["levels"] != other["levels"]


def test_a_record_holds_all_that_a_rerun_needs(data: Path) -> None:
    found = record(data)
    needed = (
        "method config weights_sha256 data split data_fingerprint way shot queries episodes seed precision versions"
    )
    assert set(needed.split()) <= set(found)
    assert set(found["versions"]) == {"triptych", "torch", "numpy", "python"}
    assert found["accuracy"] == found["levels"]["distribution + pixel + part"]["mean"]
    assert found["levels"]["distribution + pixel + part"]["all_minus"] == {"mean": 0.0, "ci95": 0.0}
    pixel = found["levels"]["pixel"]
    assert pixel["all_minus"]["mean"] == pytest.approx(found["accuracy"] - pixel["mean"])
    assert pixel["all_minus"]["ci95"] <= pixel["ci95"] + found["ci95"] + 1e-9


def test_the_ablation_covers_every_level_pair_and_all() -> None:
    method = build_method(SMALL)
    levels = {name: torch.randn(4, 3) for name in method.level_names}
    scores = per_level(method, levels)
    assert list(scores) == [
        "distribution",
        "pixel",
        "part",
        "distribution + pixel",
        "distribution + part",
        "pixel + part",
        "distribution + pixel + part",
    ]
    torch.testing.assert_close(scores["distribution + pixel + part"], method.fusion(levels))
    assert torch.equal(scores["pixel"], levels["pixel"])
    parts = method.fusion.contributions(levels)
    torch.testing.assert_close(scores["pixel + part"], parts["pixel"] + parts["part"])


def test_indexing_encoded_maps_equals_encoding_each_episode(data: Path) -> None:
    torch.manual_seed(0)
    method = build_method(SMALL).eval()
    store = open_store(data, None, SMALL.preprocessing)
    sampler = EpisodeSampler(store.labels, way=3, shot=2, queries=3)
    found = evaluate_store(method, store, sampler, episodes=4)["distribution + pixel + part"]
    for number in range(4):
        episode = sampler[number]
        query, support = (method.preprocess.normalise(store[i]) for i in (episode.query, episode.support))
        with torch.no_grad():
            answers = method(query, support, torch.from_numpy(episode.support_labels)).argmax(1).numpy()
        assert found[number] == (answers == episode.query_labels).mean()


@pytest.mark.parametrize("name", EACH)
def test_every_method_can_be_evaluated(data: Path, name: str) -> None:
    found = evaluate(
        data,
        build_method(replace(METHODS[name], preprocessing=SMALL.preprocessing)).eval(),
        name,
        EvaluateSettings(way=2, queries=2, episodes=2),
    )
    assert 0 <= found["accuracy"] <= 1


def test_bf16_is_nearly_the_same(data: Path) -> None:
    assert record(data, precision="bf16")["accuracy"] == pytest.approx(record(data)["accuracy"], abs=0.06)


def test_with_flips_mirrored_data_is_the_same(tmp_path: Path) -> None:
    folders = noise(tmp_path / "plain"), noise(tmp_path / "mirrored", mirrored=True)
    torch.manual_seed(0)
    method = build_method(SMALL).eval()
    stores = [open_store(folder, None, SMALL.preprocessing) for folder in folders]
    sampler = EpisodeSampler(stores[0].labels, way=3, shot=1, queries=5)
    plain, other, flipped, both = (
        evaluate_store(method, store, sampler, 10, flips=flips)["pixel"] for flips in (False, True) for store in stores
    )
    assert (plain != other).any()
    np.testing.assert_array_equal(flipped, both)


def test_pixels_that_say_the_class_are_recognised(data: Path) -> None:
    assert record(data)["accuracy"] > 0.6  # chance is 1/3, and the weights are random


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"episodes": 0}, "episodes must be a whole number from 1 to 1000000, got 0"),
        ({"precision": "16"}, "precision must be one of auto, 32, bf16-search, bf16, got .16."),
        ({"way": 5}, "need 5 classes; the data has 4"),
        ({"split": "best"}, "unknown split 'best'"),
    ],
)
def test_wrong_settings_are_refused(data: Path, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        record(data, **settings)


def test_intervals_of_splits_do_not_shrink_to_nothing() -> None:
    values = np.tile([0.4, 0.6], 500)
    plain, corrected = Accuracy.over(values), Accuracy.over_splits(values, asked=0.2)
    assert plain.mean == corrected.mean
    assert plain.ci95 < 0.01
    assert corrected.ci95 == pytest.approx(1.96 * 0.1 * 0.5, rel=0.01)
    with pytest.raises(ValueError, match="two splits at least"):
        Accuracy.over_splits(values[:1], 0.2)
