"""Training: the loops learn, a killed run resumes bit for bit, and what cannot go on says so."""

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import split_folders

from triptych import load_method
from triptych.data import ImageStore, Preprocessing, open_store
from triptych.evaluation import EpisodeSampler
from triptych.methods import LEVELS, METHODS, MML, Method, MMLConfig, build_method, save_method
from triptych.similarity import fit_plda, gaussian_vectors
from triptych.training import (
    PRESETS,
    Preset,
    PretrainSettings,
    TrainingError,
    TrainSettings,
    balance_levels,
    learn_closed_form,
    pretrain,
    train,
)
from triptych.training.classification import GaussianHead
from triptych.training.episodic import episode_loss
from triptych.training.schedule import cosine, side_at, step_halving

PRETRAIN = PretrainSettings(epochs=3, batch=8, store_side=88, checkpoint_seconds=0, learning_rate=0.02)
TRAIN = TrainSettings(
    steps=24,
    episodes_per_step=2,
    way=3,
    shots=(1, 2),
    queries=2,
    schedule="cosine",
    level_loss=1.0,
    average=0.9,
    freeze_norm_after=16,
    store_side=88,
    sides=(48, 84),
    base_images=3,
    base_loss=1.0,
    pixel_share=0.5,
    validate_every=12,
    validation_episodes=4,
    validation_shots=(1, 5),
    checkpoint_seconds=0,
)
TINY = Preset(PRETRAIN, TRAIN)
COMMAND = """
import sys
sys.path[:0] = {tests!r}
from test_training import TINY
from triptych.training import train
train({data!r}, {out!r}, preset=TINY, resume=True)
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return split_folders(tmp_path_factory.mktemp("data"))


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "checkpoint.pt", weights_only=True)["modules"]["method"]


def same_weights(one: Path, other: Path) -> bool:
    first, second = state(one), state(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def run_and_kill(data: Path, out: Path, after: Path, delay: float) -> None:
    """Start training in a process of its own and kill -9 it ``delay`` seconds after the file ``after`` is there."""
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    program = COMMAND.format(tests=folders, data=str(data), out=str(out))
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not after.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the run ended before it could be killed"


def test_killed_runs_resume_to_the_weights_of_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    best = train(data, whole, preset=TINY)
    run_and_kill(data, killed, killed / "pretrain" / "checkpoint.pt", delay=0.05)
    assert not (killed / "checkpoint.pt").exists(), "the first kill must fall into pre-training"
    run_and_kill(data, killed, killed / "checkpoint.pt", delay=0.2)
    assert train(data, killed, preset=TINY, resume=True) == killed / "best.safetensors"
    assert same_weights(whole / "pretrain", killed / "pretrain")
    assert same_weights(whole, killed)
    assert best.read_bytes() == (killed / "best.safetensors").read_bytes()


@pytest.mark.parametrize("stage", ["pretraining.validate_class_means", "episodic.evaluate_store"])
def test_a_run_killed_in_its_validation_validates_again(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    whole, killed = tmp_path / "whole", tmp_path / "killed"
    short = Preset(replace(PRETRAIN, epochs=1), replace(TRAIN, steps=2, validate_every=1))
    train(data, whole, preset=short)
    with monkeypatch.context() as patch:
        patch.setattr(f"triptych.training.{stage}", kill)
        with pytest.raises(KeyboardInterrupt):
            train(data, killed, preset=short)
    train(data, killed, preset=short, resume=True)
    for stage_folder in ("pretrain", "."):
        first, second = (run / stage_folder / "best.safetensors" for run in (whole, killed))
        assert first.read_bytes() == second.read_bytes()


def test_resuming_a_finished_run_changes_nothing(data: Path, tmp_path: Path) -> None:
    pretrain(data, tmp_path, settings=PRETRAIN)
    before = state(tmp_path)
    pretrain(data, tmp_path, settings=PRETRAIN, resume=True)
    after = state(tmp_path)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_same_seed_same_weights_other_seed_others(data: Path, tmp_path: Path) -> None:
    short = replace(PRETRAIN, epochs=1)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        pretrain(data, tmp_path / name, settings=replace(short, seed=seed))
    assert same_weights(tmp_path / "a", tmp_path / "b")
    assert not same_weights(tmp_path / "a", tmp_path / "c")


def test_a_folder_with_a_run_is_not_overwritten_unasked(data: Path, tmp_path: Path) -> None:
    short = replace(PRETRAIN, epochs=1)
    pretrain(data, tmp_path, settings=short)
    with pytest.raises(ValueError, match="--resume"):
        pretrain(data, tmp_path, settings=short)


def test_a_run_is_not_resumed_with_other_settings(data: Path, tmp_path: Path) -> None:
    short = replace(PRETRAIN, epochs=1)
    pretrain(data, tmp_path, settings=short)
    with pytest.raises(ValueError, match=r"learning_rate 0.02 -> 0.5"):
        pretrain(data, tmp_path, settings=replace(short, learning_rate=0.5), resume=True)


def test_a_damaged_checkpoint_is_named(data: Path, tmp_path: Path) -> None:
    short = replace(PRETRAIN, epochs=1)
    pretrain(data, tmp_path, settings=short)
    checkpoint = tmp_path / "checkpoint.pt"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"checkpoint.pt: damaged"):
        pretrain(data, tmp_path, settings=short, resume=True)


def test_divergence_stops_with_a_sound_checkpoint(data: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        pretrain(data, tmp_path, settings=replace(PRETRAIN, epochs=20, learning_rate=1e12, warmup=0.0))
    if (tmp_path / "checkpoint.pt").exists():
        assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["step"] >= 1


def test_the_run_leaves_logs_settings_and_a_model_that_loads(data: Path, tmp_path: Path) -> None:
    best = train(data, tmp_path, preset=Preset(None, TRAIN))
    assert list(tmp_path.glob("events.out.tfevents*"))
    assert (tmp_path / "settings.json").exists()
    method = load_method(best)
    assert int(method.fusion.observed) > 0
    assert not (method.fusion.spread == 1).all()


def test_the_test_split_is_never_opened(data: Path, tmp_path: Path) -> None:
    assert not (data / "test").exists()  # there is none, and training has run all the same
    train(data, tmp_path, preset=Preset(None, replace(TRAIN, steps=1)))


def test_training_starts_from_the_given_weights(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    start = build_method("mml-conv64f")
    save_method(start, tmp_path / "start.safetensors")
    frozen = replace(TRAIN, steps=1, learning_rate=0.0)
    best = train(data, tmp_path / "run", preset=Preset(PRETRAIN, frozen), init=tmp_path / "start.safetensors")
    weight = "backbone.layers.3.0.weight"
    assert torch.equal(load_method(best).state_dict()[weight], start.state_dict()[weight])
    assert not (tmp_path / "run" / "pretrain").exists()


def test_plain_class_folders_cannot_be_trained_on(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"train/ and val/"):
        train(data / "train", tmp_path / "run", preset=TINY)
    assert not (tmp_path / "run").exists()


def test_the_kept_model_is_the_moving_average(data: Path, tmp_path: Path) -> None:
    settings = replace(TRAIN, steps=2, validate_every=2, sides=(), average=0.75, seed=3)
    first = train(data, tmp_path / "first", preset=Preset(None, replace(settings, steps=1, average=0.0)))
    averaged = load_method(train(data, tmp_path / "run", preset=Preset(None, replace(settings, schedule="step"))))
    one, two = load_method(first).state_dict(), state(tmp_path / "run")
    for name in ("backbone.layers.0.0.weight", "fusion.log_weight", "fusion.spread"):
        torch.testing.assert_close(averaged.state_dict()[name], 0.75 * one[name] + 0.25 * two[name])


def plda_of(method: Method) -> dict[str, torch.Tensor]:
    assert isinstance(method, MML)
    return dict(method.scorers["plda"].named_buffers())


def test_plda_is_that_of_the_kept_weights(data: Path, tmp_path: Path) -> None:
    settings = replace(TRAIN, steps=2, precision="32", store_side=None)
    method = load_method(train(data, tmp_path / "run", preset=Preset(None, settings)))
    assert method.config.base_classes == 6
    assert method.level_names == (*LEVELS, "plda")
    again = plda_of(learn_closed_form(method, open_store(data, "train", Preprocessing(84)), TRAIN.base_images))
    for name, value in plda_of(method).items():
        torch.testing.assert_close(again[name], value, rtol=1e-2, atol=1e-3)


def test_plda_is_learnt_from_so_many_images_and_leaves_the_rest_alone(data: Path) -> None:
    model, store = MML(MMLConfig()).eval(), open_store(data, "train", Preprocessing(84))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learnt = learn_closed_form(model, store, 3)
    with torch.no_grad():
        pixels = [store[np.flatnonzero(store.labels == n)[:3]] for n in range(6)]
        images = [model.preprocess.normalise(torch.cat([one, one.flip(2)])) for one in pixels]
        origin, _, between = fit_plda([gaussian_vectors(model.backbone.taps(one)) for one in images])
    torch.testing.assert_close(plda_of(learnt)["origin"].double(), origin, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(plda_of(learnt)["between"].double(), between, rtol=1e-2, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.level_names == LEVELS


def test_the_head_of_the_base_classes_trains_the_backbone(data: Path, tmp_path: Path) -> None:
    """Without it the same steps end elsewhere; with it a run can be resumed, as another test shows."""
    weights = []
    for number, base_loss in enumerate((0.0, 1.0)):
        preset = Preset(None, replace(TRAIN, steps=2, base_loss=base_loss))
        weights.append(load_method(train(data, tmp_path / f"{number}", preset=preset)).backbone.state_dict())
    assert not torch.equal(weights[0]["layers.1.0.weight"], weights[1]["layers.1.0.weight"])


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


def tinted(classes: int, each: int, seed: int) -> ImageStore:
    """Images of classes that overlap: noise, in a tint that varies within a class about as much as between them."""
    rng = np.random.default_rng(seed)
    tints = np.concatenate([rng.normal(rng.normal(90, 25, 3), 15, (each, 3)) for _ in range(classes)])
    pixels = rng.uniform(0, 80, (classes * each, 32, 32, 3)) + tints[:, None, None]
    names = tuple(map(str, range(classes * each)))
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    return ImageStore(images, np.arange(classes).repeat(each), names[:classes], names, fingerprint="")


def costs(method: MML, store: ImageStore, seed: int) -> dict[str, float]:
    """Cross-entropy of each level's logits and of the fused ones."""
    found: dict[str, list[float]] = {}
    with torch.no_grad():
        encoded = method.encode(method.preprocess.normalise(store.images))
        for number in range(5):
            episode = EpisodeSampler(store.labels, 5, 1, seed=seed)[number]
            labels, truth = torch.from_numpy(episode.support_labels), torch.from_numpy(episode.query_labels)
            levels = method.compare_encoded(encoded[episode.query], encoded[episode.support], labels)
            logits = {"fused": method.fuse(levels), **method.fusion.calibrated(levels)}
            for name, scores in logits.items():
                found.setdefault(name, []).append(torch.nn.functional.cross_entropy(scores, truth).item())
    return {name: float(np.mean(values)) for name, values in found.items()}


