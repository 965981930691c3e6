"""Pre-training by turned images, mixed images and a teacher: what a GPU makes affordable.

    python benchmarks/pretraining.py DATA --backbone resnet12 --out runs/resnet12 --minutes 9 --side 64 84
    python benchmarks/pretraining.py DATA --backbone conv64f --out runs/conv64f --minutes 5 \
        --batch 512 --turned 0 --teacher runs/resnet12/heads.pt

``--minutes`` times a few steps at each side and fits the number of steps to the time; ``--steps`` gives the number, and
the same number draws the same images. ``best.safetensors`` is a method's file with the backbone, ``heads.pt`` the
backbone and its classifiers, which a teacher needs.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch._dynamo
from torch import Tensor, nn
from torch.nn import functional

from triptych import save_method
from triptych.backbones import Backbone, build_backbone
from triptych.data import ImageStore, colour_jitter, open_store, random_crop_flip, resize
from triptych.methods import Method, build_method
from triptych.similarity import gaussian_vector_size, gaussian_vectors
from triptych.training.schedule import cosine, set_learning_rate, side_at
from triptych.training.validation import validate_class_means

_ORDER, _AUGMENTATION = 1, 2  # streams of random numbers of one seed
_TURNS = 4
_TIMED = 20  # steps, after as many that are not


@dataclass(frozen=True)
class Recipe:
    """What a run does. A weight or a share of 0 switches its part off."""

    backbone: str = "resnet12"
    batch: int = 256
    turned: int = 64  # images of which each step sees all four turns too
    learning_rate: float = 0.2
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 5e-4
    dense: float = 0.5  # weight of the classification of every descriptor
    gaussian: float = 0.0  # weight of a classification by the Gaussians of the taps
    mixup: float = 0.5  # share of the steps that mix images, at a random block
    manifold: bool = True  # mix at a random block; else the images themselves, which a teacher can see too
    distil: float = 0.0  # share of the target that the teacher gives
    temperature: float = 4.0  # of the teacher's target
    imitate: float = 0.0  # weight of imitating the teacher's pooled features
    padding: int = 8
    jitter: float = 0.4
    seed: int = 0


class Heads(nn.Module):
    """Classifiers of the mean descriptor, of each descriptor by cosine, of the Gaussians, and of the turn."""

    def __init__(self, backbone: Backbone, classes: int, recipe: Recipe, taught: int = 0) -> None:
        super().__init__()
        channels = backbone.channels
        self.pooled = nn.Linear(channels, classes)
        self.dense = nn.Parameter(torch.randn(classes, channels) / channels**0.5)
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())
        self.turn = nn.Linear(channels, _TURNS)
        self.teacher_norm = nn.BatchNorm1d(taught, affine=False) if taught else None
        self.imitation = nn.Linear(channels, taught) if taught else None
        if recipe.gaussian:
            size = gaussian_vector_size(backbone.tap_channels)
            self.norm = nn.BatchNorm1d(size, affine=False)
            self.gaussian = nn.Linear(size, classes)
            self.gaussian_imitation = nn.Linear(size, taught) if taught else None
            nn.init.zeros_(self.gaussian.weight)
            nn.init.zeros_(self.gaussian.bias)

    def dense_log_probabilities(self, maps: Tensor) -> Tensor:
        """(B, classes): the mean over the descriptors of their log-probabilities."""
        descriptors = functional.normalize(maps.flatten(2).transpose(1, 2), dim=2)  # (B, M, C)
        cosines = descriptors @ functional.normalize(self.dense, dim=1).T
        return (cosines * self.log_scale.exp()).log_softmax(2).mean(1)


@dataclass(frozen=True)
class Target:
    """What is to be told of images: classes (B, classes) as probabilities; of a teacher, its logits and features."""

    classes: Tensor
    logits: Tensor | None = None
    features: Tensor | None = None


def cross_entropy(log_probabilities: Tensor, targets: Tensor) -> Tensor:
    return -(targets * log_probabilities).sum(1).mean()


def told(logits: Tensor, target: Target, recipe: Recipe) -> Tensor:
    """Cross-entropy of the classes and, for its share, of the teacher's softened answer."""
    loss = cross_entropy(logits.log_softmax(1), target.classes)
    if target.logits is None:
        return loss
    hot = recipe.temperature
    soft = cross_entropy((logits / hot).log_softmax(1), (target.logits / hot).softmax(1))
    return (1 - recipe.distil) * loss + recipe.distil * hot**2 * soft


