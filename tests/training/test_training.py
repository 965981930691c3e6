"""Training: the loops learn, a killed run resumes bit for bit, and what cannot go on says so."""

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import class_folders, split_folders
from PIL import Image
from toys import SIDE, TOYS

from triptych import load_method
from triptych.data import open_store
from triptych.evaluation import EpisodeSampler
from triptych.methods import (
    LEVELS,
    METHODS,
    MML,
    Method,
    MethodConfig,
    MMLConfig,
    Preprocessing,
    RelationConfig,
    SimpleShotConfig,
    build_method,
    save_method,
)
from triptych.training import (
    PRESETS,
    Preset,
    PretrainSettings,
    TrainingError,
    TrainSettings,
    learn_closed_form,
    pretrain,
    train,
)
from triptych.training.classification import GaussianHead, Heads
from triptych.training.episodic import encoded_episode, episode_loss
from triptych.training.loggers import LOGGERS, CSVLogger
from triptych.training.run import Run
from triptych.training.schedule import cosine, side_at, step_halving
from triptych.training.validation import validate_class_means

METHOD = MMLConfig(preprocessing=Preprocessing(side=SIDE))
PRETRAIN = PretrainSettings(epochs=1, batch=16, store_side=36, checkpoint_seconds=0, learning_rate=0.02, precision="32")
TRAIN = TrainSettings(
    steps=4,
    episodes_per_step=2,
    way=3,
    shots=(1, 2),
    queries=2,
    schedule="cosine",
    level_loss=1.0,
    average=0.9,
    freeze_norm_after=3,
    store_side=36,
    sides=(24, SIDE),
    pixel_share=0.5,
    validate_every=2,
    validation_episodes=4,
    validation_shots=(1, 5),
    checkpoint_seconds=0,
    precision="32",
)
PLDA = replace(TRAIN, steps=2, plda_images=3, plda_loss=1.0, store_side=None)
LONG = Preset(replace(PRETRAIN, epochs=30), replace(PLDA, steps=60, validate_every=30))  # long enough to be killed
COMMAND = """
import sys
sys.path[:0] = {tests!r}
from test_training import LONG, METHOD
from triptych.training import train
train({data!r}, {out!r}, METHOD, LONG, resume=True)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folders(tmp_path_factory.mktemp("data"))


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["modules"]["method"]


def same_weights(one: Path, other: Path) -> bool:
    first, second = state(one), state(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def start(data: Path, out: Path) -> subprocess.Popen:
    """Training in a process of its own, which goes on where one was killed."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    program = COMMAND.format(tests=folders, data=str(data), out=str(out))
    return subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)


def run_and_kill(data: Path, out: Path, after: Path, delay: float) -> None:
    """Kill -9 a training ``delay`` seconds after the file ``after`` is there."""
    process = start(data, out)
    deadline = time.monotonic() + 120
    while not after.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