def test_balanced_levels_are_calibrated_together_and_each_by_itself() -> None:
    torch.manual_seed(0)
    method = learn_closed_form(MML(MMLConfig(preprocessing=Preprocessing(side=32))), tinted(8, 10, seed=0), 10)
    before = {name: value.clone() for name, value in method.state_dict().items()}
    store = tinted(5, 20, seed=1)
    balanced = balance_levels(method, store, shots=[1], episodes=5, seed=4)
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    assert balanced.level_names == (*LEVELS, "plda")
    best = costs(balanced, store, seed=4)
    assert best["fused"] <= min(best[name] for name in method.level_names) < np.log(5)
    for i, name in enumerate(method.level_names):
        for factor in (0.5, 2.0):  # the weak prior may leave a little
            for parameter in (balanced.fusion.log_temperature, balanced.fusion.log_weight):
                with torch.no_grad():
                    parameter[i] += np.log(factor)
                    changed = costs(balanced, store, seed=4)
                    parameter[i] -= np.log(factor)
                assert changed["fused"] > best["fused"] - 5e-3
                assert changed[name] > best[name] - 5e-3
    assert costs(method, store, seed=4)["fused"] > best["fused"] + 0.01


def test_levels_are_balanced_over_all_shots_and_without_plda() -> None:
    torch.manual_seed(0)
    method, store = MML(MMLConfig(preprocessing=Preprocessing(side=32))).eval(), tinted(5, 20, seed=1)
    balanced = balance_levels(method, store, shots=[1, 5], episodes=5, precision="bf16")
    assert balanced.level_names == LEVELS
    assert costs(balanced, store, seed=4)["fused"] < costs(method, store, seed=4)["fused"]


