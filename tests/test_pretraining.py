"""The benchmark of pre-training: what is mixed is told as mixed, and every draw is a function of the step."""

from pathlib import Path

import numpy as np
import pytest
import torch

from triptych.backbones import Conv64F, ResNet12
from triptych.data import ImageStore
from triptych.methods import build_method

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)


def store(count: int = 24, side: int = 84) -> ImageStore:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    labels = np.arange(count) % 3
    return ImageStore(torch.from_numpy(pixels), labels, ("a", "b", "c"), tuple(map(str, range(count))), fingerprint="")


@pytest.mark.parametrize("network", [Conv64F(), ResNet12()])
@torch.no_grad()
def test_mixing_mixes_what_one_block_receives(network: Conv64F | ResNet12) -> None:
    from pretraining import layers_of, taps_of

    network.eval()
    layers, images, partner, share = (
        list(layers_of(network)),
        torch.randn(4, 3, 32, 32),
        torch.tensor([2, 3, 0, 1]),
        0.3,
    )
    (plain,) = taps_of(layers, images, None, 1)
    torch.testing.assert_close(plain, network(images))
    (mixed,) = taps_of(layers, images, (0, share, partner), 1)
    torch.testing.assert_close(mixed, network(share * images + (1 - share) * images[partner]))
    received = taps_of(layers, images, None, 2)[0]
    (late,) = taps_of(layers, images, (3, share, partner), 1)
    torch.testing.assert_close(late, layers[3](share * received + (1 - share) * received[partner]))


def test_the_teacher_s_answer_has_its_share_of_the_target() -> None:
    from pretraining import Recipe, Target, told

    logits, classes = torch.randn(5, 3), torch.eye(3)[[0, 1, 2, 0, 1]]
    hard = torch.nn.functional.cross_entropy(logits, classes)
    torch.testing.assert_close(told(logits, Target(classes), Recipe(distil=0.9)), hard)
    target = Target(classes, torch.randn(5, 3))
    soft = -((target.logits / 4).softmax(1) * (logits / 4).log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(told(logits, target, Recipe(distil=0.9)), 0.1 * hard + 0.9 * 16 * soft)


def test_a_step_sees_the_same_images_whenever_it_comes() -> None:
    from pretraining import Recipe, Trainer

    recipe = Recipe(backbone="conv64f", batch=6, turned=2)
    trainer, again = (Trainer(build_method("mml-conv64f"), store(), recipe, None) for _ in range(2))
    trainer.images(0, 32)
    for step in (1, 4):  # of the first pass over the images, and of the second
        (images, labels, _), (same, same_labels, _) = trainer.images(step, 32), again.images(step, 32)
        assert images.shape == (8, 3, 32, 32)
        torch.testing.assert_close(images, same, rtol=0, atol=0)
        assert labels.tolist() == same_labels.tolist()
