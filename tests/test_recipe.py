"""The comparison of recipes: what is mixed is told as mixed, and a killed run goes on as if it had not been."""

import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import split_folders

from triptych import load_method
from triptych.backbones import Conv64F
from triptych.data import ImageStore

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def store(count: int = 12, side: int = 16) -> ImageStore:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count) % 3
    return ImageStore(torch.from_numpy(pixels), labels, ("a", "b", "c"), tuple(map(str, range(count))), fingerprint="")


def test_cutmix_shares_the_target_as_it_shares_the_pixels():
    from recipe import Recipe, batch_of_step

    recipe = Recipe(batch=6, cutmix=1.0)
    plain, cut = (batch_of_step(store(), one, 3, None) for one in (replace(recipe, cutmix=0.0), recipe))
    other = plain.images[cut.partner]
    assert ((cut.images == plain.images) | (cut.images == other)).all()
    changed = (cut.images != plain.images).any(1)[cut.partner != torch.arange(6)]
    assert changed.float().mean(dim=(1, 2)).max().item() == pytest.approx(1 - cut.share, abs=0.02)
    expected = cut.share * plain.targets + (1 - cut.share) * plain.targets[cut.partner]
    torch.testing.assert_close(cut.targets, expected)
    assert cut.mixed_at == -1


def test_mixup_mixes_what_one_layer_receives():
    from recipe import Recipe, batch_of_step, taps_of

    batch = batch_of_step(store(), Recipe(batch=6, mixup=1.0), 0, None)
    network = Conv64F().eval()
    at_input = batch.share * batch.images + (1 - batch.share) * batch.images[batch.partner]
    mixed = taps_of(network, batch._replace(mixed_at=0))
    torch.testing.assert_close(mixed[-1], network(at_input))
    below = taps_of(network, batch._replace(mixed_at=-1))
    at_last = batch.share * below[1] + (1 - batch.share) * below[1][batch.partner]
    torch.testing.assert_close(taps_of(network, batch._replace(mixed_at=3))[-1], network.layers[3](at_last))


def test_targets_stay_probabilities_whatever_is_switched_on():
    from recipe import Recipe, batch_of_step

    recipe = Recipe(batch=6, rotation=1.0, mixup=0.5, cutmix=0.5, smoothing=0.3, least_area=0.5, jitter=0.2)
    for step in range(6):
        batch = batch_of_step(store(), recipe, step, 12)
        assert batch.images.shape == (6, 3, 12, 12)
        torch.testing.assert_close(batch.targets.sum(1), torch.ones(6))
        torch.testing.assert_close(batch.turns.sum(1), torch.ones(6))
        assert batch.targets.min() >= 0.3 / 3 - 1e-6


def test_turned_images_are_told_by_how_much():
    from recipe import Recipe, batch_of_step

    recipe = Recipe(batch=6)
    upright, turned = (batch_of_step(store(), one, 0, None) for one in (recipe, replace(recipe, rotation=1.0)))
    for image, turn, original in zip(turned.images, turned.turns.argmax(1), upright.images, strict=True):
        assert torch.equal(image, original.rot90(int(turn), (1, 2)))
    assert len(turned.turns.argmax(1).unique()) > 1


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, monkeypatch):
    import recipe as module

    recipe = module.Recipe(steps=4, batch=4, gaussian=1.0, rotation=1.0, mixup=0.5)

    def run(out: Path, minutes: float) -> tuple[Conv64F, int]:
        torch.manual_seed(0)
        out.mkdir(exist_ok=True)
        return module.pretrain(store(), Conv64F(), recipe, [12, 16], out, minutes)

    whole, steps = run(tmp_path / "whole", 1e9)
    assert steps == 4
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "monotonic", itertools.count(0, 60).__next__)  # every look at the clock is a minute
        _, steps = run(tmp_path / "killed", 5)
    assert 0 < steps < 4
    resumed, steps = run(tmp_path / "killed", 1e9)
    assert steps == 4
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name
    with pytest.raises(ValueError, match="of another recipe"):
        module.pretrain(store(), Conv64F(), replace(recipe, smoothing=0.1), [16], tmp_path / "whole", 1)


def test_the_command_trains_validates_and_keeps_a_method(tmp_path, monkeypatch, capsys):
    import recipe as module

    data, out = split_folders(tmp_path / "data"), tmp_path / "run"
    given = [
        "recipe.py",
        str(data),
        "--out",
        str(out),
        "--steps",
        "1",
        "--batch",
        "8",
        "--side",
        "28",
        "--episodes",
        "2",
    ]
    monkeypatch.setattr(sys, "argv", given)
    module.main()
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"1-shot", "5-shot"}
    assert all(0 <= accuracy <= 100 for accuracy, _ in figures.values())
    assert isinstance(load_method(out / "best.safetensors").backbone, Conv64F)