@pytest.mark.slow
def test_killed_runs_resume_to_the_weights_of_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    # All in processes of their own: in this one other tests have set how PyTorch divides its work.
    assert start(data, whole).wait(120) == 0
    run_and_kill(data, killed, killed / "pretrain" / "checkpoint.pt", delay=0.05)
    assert not (killed / "checkpoint.pt").exists(), "the first kill must fall into pre-training"
    run_and_kill(data, killed, killed / "checkpoint.pt", delay=0.2)
    assert start(data, killed).wait(120) == 0
    assert same_weights(whole / "pretrain", killed / "pretrain")
    assert same_weights(whole, killed)
    assert (whole / "best.safetensors").read_bytes() == (killed / "best.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["pretraining.validate_class_means", "validation.evaluate_store"])
def test_a_run_killed_in_its_validation_validates_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    short = Preset(PRETRAIN, replace(TRAIN, steps=2, validate_every=1))
    train(data, whole, METHOD, short)
    with monkeypatch.context() as patch:
        patch.setattr(f"triptych.training.{stage}", kill)
        with pytest.raises(KeyboardInterrupt):
            train(data, killed, METHOD, short)
    train(data, killed, METHOD, short, resume=True)
    for stage_folder in ("pretrain", "."):
        first, second = (run / stage_folder / "best.safetensors" for run in (whole, killed))
        assert first.read_bytes() == second.read_bytes()


@pytest.fixture(scope="module")
def finished(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of pre-training that has ended."""
    return pretrain(data, tmp_path_factory.mktemp("run"), METHOD, PRETRAIN).parent


def test_resuming_a_finished_run_changes_nothing(data: Path, finished: Path, tmp_path: Path) -> None:
    again = shutil.copytree(finished, tmp_path / "run")
    pretrain(data, again, METHOD, PRETRAIN, resume=True)
    assert same_weights(finished, again)


def test_pretraining_validates_every_so_many_epochs_and_the_last(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    monkeypatch.setattr(Run, "validated", lambda run, *_: steps.append(run.step))
    pretrain(data, tmp_path, METHOD, replace(PRETRAIN, epochs=5, validate_every=2))
    epoch = steps[-1] // 5
    assert steps == [2 * epoch, 4 * epoch, 5 * epoch]


def test_a_run_begun_before_a_setting_came_is_resumed(data: Path, finished: Path, tmp_path: Path) -> None:
    again = shutil.copytree(finished, tmp_path / "run")
    checkpoint = torch.load(again / "checkpoint.pt", weights_only=True)
    del checkpoint["identity"]["validate_every"]
    torch.save(checkpoint, again / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"started differently \(--validate-every 1 -> 2\)"):
        pretrain(data, again, METHOD, replace(PRETRAIN, validate_every=2), resume=True)
    pretrain(data, again, METHOD, PRETRAIN, resume=True)
    assert same_weights(finished, again)


def test_same_seed_same_weights_other_seed_others(data: Path, finished: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        pretrain(data, tmp_path / f"{seed}", METHOD, replace(PRETRAIN, seed=seed))
    assert same_weights(tmp_path / "0", finished)
    assert not same_weights(tmp_path / "1", finished)


@pytest.mark.parametrize(
    ("changes", "resume", "message"),
    [({}, False, "--resume"), ({"learning_rate": 0.5}, True, r"--learning-rate 0.02 -> 0.5")],
)
def test_a_run_is_neither_overwritten_unasked_nor_resumed_as_another(
    data: Path, finished: Path, changes: dict, resume: bool, message: str
) -> None:
    before = {path: path.read_bytes() for path in finished.iterdir()}
    with pytest.raises(ValueError, match=message):
        pretrain(data, finished, METHOD, replace(PRETRAIN, **changes), resume)
    assert {path: path.read_bytes() for path in finished.iterdir()} == before


def test_a_damaged_checkpoint_is_named(data: Path, finished: Path, tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes((finished / "checkpoint.pt").read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"checkpoint.pt: damaged") as caught:
        pretrain(data, tmp_path, METHOD, PRETRAIN, resume=True)
    checkpoint.write_bytes(pickle.dumps(tmp_path))
    with pytest.raises(ValueError, match=r"checkpoint.pt: damaged") as caught:
        pretrain(data, tmp_path, METHOD, PRETRAIN, resume=True)
    assert "weights_only" not in str(caught.value)
    torch.save(torch.zeros(3), checkpoint)
    with pytest.raises(ValueError, match=r"checkpoint.pt: damaged") as caught:
        pretrain(data, tmp_path, METHOD, PRETRAIN, resume=True)


@pytest.mark.parametrize("size", [None, 0, 5000])
def test_a_run_whose_best_weights_are_lost_is_not_resumed(
    data: Path, finished: Path, tmp_path: Path, size: int | None
) -> None:
    again = shutil.copytree(finished, tmp_path / "run")
    best = again / "best.safetensors"
    best.unlink() if size is None else os.truncate(best, size)
    with pytest.raises(ValueError, match=r"best.safetensors: missing or damaged, and with it the best weights"):
        pretrain(data, again, METHOD, PRETRAIN, resume=True)


def test_photos_that_changed_are_named_by_their_split(data: Path, finished: Path, tmp_path: Path) -> None:
    again, other = shutil.copytree(finished, tmp_path / "run"), shutil.copytree(data, tmp_path / "data")
    changed = next((other / "val").rglob("*.*"))
    Image.new("RGB", (32, 32), "red").save(changed)
    with pytest.raises(ValueError, match=r"differently \(the photos of the validation split have changed\)"):
        pretrain(other, again, METHOD, PRETRAIN, resume=True)


def test_a_method_that_changed_is_named_by_what_differs(data: Path, finished: Path, tmp_path: Path) -> None:
    again = shutil.copytree(finished, tmp_path / "run")
    with pytest.raises(ValueError, match=r"differently \(method pixel_k \d -> 5\)"):
        pretrain(data, again, replace(METHOD, pixel_k=5), PRETRAIN, resume=True)


def test_a_checkpoint_that_is_a_pipe_is_not_waited_for(data: Path, finished: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint.pt: cannot be read"):
        pretrain(data, tmp_path, METHOD, PRETRAIN, resume=True)


@pytest.mark.parametrize(
    "change",
    [
        {"step": []},
        {"step": -1},
        {"best": None},
        {"best": float("nan")},
        {"modules": {}},
        {"optimizer": 5},
        {"identity": 5},
    ],
    ids=str,
)
def test_a_checkpoint_of_something_else_is_named(data: Path, finished: Path, tmp_path: Path, change: dict) -> None:
    state = torch.load(finished / "checkpoint.pt", weights_only=True)
    torch.save({**state, **change}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"checkpoint.pt: damaged checkpoint; remove it to start anew"):
        pretrain(data, tmp_path, METHOD, PRETRAIN, resume=True)


class Ending(CSVLogger):
    """Keeps how the run ended."""

    failed: bool | None = None

    def close(self, failed: bool = False) -> None:
        super().close(failed)
        type(self).failed = failed


def test_divergence_stops_with_a_sound_checkpoint(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOGGERS, "ending", Ending)
    settings = replace(PRETRAIN, epochs=20, learning_rate=100.0, warmup=0.0, loggers=("ending",))
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        pretrain(data, tmp_path, METHOD, settings)
    assert Ending.failed is True
    if (tmp_path / "checkpoint.pt").exists():
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] >= 1


def test_the_run_leaves_logs_settings_and_a_model_that_loads_and_never_opens_the_test_split(
    data: Path, tmp_path: Path
) -> None:
    assert not (data / "test").exists()  # there is none, and training runs all the same
    best = train(data, tmp_path, METHOD, Preset(None, TRAIN))
    assert list(tmp_path.glob("events.out.tfevents*"))
    assert (tmp_path / "settings.json").exists()
    method = load_method(best)
    assert int(method.fusion.observed) > 0
    assert not (method.fusion.spread == 1).all()


@pytest.mark.parametrize(
    "config", [*TOYS, RelationConfig(preprocessing=METHOD.preprocessing)], ids=lambda one: type(one).__name__
)
def test_any_method_is_trained(data: Path, tmp_path: Path, config: MethodConfig, toys: None) -> None:
    best = load_method(train(data, tmp_path, config, Preset(None, replace(TRAIN, balance_episodes=2))))
    assert best.config == config
    torch.manual_seed(TRAIN.seed)
    start = dict(build_method(config).named_parameters())
    still = [name for name, value in best.named_parameters() if torch.equal(value, start[name])]
    assert not still  # all its parameters are trained


def test_training_starts_from_the_given_weights(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    start = build_method(METHOD)
    save_method(start, tmp_path / "start.safetensors")
    still = replace(TRAIN, steps=1, learning_rate=1e-30)
    best = train(data, tmp_path / "run", METHOD, Preset(PRETRAIN, still), tmp_path / "start.safetensors")
    weight = "backbone.layers.3.0.weight"
    assert torch.equal(load_method(best).state_dict()[weight], start.state_dict()[weight])
    assert not (tmp_path / "run" / "pretrain").exists()


def test_plain_class_folders_cannot_be_trained_on(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train/ and val/"):
        train(data / "train", tmp_path / "run", METHOD, LONG)
    assert not (tmp_path / "run").exists()


def test_the_kept_model_is_the_moving_average(data: Path, tmp_path: Path) -> None:
    settings = replace(TRAIN, steps=2, validate_every=2, sides=(), average=0.75, seed=3)
    first = train(data, tmp_path / "first", METHOD, Preset(None, replace(settings, steps=1, average=0.0)))
    averaged = load_method(train(data, tmp_path / "run", METHOD, Preset(None, replace(settings, schedule="step"))))
    one, two = load_method(first).state_dict(), state(tmp_path / "run")
    for name in ("backbone.layers.0.0.weight", "fusion.log_weight", "fusion.spread"):
        torch.testing.assert_close(averaged.state_dict()[name], 0.75 * one[name] + 0.25 * two[name])


def plda_of(method: object) -> dict[str, torch.Tensor]:
    assert isinstance(method, MML)
    return dict(method.scorers["plda"].named_buffers())


@pytest.fixture(scope="module")
def plda_run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of episodes that has ended."""
    return train(data, tmp_path_factory.mktemp("run") / "run", METHOD, Preset(None, PLDA)).parent


@pytest.fixture(scope="module")
def with_plda(plda_run: Path) -> Method:
    return load_method(plda_run / "best.safetensors")


def test_a_run_that_knew_settings_by_earlier_names_is_resumed(data: Path, plda_run: Path, tmp_path: Path) -> None:
    again = shutil.copytree(plda_run, tmp_path / "run")
    checkpoint = torch.load(again / "checkpoint.pt", weights_only=True)
    identity = checkpoint["identity"]
    identity["base_images"], identity["base_loss"] = identity.pop("plda_images"), identity.pop("plda_loss")
    identity["method"]["base_classes"] = identity["method"].pop("plda_classes")
    torch.save(checkpoint, again / "checkpoint.pt")
    with pytest.raises(ValueError, match=r"started differently \(--plda-images 3 -> 4\)"):
        train(data, again, METHOD, Preset(None, replace(PLDA, plda_images=4)), resume=True)
    train(data, again, METHOD, Preset(None, PLDA), resume=True)
    assert same_weights(plda_run, again)


def test_plda_is_that_of_the_kept_weights(data: Path, with_plda: Method) -> None:
    method = with_plda
    assert method.config.plda_classes == 6
    assert method.level_names == (*LEVELS, "plda")
    again = plda_of(learn_closed_form(method, open_store(data, "train", METHOD.preprocessing), PLDA.plda_images))
    for name, value in plda_of(method).items():
        torch.testing.assert_close(again[name], value, rtol=1e-2, atol=1e-3)


def test_the_head_of_the_plda_classes_trains_the_backbone(data: Path, with_plda: Method, tmp_path: Path) -> None:
    """Without it the same steps end elsewhere; with it a run can be resumed, as another test shows."""
    without = load_method(train(data, tmp_path, METHOD, Preset(None, replace(PLDA, plda_images=0))))
    weight = "layers.1.0.weight"
    assert not torch.equal(with_plda.backbone.state_dict()[weight], without.backbone.state_dict()[weight])


def test_the_gaussian_head_learns_to_tell_textures_apart() -> None:
    torch.manual_seed(0)
    head = GaussianHead([3, 3], classes=2)
    labels = torch.arange(20) % 2
    maps = torch.randn(20, 3, 6, 6)
    maps[labels == 1, 0] = maps[labels == 1, 1]  # the means are alike: it takes the covariance
    optimizer = torch.optim.Adam(head.parameters(), lr=0.05)
    first = head.loss([maps, maps], labels).item()
    for _ in range(50):
        optimizer.zero_grad()
        loss = head.loss([maps, maps], labels)
        loss.backward()
        optimizer.step()
    assert first == pytest.approx(np.log(2), abs=1e-4)
    assert loss.item() < 0.05


def test_training_keeps_balanced_levels_and_trains_on_unbalanced_ones(data: Path, tmp_path: Path) -> None:
    runs = [replace(TRAIN, steps=2, validate_every=1, balance_episodes=episodes) for episodes in (0, 3)]
    files = [train(data, tmp_path / f"{n}", METHOD, Preset(None, run)) for n, run in enumerate(runs)]
    assert same_weights(tmp_path / "0", tmp_path / "1")
    plain, balanced = (load_method(file).fusion for file in files)
    assert not torch.equal(plain.log_weight, balanced.log_weight)


def test_methods_without_a_use_for_plda_train_without(data: Path, tmp_path: Path) -> None:
    config, settings = replace(METHOD, levels=("pixel",)), replace(PLDA, steps=1)
    assert load_method(train(data, tmp_path, config, Preset(None, settings))).level_names == ("pixel",)


def test_the_head_of_plda_is_for_methods_that_learn_plda(data: Path, tmp_path: Path) -> None:
    config, settings = SimpleShotConfig(preprocessing=METHOD.preprocessing), replace(PLDA, steps=1)
    best = load_method(train(data, tmp_path, config, Preset(None, settings)))
    assert (best.state_dict()["centre"] != 0).any()  # learnt in closed form all the same
    assert "head" not in torch.load(tmp_path / "checkpoint.pt", weights_only=True)["modules"]


@pytest.mark.parametrize("keep", [True, False])
def test_training_keeps_the_fusion_it_starts_from_unless_told_otherwise(data: Path, tmp_path: Path, keep: bool) -> None:
    start = MML(METHOD)
    with torch.no_grad():
        start.fusion.log_weight.copy_(torch.tensor([0.1, 0.7, 0.2]).log())
        start.fusion.spread.fill_(3.0)
        start.fusion.observed.fill_(10**6)
    save_method(start, tmp_path / "start.safetensors")
    still = replace(TRAIN, steps=1, learning_rate=1e-30, average=0.0)
    preset, init = Preset(None, still), tmp_path / "start.safetensors"
    config = replace(METHOD, levels=("part", "pixel"))  # levels by name, whatever their order
    best = load_method(train(data, tmp_path / "run", config, preset, init, keep_fusion=keep))
    expected = torch.tensor([0.2, 0.7] if keep else [0.5, 0.5]).log()
    torch.testing.assert_close(best.fusion.log_weight.detach(), expected)
    assert (best.fusion.observed.item() > 10**6) is keep


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balance_episodes": -1}, "balance_episodes must be a whole number of at least 0, got -1"),
        ({"plda_images": 1}, "plda_images must be 0, or 2 or more"),
        ({"pixel_share": 0.0}, "pixel_share must be a number above 0 and at most 1"),
        ({"pixel_share": 1.5}, "pixel_share must be a number above 0 and at most 1"),
    ],
)
def test_settings_check_themselves(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TRAIN, **changes)