@pytest.mark.parametrize(("shots", "episodes"), [((), 5), ((1,), 0)])
def test_nothing_to_balance_levels_on_is_refused(shots: tuple[int, ...], episodes: int) -> None:
    with pytest.raises(ValueError, match="expected shots and at least one episode"):
        balance_levels(MML(MMLConfig(preprocessing=Preprocessing(side=32))), tinted(5, 20, seed=1), shots, episodes)


def test_a_photo_and_its_mirror_image_are_not_two_of_a_base_class(data: Path) -> None:
    with pytest.raises(ValueError, match="at least two images of each class, got 1"):
        learn_closed_form(MML(MMLConfig()), open_store(data, "train", Preprocessing(84)), 1)


def test_training_keeps_balanced_levels_and_trains_on_unbalanced_ones(data: Path, tmp_path: Path) -> None:
    runs = [replace(TRAIN, steps=2, validate_every=1, balance_episodes=episodes) for episodes in (0, 3)]
    files = [train(data, tmp_path / f"{n}", preset=Preset(None, run)) for n, run in enumerate(runs)]
    assert same_weights(tmp_path / "0", tmp_path / "1")
    plain, balanced = (load_method(file).fusion for file in files)
    assert not torch.equal(plain.log_weight, balanced.log_weight)