def class_loss(heads: Heads, taps: tuple[Tensor, ...], target: Target, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """The weighted sum of the losses of all classifiers, and the pooled logits."""
    last = taps[-1].float()
    mean = last.mean(dim=(2, 3))
    logits = heads.pooled(mean)
    loss = told(logits, target, recipe)
    if recipe.dense:
        soft = target.classes
        if target.logits is not None:
            soft = (1 - recipe.distil) * soft + recipe.distil * (target.logits / 2).softmax(1)
        loss = loss + recipe.dense * cross_entropy(heads.dense_log_probabilities(last), soft)
    answers = [(heads.imitation, mean)]
    if recipe.gaussian:
        vectors = 0.1 * heads.norm(gaussian_vectors([tap.float() for tap in taps]).float())
        loss = loss + recipe.gaussian * told(heads.gaussian(vectors), target, recipe)
        answers.append((heads.gaussian_imitation, vectors))
    if recipe.imitate and target.features is not None and heads.teacher_norm is not None:
        wanted = heads.teacher_norm(target.features)
        for linear, given in answers:
            loss = loss + recipe.imitate * (1 - functional.cosine_similarity(linear(given), wanted)).mean()
    return loss, logits


def layers_of(backbone: Backbone) -> nn.Sequential:
    """The blocks between which images may be mixed."""
    return getattr(backbone, "blocks", None) or backbone.layers


def compiled(layers: nn.Sequential, device: torch.device) -> list:
    """The blocks as a GPU runs them fastest."""
    return [torch.compile(layer, dynamic=False) if device.type == "cuda" else layer for layer in layers]


def taps_of(layers: list, images: Tensor, mix: tuple[int, float, Tensor] | None, count: int) -> tuple[Tensor, ...]:
    """Maps of the last ``count`` blocks; ``mix`` says before which block, by how much and with whom to mix."""
    maps = [images]
    for number, layer in enumerate(layers):
        received = maps[-1]
        if mix is not None and mix[0] == number:
            received = mix[1] * received + (1 - mix[1]) * received[mix[2]]
        maps.append(layer(received))
    return tuple(maps[-count:])


class Teacher:
    """A trained backbone and its classifier."""

    def __init__(self, file: Path, classes: int, device: torch.device) -> None:
        state = torch.load(file, map_location=device)
        recipe = Recipe(**state["recipe"])
        self.backbone = build_backbone(recipe.backbone).to(device, memory_format=torch.channels_last).eval()
        self.backbone.load_state_dict(state["backbone"])
        heads = Heads(self.backbone, classes, recipe).to(device)
        heads.load_state_dict(state["heads"], strict=False)
        self.linear = heads.pooled
        self.layers = compiled(layers_of(self.backbone), device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, classes) and pooled features (B, C)."""
        with torch.autocast(images.device.type, torch.bfloat16):
            maps = taps_of(self.layers, images, None, 1)[0]
        pooled = maps.float().mean(dim=(2, 3))
        return self.linear(pooled), pooled


class Trainer:
    """A method's backbone, its classifiers, and the steps that train them."""

    def __init__(self, method: Method, store: ImageStore, recipe: Recipe, teacher: Teacher | None) -> None:
        self.method, self.store, self.recipe, self.teacher = method, store, recipe, teacher
        self.device = store.images.device
        self.labels = torch.from_numpy(store.labels).to(self.device)
        self.backbone = method.backbone.to(self.device, memory_format=torch.channels_last)
        taught = teacher.backbone.channels if teacher else 0
        self.heads = Heads(self.backbone, len(store.classes), recipe, taught).to(self.device)
        self.layers = compiled(layers_of(self.backbone), self.device)
        self.taps = max(1, len(self.backbone.tap_channels))
        self.optimizer = torch.optim.SGD(
            [*self.backbone.parameters(), *self.heads.parameters()],
            lr=recipe.learning_rate,
            momentum=0.9,
            nesterov=True,
            weight_decay=recipe.weight_decay,
            fused=self.device.type == "cuda",
        )

    def images(self, step: int, side: int) -> tuple[Tensor, Tensor, np.random.Generator]:
        """Augmented images (B + turned, 3, side, side) and their classes."""
        recipe, count = self.recipe, len(self.store)
        each = recipe.batch + recipe.turned
        epoch, position = divmod(step, count // each)
        order = np.random.default_rng([recipe.seed, _ORDER, epoch]).permutation(count)
        chosen = order[position * each : (position + 1) * each]
        rng = np.random.default_rng([recipe.seed, _AUGMENTATION, step])
        crop = self.method.preprocess.side
        pixels = colour_jitter(random_crop_flip(self.store[chosen], crop, rng, recipe.padding), recipe.jitter, rng)
        images = resize(self.method.preprocess.normalise(pixels), side)
        images = images.contiguous(memory_format=torch.channels_last)
        return images, self.labels[torch.from_numpy(chosen).to(self.device)], rng

    def step(self, number: int, side: int, learning_rate: float) -> tuple[Tensor, Tensor]:
        """One step of the optimiser: the loss, and the accuracy on the images that are not turned."""
        recipe, classes = self.recipe, len(self.store.classes)
        set_learning_rate(self.optimizer, learning_rate)
        self.backbone.train()
        images, labels, rng = self.images(number, side)
        hard = functional.one_hot(labels, classes).float()
        plain, truth, mix = images[: recipe.batch], hard[: recipe.batch], None
        if rng.random() < recipe.mixup:
            share, partner = float(rng.beta(2, 2)), torch.from_numpy(rng.permutation(recipe.batch)).to(self.device)
            truth = share * truth + (1 - share) * truth[partner]
            if recipe.manifold:
                mix = int(rng.integers(0, len(self.layers))), share, partner
            else:
                plain = share * plain + (1 - share) * plain[partner]
        logits, features = self.teacher(plain) if self.teacher is not None else (None, None)
        with torch.autocast(self.device.type, torch.bfloat16):
            taps = taps_of(self.layers, plain, mix, self.taps)
        loss, guesses = class_loss(self.heads, taps, Target(truth, logits, features), recipe)
        if recipe.turned:
            loss = loss + self.turned_loss(images[recipe.batch :], hard[recipe.batch :])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach(), (guesses.argmax(1) == truth.argmax(1)).float().mean()

    def turned_loss(self, images: Tensor, classes: Tensor) -> Tensor:
        """Of each image in four turns, half the loss of telling its class and half that of telling its turn."""
        turned = torch.cat([images.rot90(turn, (2, 3)) for turn in range(_TURNS)])
        turned = turned.contiguous(memory_format=torch.channels_last)
        turns = torch.arange(_TURNS, device=self.device).repeat_interleave(len(images))
        with torch.autocast(self.device.type, torch.bfloat16):
            maps = taps_of(self.layers, turned, None, 1)[0]
        mean = maps.float().mean(dim=(2, 3))
        told_class = cross_entropy(self.heads.pooled(mean).log_softmax(1), classes.repeat(_TURNS, 1))
        return (told_class + functional.cross_entropy(self.heads.turn(mean), turns)) / 2

    def save(self, out: Path) -> None:
        """Keep what a teacher needs."""
        whole = out / "heads.pt.part"
        state = {
            "recipe": asdict(self.recipe),
            "backbone": self.backbone.state_dict(),
            "heads": self.heads.state_dict(),
        }
        torch.save(state, whole)
        whole.replace(out / "heads.pt")


def steps_that_fit(trainer: Trainer, sides: list[int], seconds: float) -> tuple[int, dict[int, float]]:
    """How many steps, each side for an equal share of them, take so long; and the seconds of a step at each side.

    The steps that are timed leave the trainer as it was.
    """
    took, parts = {}, (trainer.backbone, trainer.heads)
    before = [{name: one.clone() for name, one in part.state_dict().items()} for part in parts]
    for side in sides:
        for again in range(2):
            started = _now(trainer.device)
            for number in range(_TIMED if trainer.device.type == "cuda" else 1):
                trainer.step(number, side, 0.0)
            took[side] = (_now(trainer.device) - started) / (number + 1)
            print(json.dumps({"side": side, "again": again, "ms a step": round(1e3 * took[side], 2)}), flush=True)
    for part, state in zip(parts, before, strict=True):
        part.load_state_dict(state)
    trainer.optimizer.state.clear()
    return max(1, int(seconds * len(sides) / sum(took[side] for side in sides))), took


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic()


def run(trainer: Trainer, val: ImageStore, sides: list[int], steps: int, out: Path, log_every: int) -> dict:
    """Train for so many steps; class means of the validation split at the end."""
    recipe, curve, started = trainer.recipe, [], time.monotonic()
    for number in range(steps):
        rate = cosine(number, steps, recipe.learning_rate, recipe.warmup)
        loss, accuracy = trainer.step(number, side_at(number, steps, sides), rate)
        if (number + 1) % log_every == 0 or number + 1 == steps:
            entry = {"step": number + 1, "loss": loss.item(), "accuracy": accuracy.item()}
            entry["seconds"] = round(time.monotonic() - started, 1)
            curve.append(entry)
            print(json.dumps(entry), flush=True)
            trainer.save(out)
    trainer.save(out)
    figures = validate_class_means(trainer.method, val, "bf16" if trainer.device.type == "cuda" else "32")
    print(json.dumps(figures), flush=True)
    return {"curve": curve, "validation": figures, "seconds": time.monotonic() - started}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="fit the number of steps to this time")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--side", type=int, nargs="+", default=[84], help="each for an equal share of the steps")
    parser.add_argument("--init", type=Path, help="heads.pt of an earlier run")
    parser.add_argument("--teacher", type=Path, help="heads.pt of the teacher")
    parser.add_argument("--log-every", type=int, default=200)
    for field in fields(Recipe):
        kind = (lambda text: text == "True") if field.type is bool else type(field.default)
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    given = parser.parse_args()
    recipe = Recipe(**{field.name: getattr(given, field.name) for field in fields(Recipe)})
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.backends.cudnn.benchmark = True
    torch._dynamo.config.recompile_limit = 64  # a block at each side, in training and of a teacher
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.manual_seed(recipe.seed)
    given.out.mkdir(parents=True, exist_ok=True)
    method = build_method(f"mml-{recipe.backbone}")
    train, val = (open_store(given.data, split, method.preprocess).to(device) for split in ("train", "val"))
    teacher = Teacher(given.teacher, len(train.classes), device) if given.teacher else None
    trainer = Trainer(method, train, recipe, teacher)
    if given.init is not None:
        trainer.backbone.load_state_dict(torch.load(given.init, map_location=device)["backbone"])
    steps, took = given.steps, {}
    if given.minutes:
        steps, took = steps_that_fit(trainer, given.side, 60 * given.minutes)
    print(json.dumps({"recipe": asdict(recipe), "steps": steps, "sides": given.side}), flush=True)
    record = {"recipe": asdict(recipe), "steps": steps, "sides": given.side, "seconds a step": took}
    record |= run(trainer, val, given.side, steps, given.out, given.log_every)
    (given.out / "record.json").write_text(json.dumps(record, indent=1) + "\n")
    save_method(method.cpu().eval(), given.out / "best.safetensors")


if __name__ == "__main__":
    main()