def test_without_tensorboard_training_goes_on_and_says_what_to_install(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    best = pretrain(data, tmp_path, METHOD, PRETRAIN)
    assert "pip install 'triptych[train]'" in capsys.readouterr().err
    assert best.is_file()
    assert not list(tmp_path.glob("events.out.tfevents*"))


def test_too_few_validation_images_are_refused_before_the_first_step(data: Path, tmp_path: Path) -> None:
    settings = replace(TRAIN, validation_shots=(6,))
    with pytest.raises(ValueError, match="need 21"):
        train(data, tmp_path / "run", METHOD, Preset(None, settings))
    assert not (tmp_path / "run").exists()


def test_principal_components_are_not_trained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train the method without"):
        train(data, tmp_path / "run", replace(METHOD, components=5), Preset(None, TRAIN))


def test_the_published_fusion_trains_at_its_own_way(data: Path, tmp_path: Path) -> None:
    config = replace(METHOD, slots=3)
    settings = replace(TRAIN, way=2, shots=(1,), validation_shots=(1,), steps=4)
    averaged = load_method(train(data, tmp_path, config, Preset(None, settings)))
    assert averaged.config == config
    trained = state(tmp_path)
    assert not (trained["fusion.norm.running_mean"] == 0).any()
    assert not (trained["fusion.weight"] == 1).any()


@pytest.mark.parametrize("name", ["mml-conv64f", "adm-conv64f", "dn4-conv64f", "protonet-conv64f"])
def test_every_level_gets_a_gradient_of_its_own(name: str) -> None:
    torch.manual_seed(0)
    model = build_method(replace(METHODS[name], preprocessing=METHOD.preprocessing))
    episode = EpisodeSampler(np.arange(3).repeat(4), way=3, shot=1, queries=2)[0]
    encoded = encoded_episode(model.encode(torch.randn(9, 3, SIDE, SIDE)), episode, torch.from_numpy(episode.images))
    alone, _ = episode_loss(model, encoded, level_loss=0.0)
    together, _ = episode_loss(model, encoded, level_loss=1.0)
    assert together > alone
    together.backward()
    assert (model.fusion.log_temperature.grad != 0).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.backbone.parameters())