def test_the_published_fusion_cannot_be_balanced(data: Path) -> None:
    method = MML(replace(METHODS["mml-paper-conv64f"], slots=5))
    with pytest.raises(ValueError, match="a SlotFusion cannot be balanced; expected a LevelFusion"):
        balance_levels(method, open_store(data, "val", Preprocessing(84)), [1], 1, 0)


def test_methods_without_a_use_for_plda_train_without(data: Path, tmp_path: Path) -> None:
    settings = replace(TRAIN, steps=1)
    assert load_method(train(data, tmp_path, "dn4-conv64f", Preset(None, settings))).level_names == ("pixel",)


def test_the_settings_say_whether_plda_is_learnt(data: Path, tmp_path: Path) -> None:
    settings = replace(TRAIN, steps=1, base_images=0)
    assert load_method(train(data, tmp_path, MMLConfig(), Preset(None, settings))).level_names == LEVELS


@pytest.mark.parametrize("keep", [True, False])
def test_training_keeps_the_fusion_it_starts_from_unless_told_otherwise(data: Path, tmp_path: Path, keep: bool) -> None:
    start = MML(MMLConfig(levels=("distribution", "pixel", "part")))
    with torch.no_grad():
        start.fusion.log_weight.copy_(torch.tensor([0.1, 0.7, 0.2]).log())
        start.fusion.spread.fill_(3.0)
        start.fusion.observed.fill_(10**6)
    save_method(start, tmp_path / "start.safetensors")
    still = replace(TRAIN, steps=1, learning_rate=0.0, base_images=0, average=0.0)
    preset, init = Preset(None, still), tmp_path / "start.safetensors"
    config = MMLConfig(levels=("pixel", "part"))  # levels by name, whatever their order
    best = load_method(train(data, tmp_path / "run", config, preset, init, keep_fusion=keep))
    expected = torch.tensor([0.7, 0.2] if keep else [0.5, 0.5]).log()
    torch.testing.assert_close(best.fusion.log_weight.detach(), expected)
    assert (best.fusion.observed.item() > 10**6) is keep


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"balance_episodes": -1}, "balance_episodes must be a whole number of at least 0, got -1"),
        ({"base_images": 1}, "base_images must be 0, or 2 or more"),
        ({"pixel_share": 0.0}, "pixel_share must be a number above 0 and at most 1"),
        ({"pixel_share": 1.5}, "pixel_share must be a number above 0 and at most 1"),
    ],
)
def test_settings_check_themselves(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(TRAIN, **changes)


def test_too_few_validation_images_are_refused_before_the_first_step(data: Path, tmp_path: Path) -> None:
    settings = replace(TRAIN, validation_shots=(6,))
    with pytest.raises(ValueError, match="need 21"):
        train(data, tmp_path / "run", preset=Preset(None, settings))
    assert not (tmp_path / "run").exists()


def test_principal_components_are_not_trained(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="train the method without"):
        train(data, tmp_path / "run", MMLConfig(components=5), Preset(None, TRAIN))


def test_the_published_fusion_trains_at_its_own_way(data: Path, tmp_path: Path) -> None:
    config = replace(METHODS["mml-paper-conv64f"], slots=3)
    settings = replace(TRAIN, way=2, shots=(1,), validation_shots=(1,), steps=4, base_images=0)
    averaged = load_method(train(data, tmp_path, config, Preset(None, settings)))
    assert averaged.config == config
    trained = state(tmp_path)
    assert not (trained["fusion.norm.running_mean"] == 0).any()
    assert not (trained["fusion.weight"] == 1).any()


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_level_gets_a_gradient_of_its_own(name: str) -> None:
    torch.manual_seed(0)
    model = build_method(name)
    episode = EpisodeSampler(np.arange(3).repeat(4), way=3, shot=1, queries=2)[0]
    encoded = model.encode(torch.randn(9, 3, 84, 84))
    alone, _ = episode_loss(model, encoded, episode, level_loss=0.0)
    together, _ = episode_loss(model, encoded, episode, level_loss=1.0)
    assert together > alone
    together.backward()
    assert (model.fusion.log_temperature.grad != 0).all()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.backbone.parameters())


def test_a_few_steps_reduce_the_loss(data: Path, tmp_path: Path) -> None:
    settings = replace(PRETRAIN, epochs=6, learning_rate=0.05)
    best = pretrain(data, tmp_path, settings=settings)
    from triptych.training.pretraining import Heads, validate_class_means

    heads = Heads(64, 6)
    checkpoint = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    heads.load_state_dict(checkpoint["modules"]["heads"])
    from triptych.data import Preprocessing, open_store

    store = open_store(data, "train", Preprocessing(84))
    model = load_method(best)
    with torch.inference_mode():
        pooled, _ = heads(model.encode(model.preprocess.normalise(store.images)).maps)
    assert (pooled.argmax(1).numpy() == store.labels).mean() > 0.5  # chance is 1/6
    validation = open_store(data, "val", Preprocessing(84))
    assert validate_class_means(model, validation, episodes=10)["class means 5-shot"] > 0.5


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
