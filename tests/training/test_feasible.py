"""Data that is too small for a recipe is refused before anything is decoded or trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from triptych.training import Preset, PretrainSettings, TrainSettings, pretrain, train
from triptych.training.feasible import check_pretrain_data, check_train_data

TRAIN = TrainSettings(way=3, shots=(1, 2), queries=2, validation_shots=(1,))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six classes of eight to train on and three of twenty to validate on, whose files are no images at all."""
    root = tmp_path_factory.mktemp("data")
    for split, classes, each in (("train", 6, 8), ("val", 3, 20)):
        for kind in range(classes):
            folder = root / split / f"{split}{kind}"
            folder.mkdir(parents=True)
            for number in range(each):
                (folder / f"{number}.png").write_text("never opened")
    return root


def test_what_suffices_passes(data: Path) -> None:
    check_train_data(data, TRAIN)
    check_pretrain_data(data, PretrainSettings(batch=48))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"way": 7}, "^7-way episodes need 7 classes; the data has 6: choose"),
        ({"shots": (1, 99)}, "class 'train0' has 8 images; 99 shots and 2 queries need 101"),
        ({"queries": 8}, "class 'train0' has 8 images; 1 shots and 8 queries need 9"),
        ({"validation_shots": (6,)}, "class 'val0' has 20 images; 6 shots and 15 queries need 21"),
        ({"validation_queries": 20}, "validation: class 'val0' .* 20 queries need 21.*--validation-queries"),
    ],
)
def test_episodes_that_the_data_has_not(data: Path, tmp_path: Path, change: dict, message: str) -> None:
    preset = Preset(PretrainSettings(batch=8), replace(TRAIN, **change))
    with pytest.raises(ValueError, match=message):
        train(data, tmp_path / "run", preset=preset)  # before pre-training, which would take long
    assert not (tmp_path / "run").exists()


def test_a_published_fusion_sets_the_way(data: Path) -> None:
    with pytest.raises(ValueError, match="5-way episodes need"):
        check_train_data(data, replace(TRAIN, way=3), slots=5)


def test_a_batch_that_the_data_has_not(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="48 training images are fewer than one batch of 49"):
        pretrain(data, tmp_path / "run", settings=PretrainSettings(batch=49))
    assert not (tmp_path / "run").exists()


def test_data_without_splits(data: Path) -> None:
    with pytest.raises(ValueError, match=r"train/ and val/"):
        check_pretrain_data(data / "train", PretrainSettings(batch=8))
