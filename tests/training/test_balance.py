"""What is found once a network is trained: PLDA in closed form, and how much each level counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from triptych.data import ImageStore
from triptych.evaluation import EpisodeSampler
from triptych.methods import LEVELS, MML, MMLConfig, Preprocessing
from triptych.similarity import fit_plda, gaussian_vectors
from triptych.training import balance_levels, learn_closed_form

METHOD = MMLConfig(preprocessing=Preprocessing(side=32))


def tinted(classes: int, each: int, seed: int) -> ImageStore:
    """Images of classes that overlap: noise, in a tint that varies within a class about as much as between them."""
    rng = np.random.default_rng(seed)
    tints = np.concatenate([rng.normal(rng.normal(90, 25, 3), 15, (each, 3)) for _ in range(classes)])
    pixels = rng.uniform(0, 80, (classes * each, 32, 32, 3)) + tints[:, None, None]
    names = tuple(map(str, range(classes * each)))
    images = torch.from_numpy(pixels.clip(0, 255).astype(np.uint8))
    return ImageStore(images, np.arange(classes).repeat(each), names[:classes], names, fingerprint="")


@pytest.mark.slow
def test_plda_is_learnt_from_so_many_images_and_leaves_the_rest_alone() -> None:
    model, store = MML(METHOD).eval(), tinted(6, 5, seed=0)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learnt = learn_closed_form(model, store, 3)
    with torch.no_grad():
        pixels = [store[np.flatnonzero(store.labels == n)[:3]] for n in range(6)]
        images = [model.preprocess.normalise(torch.cat([one, one.flip(2)])) for one in pixels]
        origin, _, between = fit_plda([gaussian_vectors(model.backbone.taps(one)) for one in images])
    level = learnt.scorers["plda"]
    torch.testing.assert_close(level.get_buffer("origin").double(), origin, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(level.get_buffer("between").double(), between, rtol=1e-2, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.level_names == LEVELS


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


@pytest.mark.slow
def test_balanced_levels_are_calibrated_together_and_each_by_itself() -> None:
    torch.manual_seed(0)
    method = learn_closed_form(MML(METHOD), tinted(8, 10, seed=0), 10)
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
                assert changed["fused"] > best["fused"] - 1e-2
                assert changed[name] > best[name] - 1e-2
    assert costs(method, store, seed=4)["fused"] > best["fused"] + 0.02


def test_levels_are_balanced_over_all_shots_and_without_plda() -> None:
    torch.manual_seed(0)
    method, store = MML(METHOD).eval(), tinted(5, 20, seed=1)
    balanced = balance_levels(method, store, shots=[1, 5], episodes=5)
    assert balanced.level_names == LEVELS
    assert costs(balanced, store, seed=4)["fused"] < costs(method, store, seed=4)["fused"]


@pytest.mark.parametrize(("shots", "episodes"), [((), 5), ((1,), 0)])
def test_nothing_to_balance_levels_on_is_refused(shots: tuple[int, ...], episodes: int) -> None:
    with pytest.raises(ValueError, match="expected shots and at least one episode"):
        balance_levels(MML(METHOD), tinted(5, 20, seed=1), shots, episodes)


def test_a_photo_and_its_mirror_image_are_not_two_of_a_base_class() -> None:
    with pytest.raises(ValueError, match="at least two images of each class, got 1"):
        learn_closed_form(MML(METHOD), tinted(3, 2, seed=0), 1)


def test_the_published_fusion_cannot_be_balanced() -> None:
    method = MML(replace(METHOD, slots=5))
    with pytest.raises(ValueError, match="a SlotFusion cannot be balanced; expected a LevelFusion"):
        balance_levels(method, tinted(5, 20, seed=1), [1], 1, 0)
