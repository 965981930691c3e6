"""Pre-training of Conv-64F under regularisers that are switched on one by one, and class means on validation.

    python benchmarks/recipe.py DATA --init benchmarks/checkpoints/conv64f-pretrain-42.safetensors --out runs/mixup \
        --steps 600 --side 42 --gaussian 1 --mixup 0.5

It compares recipes at equal numbers of images before any of them gets a place in ``triptych.training``. Every random
draw is a function of the seed and the step, and a killed run goes on from its checkpoint with the same command.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from triptych import load_method, save_method
from triptych.backbones import Conv64F
from triptych.data import ImageStore, colour_jitter, normalise, open_store, random_crop_flip, resize
from triptych.evaluation import Accuracy, EpisodeSampler
from triptych.methods import build_method
from triptych.similarity import gaussian_vector_size, gaussian_vectors
from triptych.system.memory import keep_freed_memory
from triptych.training.schedule import cosine, set_learning_rate, side_at

_MEAN = _STD = (0.5, 0.5, 0.5)
_ORDER, _AUGMENTATION = 1, 2  # streams of random numbers of one seed
_TURNS = 4
_CROPPED = 0.8  # share of the batches in which crops are resized; the others are as sharp as tests
_CHECKPOINT_SECONDS = 120
_VALIDATION_SEED = 1


@dataclass(frozen=True)
class Recipe:
    """What a run does. A weight or a share of 0 switches its part off."""

    steps: int = 600
    batch: int = 128
    learning_rate: float = 0.05
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 5e-4
    average: float = 0.995  # decay of the moving average of the weights, which is what is kept
    dense: float = 1.0  # weight of the classification of every descriptor
    gaussian: float = 0.0  # weight of a classification by the Gaussians of layers 2 to 4
    rotation: float = 0.0  # weight of telling by how many quarters an image is turned; all images are turned then
    mixup: float = 0.0  # share of the batches mixed at a random layer (manifold mixup)
    cutmix: float = 0.0  # share of the batches with a rectangle of another image
    smoothing: float = 0.0  # share of the target that all classes have alike
    least_area: float = 0.0  # of random resized crops; 0 for shifts of 4 pixels
    jitter: float = 0.0
    seed: int = 0


class Batch(NamedTuple):
    """Images (B, 3, side, side), and what is to be told of them: targets (B, classes) and turns (B, 4)."""

    images: Tensor
    targets: Tensor
    turns: Tensor
    mixed_at: int  # the layer whose input is mixed with that of the partners; -1 for none
    share: float  # of an image itself
    partner: Tensor


class Heads(nn.Module):
    """Classifiers of the mean descriptor, of each descriptor by cosine, of the Gaussians, and of the turn."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        channels, size = Conv64F.channels, gaussian_vector_size(Conv64F.tap_channels)
        self.pooled = nn.Linear(channels, classes)
        self.dense = nn.Parameter(torch.randn(classes, channels) / channels**0.5)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.norm = nn.BatchNorm1d(size, affine=False)
        self.gaussian, self.turn = nn.Linear(size, classes), nn.Linear(size, _TURNS)
        for linear in (self.gaussian, self.turn):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def loss(self, taps: list[Tensor], batch: Batch, recipe: Recipe) -> tuple[Tensor, float]:
        """The weighted sum of the cross-entropies, and the accuracy against the likeliest target."""
        targets, last = batch.targets, taps[-1].float()
        pooled = self.pooled(last.mean(dim=(2, 3)))
        loss = cross_entropy(pooled, targets)
        if recipe.dense:
            descriptors = functional.normalize(last.flatten(2).transpose(1, 2), dim=2)  # (B, M, C)
            cosines = descriptors @ functional.normalize(self.dense, dim=1).T
            each = (cosines * self.log_scale.exp()).log_softmax(2).mean(1)  # (B, classes)
            loss = loss - recipe.dense * (targets * each).sum(1).mean()
        if recipe.gaussian or recipe.rotation:
            # As long as 64 features of unit variance: at full length SGD diverges at the rate that the rest learns at.
            vectors = 0.1 * self.norm(gaussian_vectors(taps).float())
            loss = loss + recipe.gaussian * cross_entropy(self.gaussian(vectors), targets)
            loss = loss + recipe.rotation * cross_entropy(self.turn(vectors), batch.turns)
        return loss, (pooled.argmax(1) == targets.argmax(1)).float().mean().item()


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Of targets that are probabilities."""
    return -(targets * logits.log_softmax(1)).sum(1).mean()


def taps_of(network: Conv64F, batch: Batch) -> list[Tensor]:
    """Maps of layers 2 to 4; what layer ``mixed_at`` receives is mixed with that of other images."""
    maps = [batch.images]
    for number, layer in enumerate(network.layers):
        received = maps[-1]
        if number == batch.mixed_at:
            received = batch.share * received + (1 - batch.share) * received[batch.partner]
        maps.append(layer(received))
    return maps[2:]


def resized_crops(images: Tensor, side: int, least_area: float, rng: np.random.Generator) -> Tensor:
    """Random rectangles of at least this share of each image, half of them mirrored, at another side."""
    count = len(images)
    area, aspect = rng.uniform(least_area, 1, count), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3), count))
    width, height = np.minimum(1, np.sqrt(area * aspect)), np.minimum(1, np.sqrt(area / aspect))
    theta = np.zeros((count, 2, 3), np.float32)
    theta[:, 0, 0] = width * rng.choice((-1, 1), count)
    theta[:, 0, 2] = rng.uniform(-1 + width, 1 - width)
    theta[:, 1, 1] = height
    theta[:, 1, 2] = rng.uniform(-1 + height, 1 - height)
    grid = functional.affine_grid(torch.from_numpy(theta), [count, 3, side, side], align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def images_of_step(store: ImageStore, recipe: Recipe, step: int, side: int | None) -> tuple[Tensor, np.ndarray]:
    """Augmented images (B, 3, side, side) and their labels."""
    epoch, position = divmod(step, len(store) // recipe.batch)
    order = np.random.default_rng([recipe.seed, _ORDER, epoch]).permutation(len(store))
    chosen = order[position * recipe.batch : (position + 1) * recipe.batch]
    rng = np.random.default_rng([recipe.seed, _AUGMENTATION, step])
    pixels = colour_jitter(store[chosen], recipe.jitter, rng)
    if recipe.least_area and rng.random() < _CROPPED:
        images = resized_crops(normalise(pixels, _MEAN, _STD), side or pixels.shape[1], recipe.least_area, rng)
    else:
        images = resize(normalise(random_crop_flip(pixels, pixels.shape[1], rng, 4), _MEAN, _STD), side)
    return images, store.labels[chosen]


def batch_of_step(store: ImageStore, recipe: Recipe, step: int, side: int | None) -> Batch:
    """The images of a step: augmented, perhaps turned, perhaps mixed; and their targets."""
    images, labels = images_of_step(store, recipe, step, side)
    rng = np.random.default_rng([recipe.seed, step])
    classes, turns = len(store.classes), torch.zeros(len(images), dtype=torch.int64)
    targets = functional.one_hot(torch.from_numpy(labels), classes).float()
    targets = (1 - recipe.smoothing) * targets + recipe.smoothing / classes
    if recipe.rotation:
        turns = torch.from_numpy(rng.integers(0, _TURNS, len(images)))
        images = torch.stack([image.rot90(int(k), (1, 2)) for image, k in zip(images, turns, strict=True)])
    batch = Batch(images, targets, functional.one_hot(turns, _TURNS).float(), -1, 1.0, torch.arange(len(images)))
    return mixed(batch, recipe, rng)


def mixed(batch: Batch, recipe: Recipe, rng: np.random.Generator) -> Batch:
    """With a partner for each image, or as it is: mixup at a random layer, a window of the partner, or neither."""
    draw = rng.random()
    images, side = batch.images.contiguous(memory_format=torch.channels_last), batch.images.shape[2]
    if draw >= recipe.mixup + recipe.cutmix:
        return batch._replace(images=images)
    partner, share, mixed_at = torch.from_numpy(rng.permutation(len(images))), float(rng.uniform()), -1
    if draw < recipe.mixup:
        mixed_at = int(rng.integers(0, 4))
    else:
        cut = round(side * (1 - share) ** 0.5)
        top, left = rng.integers(0, side - cut + 1, 2)
        window = slice(top, top + cut), slice(left, left + cut)
        images = images.clone()
        images[:, :, *window] = batch.images[partner][:, :, *window]
        share = 1 - cut**2 / side**2
    targets, turns = (share * goal + (1 - share) * goal[partner] for goal in (batch.targets, batch.turns))
    return Batch(images, targets, turns, mixed_at, share, partner)


def pretrain(
    store: ImageStore, network: Conv64F, recipe: Recipe, sides: list[int], out: Path, minutes: float
) -> tuple[Conv64F, int]:
    """Train for so many minutes at most, and keep ``checkpoint.pt``: the averaged network, and the steps it has had."""
    classes = len(store.classes)
    heads = Heads(classes)
    network.to(memory_format=torch.channels_last)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True)
    parameters = [*network.parameters(), *heads.parameters()]
    optimizer = torch.optim.SGD(parameters, recipe.learning_rate, 0.9, weight_decay=recipe.weight_decay, nesterov=True)
    parts = {"network": network, "heads": heads, "average": average, "optimizer": optimizer}
    step = _load(out / "checkpoint.pt", recipe, parts)
    started = saved = time.monotonic()
    while step < recipe.steps and time.monotonic() - started < 60 * minutes:
        batch = batch_of_step(store, recipe, step, side_at(step, recipe.steps, sides))
        set_learning_rate(optimizer, cosine(step, recipe.steps, recipe.learning_rate, recipe.warmup))

        network.train()
        with torch.autocast("cpu", torch.bfloat16):
            taps = taps_of(network, batch)
        loss, accuracy = heads.loss(taps, batch, recipe)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        average.update_parameters(network)

        step += 1
        if step % 100 == 0:
            seconds = time.monotonic() - started
            print(json.dumps({"step": step, "seconds": round(seconds), "loss": loss.item(), "accuracy": accuracy}))
        if time.monotonic() - saved > _CHECKPOINT_SECONDS:
            saved = time.monotonic()
            _save(out / "checkpoint.pt", step, recipe, parts)
    _save(out / "checkpoint.pt", step, recipe, parts)
    return average.module, step


def _save(path: Path, step: int, recipe: Recipe, parts: dict) -> None:
    whole = path.with_suffix(".part")
    torch.save(
        {"step": step, "recipe": asdict(recipe), **{name: part.state_dict() for name, part in parts.items()}}, whole
    )
    whole.replace(path)


def _load(path: Path, recipe: Recipe, parts: dict) -> int:
    if not path.exists():
        return 0
    state = torch.load(path)
    if state["recipe"] != asdict(recipe):
        raise ValueError(
            f"{path} is of another recipe, {state['recipe']}: choose another --out, or go on with that one"
        )
    for name, part in parts.items():
        part.load_state_dict(state[name])
    return state["step"]


@torch.inference_mode()
def class_means(network: Conv64F, store: ImageStore, side: int, episodes: int) -> dict[str, Accuracy]:
    """5-way accuracy of the nearest class mean (cosine of pooled maps), 1- and 5-shot."""
    parts = []
    for pixels in store.images.split(20):
        with torch.autocast("cpu", torch.bfloat16):
            maps = network.eval()(resize(normalise(pixels, _MEAN, _STD), side))
        parts.append(maps.float().mean(dim=(2, 3)))
    pooled = functional.normalize(torch.cat(parts), dim=1)
    figures = {}
    for shot in (1, 5):
        sampler = EpisodeSampler(store.labels, min(5, len(store.classes)), shot, seed=_VALIDATION_SEED)
        correct = []
        for number in range(episodes):
            episode = sampler[number]
            means = functional.normalize(pooled[episode.support].view(sampler.way, shot, -1).mean(1), dim=1)  # (N, C)
            answers = (pooled[episode.query] @ means.T).argmax(1).numpy()
            correct.append((answers == episode.query_labels).mean())
        figures[f"{shot}-shot"] = Accuracy.over(np.array(correct))
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--init", type=Path)
    parser.add_argument("--side", type=int, nargs="+", default=[42], help="each for an equal share of the steps")
    parser.add_argument("--minutes", type=float, default=1e9, help="save and stop after so many")
    parser.add_argument("--episodes", type=int, default=1000)
    for field in fields(Recipe):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = parser.parse_args()
    recipe = Recipe(**{field.name: getattr(given, field.name) for field in fields(Recipe)})
    keep_freed_memory()
    torch.manual_seed(recipe.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    method = build_method("mml-conv64f") if given.init is None else load_method(given.init)
    if not isinstance(method.backbone, Conv64F):
        parser.error(f"--init {given.init}: expected a method with the backbone conv64f")
    store = open_store(given.data, "train", method.preprocess)
    network, step = pretrain(store, method.backbone, recipe, given.side, given.out, given.minutes)
    method = build_method("mml-conv64f")
    method.backbone.load_state_dict(network.state_dict())
    save_method(method, given.out / "best.safetensors")
    if step == recipe.steps:
        validation = open_store(given.data, "val", method.preprocess)
        figures = class_means(network, validation, given.side[-1], given.episodes)
        print(json.dumps({name: [round(100 * one.mean, 2), round(100 * one.ci95, 2)] for name, one in figures.items()}))


if __name__ == "__main__":
    main()
