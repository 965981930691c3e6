"""The engine runs every registered method: it is trained, saved, loaded, and recognises photos."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from models import save_model
from photos import photo, split_folders
from registry import EACH, SIDE

from triptych import Recognizer, load_method
from triptych.data import open_store
from triptych.evaluation import EvaluateSettings, evaluate
from triptych.interop import pretrained_method
from triptych.methods import METHODS, WEIGHTS, DeepEMDConfig, Preprocessing, RENetConfig, save_method
from triptych.training import Preset, TrainSettings, train

TRAIN = TrainSettings(
    steps=2,
    episodes_per_step=1,
    way=3,
    shots=(1, 2),
    queries=1,
    level_loss=1.0,
    freeze_norm_after=1,
    store_side=None,
    pixel_share=0.5,
    validate_every=2,
    validation_episodes=1,
    validation_shots=(1,),
    precision="32",
)
TRAINED = [name for name in EACH if METHODS[name].backbone == "conv64f"]
PHOTOS = [photo(kind, number) for kind in range(3) for number in range(2)]
SAMPLES = Path(__file__).parents[2] / "src/triptych/samples"
LABELS = ["a", "a", "b", "b", "c", "c"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folders(tmp_path_factory.mktemp("data"))


@pytest.mark.parametrize("name", TRAINED)
def test_every_method_is_trained_and_recognises(data: Path, tmp_path: Path, name: str) -> None:
    config = replace(METHODS[name], preprocessing=Preprocessing(side=SIDE))
    file = train(data, tmp_path / "run", config, Preset(None, TRAIN))
    method = load_method(file)
    assert type(method.config) is type(config)
    recognizer = Recognizer(method=file)
    if method.transductive:
        with pytest.raises(ValueError, match="looks at all queries together"):
            recognizer.fit(PHOTOS, LABELS)
        return
    recognizer.fit(PHOTOS, LABELS)
    assert recognizer.calibration_ is not None
    queries = [photo(kind, 50) for kind in range(3)]
    probabilities = recognizer.predict_proba(queries)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)
    assert set(recognizer.explain(queries[0], top=1).classes[0].contributions) == set(method.level_names)
    recognizer.save(tmp_path / "x.triptych")
    np.testing.assert_array_equal(Recognizer.load(tmp_path / "x.triptych").predict_proba(queries), probabilities)


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("dinov2"))


@pytest.mark.slow
@pytest.mark.parametrize("name", TRAINED)
def test_every_method_over_a_model_of_transformers_is_trained_and_recognises(
    transformer: Path, data: Path, tmp_path: Path, name: str
) -> None:
    start, queries = pretrained_method(transformer, METHODS[name]), [photo(kind, 50) for kind in range(3)]
    save_method(start, tmp_path / "start.safetensors")
    init = tmp_path / "start.safetensors"
    method = load_method(train(data, tmp_path / "run", start.config, Preset(None, TRAIN), init=init))
    assert method.config.architecture == start.config.architecture
    before, after = (one.backbone.state_dict() for one in (start, method))
    assert any(not torch.equal(before[key], after[key]) for key in before)
    found = evaluate(data, method, name, EvaluateSettings(split="val", way=2, queries=1, episodes=2, precision="32"))
    assert set(method.level_names) <= set(found["levels"])
    if not method.transductive:
        probabilities = Recognizer(method).fit(PHOTOS, LABELS).predict_proba(queries)
        np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-6)


def test_what_is_trained_moves(data: Path, tmp_path: Path) -> None:
    config = replace(METHODS["meta-baseline-conv64f"], preprocessing=Preprocessing(side=SIDE))
    state = load_method(train(data, tmp_path / "run", config, Preset(None, TRAIN))).state_dict()
    assert state["temperature"] != 10
    simple = replace(METHODS["simpleshot-conv64f"], preprocessing=Preprocessing(side=SIDE))
    settings = replace(TRAIN, plda_images=2, plda_loss=1.0)
    learnt = load_method(train(data, tmp_path / "simple", simple, Preset(None, settings))).state_dict()
    assert learnt["centre"].any()  # of the training classes, in closed form
    modules = torch.load(tmp_path / "simple/checkpoint.pt", weights_only=True)["modules"]
    assert "head" not in modules  # a classification by Gaussians is for methods that compare them


def test_a_loss_beside_the_episodes_is_trained_and_its_classifier_is_in_no_file(data: Path, tmp_path: Path) -> None:
    files, classifiers, trained = {}, {}, {}
    for anchor in (0.0, 4.0):
        config = RENetConfig(preprocessing=Preprocessing(side=SIDE), anchor=anchor)
        run = tmp_path / f"anchor-{anchor}"
        files[anchor] = load_method(train(data, run, config, Preset(None, TRAIN))).state_dict()
        checkpoint = torch.load(run / "checkpoint.pt", weights_only=True)
        classifiers[anchor] = checkpoint["modules"].get("auxiliary")
        trained[anchor] = len(checkpoint["optimizer"]["state"])
    assert set(files[0.0]) == set(files[4.0])
    assert not torch.equal(files[0.0]["backbone.layers.0.0.weight"], files[4.0]["backbone.layers.0.0.weight"])
    assert classifiers[0.0] is None
    assert trained[4.0] == trained[0.0] + 2  # its weights and biases
    assert len(classifiers[4.0]["bias"]) == len(open_store(data, "train", Preprocessing(side=SIDE)).classes)


def slow_if_it_looks_at_crops(name: str) -> Any:
    crops = isinstance(METHODS[name], DeepEMDConfig) and "deepemd-efficientnet" not in name
    return pytest.param(name, marks=pytest.mark.slow if crops else ())


FROZEN = [name for name, one in WEIGHTS.items() if one.card.startswith("frozen")]


@pytest.mark.parametrize(
    "name", [slow_if_it_looks_at_crops(name) for name in FROZEN if not name.startswith("laplacianshot")]
)
def test_methods_that_need_no_training_recognise_photos_over_the_pretrained_network(name: str) -> None:
    kinds = ["Avocado", "Garlic", "Lemon"]
    photos = {kind: sorted((SAMPLES / kind).glob("*.jpg"))[:4] for kind in kinds}
    known = [(path, kind) for kind in kinds for path in photos[kind][:2]]
    asked = [(path, kind) for kind in kinds for path in photos[kind][2:]]
    recognizer = Recognizer(name).fit(*map(list, zip(*known, strict=True)))
    found = recognizer.predict([path for path, _ in asked])
    assert np.mean(found == [kind for _, kind in asked]) > 0.8