def test_a_few_steps_reduce_the_loss(data: Path, tmp_path: Path) -> None:
    best = pretrain(data, tmp_path, METHOD, replace(PRETRAIN, epochs=6, batch=8, learning_rate=0.05))
    heads = Heads(64, 6)
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    heads.load_state_dict(checkpoint["modules"]["heads"])
    store = open_store(data, "train", METHOD.preprocessing)
    model = load_method(best)
    with torch.inference_mode():
        pooled, _ = heads(model.encode(model.preprocess.normalise(store.images)).maps)
    assert (pooled.argmax(1).numpy() == store.labels).mean() > 0.5  # chance is 1/6
    assert (
        validate_class_means(model, open_store(data, "val", METHOD.preprocessing), episodes=10)["class means 5-shot"]
        > 0.5
    )


def test_cosine_rises_to_its_peak_and_ends_near_zero() -> None:
    rates = [cosine(step, 100, 0.1, warmup=0.1) for step in range(100)]
    assert np.argmax(rates) == 10
    assert rates[10] == pytest.approx(0.1)
    assert rates == sorted(rates[:10]) + sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 1e-4


def test_sides_have_equal_shares() -> None:
    assert [side_at(step, 5, (56, 84)) for step in range(5)] == [56, 56, 56, 84, 84]
    assert side_at(3, 5, ()) is None


def test_step_schedule_halves() -> None:
    assert [step_halving(step, 1.0, 10) for step in (0, 9, 10, 25)] == [1.0, 1.0, 0.5, 0.25]


def test_paper_preset_is_the_published_recipe() -> None:
    paper = PRESETS["paper"]
    assert paper.pretrain is None
    assert paper.train.steps * paper.train.episodes_per_step == 50 * 10_000
    assert (paper.train.way, paper.train.queries, paper.train.betas) == (5, 15, (0.5, 0.9))
    assert paper.train.halve_every == 10 * 10_000 // 4
    assert (paper.train.store_side, paper.train.jitter, paper.train.level_loss) == (100, 0.4, 0.0)


def test_a_run_on_a_handful_of_photos(tmp_path: Path) -> None:
    for split, first in (("train", 0), ("val", 2)):
        class_folders(tmp_path / split, classes=2, each=3, first=first)
    tiny = {"validation_queries": 1, "validation_shots": (1,), "validation_episodes": 2}
    preset = Preset(replace(PRETRAIN, batch=4, **tiny), replace(TRAIN, steps=1, way=2, shots=(1,), queries=1, **tiny))
    assert train(tmp_path, tmp_path / "run", METHOD, preset).is_file()


def test_a_table_without_splits_is_not_trained_on(tmp_path: Path) -> None:
    photos = class_folders(tmp_path / "photos", classes=6, each=20)
    rows = [f"{path},{path.parent.name}" for path in sorted(photos.rglob("*.png"))]
    (tmp_path / "photos.csv").write_text("\n".join(["path,label", *rows]))
    for run in (
        lambda: train(tmp_path / "photos.csv", tmp_path / "run", METHOD, Preset(None, TRAIN)),
        lambda: pretrain(tmp_path / "photos.csv", tmp_path / "run", METHOD, PRETRAIN),
    ):
        with pytest.raises(ValueError, match=r"photos.csv: no splits; training needs a train and a val split"):
            run()


def test_a_run_is_saved_before_it_is_validated(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    preset = Preset(None, replace(TRAIN, steps=2, checkpoint_seconds=1e6))
    with monkeypatch.context() as patch:
        patch.setattr("triptych.training.validation.evaluate_store", kill)
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path, METHOD, preset)
    assert capfd.readouterr().err == "training, step 2/2: saved; validating on 4 episodes, 1-shot and 5-shot\n"
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] == 2
    assert train(data, tmp_path, METHOD, preset, resume=True).is_file()
    told = capfd.readouterr().err
    assert told.startswith("training, step 2/2: goes on from the last checkpoint\n")
    assert re.search(r"\ntraining, step 2/2 \(.* min\): best validation so far \d+\.\d%; validation: ", told)
    assert re.search(r"(\w+, 1-shot \d+\.\d%; )+all levels, 1-shot \d+\.\d%; ", told)


def test_a_run_that_began_before_there_was_a_setting_goes_on(data: Path, finished: Path, tmp_path: Path) -> None:
    again = shutil.copytree(finished, tmp_path / "run")
    checkpoint = torch.load(again / "checkpoint.pt", weights_only=True)
    del checkpoint["identity"]["validation_queries"], checkpoint["owes_validation"]
    torch.save(checkpoint, again / "checkpoint.pt")
    pretrain(data, again, METHOD, PRETRAIN, resume=True)
    with pytest.raises(ValueError, match="validation-queries 15 -> 14"):
        pretrain(data, again, METHOD, replace(PRETRAIN, validation_queries=14), resume=True)
