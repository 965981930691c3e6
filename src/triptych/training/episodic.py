"""Episodic training: each step is a few tasks like those the method will be asked to solve."""

import warnings
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from triptych.data import ImageStore, centre_crop, colour_jitter, open_store, random_crop_flip, resize
from triptych.episodes import Episode, EpisodeSampler
from triptych.evaluation import evaluate_store
from triptych.methods import MML, MMLConfig, build_method, load_method
from triptych.similarity import descriptor_gaussian
from triptych.training.pretraining import pretrain
from triptych.training.run import Run, evaluation_precision, start_fabric
from triptych.training.schedule import cosine, set_learning_rate, side_at, step_halving
from triptych.training.settings import PRESETS, Preset, TrainSettings

__all__ = ["train"]

_AUGMENTATION = 3  # stream of random numbers of one seed
_VALIDATION_SEED = 1
_MEASURED_AT_ONCE = 20  # images; more leave the cache of a processor
_FEWEST_SHOWN = 2  # base classes beside those of an episode


def train(
    data: str | Path,
    out: str | Path,
    method: str | MMLConfig = "mml-conv64f",
    preset: Preset = PRESETS["fast"],
    init: str | Path | None = None,
    resume: bool = False,
) -> Path:
    """Train a method on episodes of the train split, after pre-training if the preset has it.

    The validation split picks the model; the test split is never opened.

    Args:
        data: a data set with the splits train and val.
        out: the run's folder; ``best.safetensors`` in it is the result, ``pretrain/`` the first stage.
        method: a registry name, or a configuration.
        preset: the recipe.
        init: a method file to start from, in place of the preset's pre-training.
        resume: continue the run in ``out``, if there is one.

    Returns:
        The path of the best model.

    Raises:
        ValueError: bad data, settings or folder.
        TrainingError: the loss is no longer finite.

    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from PIL import Image
    >>> from triptych.methods import MMLConfig
    >>> from triptych.training import Preset, TrainSettings, train
    >>> episodes = TrainSettings(steps=1, way=2, queries=1, store_side=36, validation_episodes=1, precision="32-true")
    >>> rng = np.random.default_rng(0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for number in range(80):
    ...         path = Path(folder, "data", "train" if number < 8 else "val", f"class{number % 2}", f"{number}.png")
    ...         path.parent.mkdir(parents=True, exist_ok=True)
    ...         Image.fromarray(rng.integers(0, 256, (36, 36, 3), dtype=np.uint8)).save(path)
    ...     train(f"{folder}/data", f"{folder}/run", MMLConfig(side=32), Preset(None, episodes)).name
    'best.safetensors'
    """
    if init is None and preset.pretrain is not None:
        init = pretrain(data, Path(out) / "pretrain", method, preset.pretrain, resume)
    settings = preset.train
    fabric = start_fabric(settings.precision)
    torch.manual_seed(settings.seed)
    model = build_method(method)
    if init is not None:
        model.backbone.load_state_dict(load_method(init).backbone.state_dict())
    way = model.fusion.way or settings.way
    train_store = open_store(data, "train", settings.store_side or model.preprocess.side).to(fabric.device)
    base_classes = _base_classes(model.config, len(train_store.classes), way) if settings.base_images else None
    model = MML(replace(model.config, base_classes=base_classes), model.backbone)
    val_store = open_store(data, "val", model.preprocess.side).to(fabric.device)
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True)
    groups = [
        {"params": model.backbone.parameters(), "rate": 1.0},
        {"params": model.fusion.parameters(), "rate": settings.fusion_rate},
    ]
    optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, betas=settings.betas)
    samplers = [
        EpisodeSampler(train_store.labels, way, shot, settings.queries, settings.seed, train_store.classes)
        for shot in settings.shots
    ]
    context = {"method": asdict(model.config), "data": train_store.fingerprint, "stage": "train"}
    modules = {"method": model, "average": average}
    with Run(Path(out), settings, context, settings.steps, modules, optimizer, resume) as run:
        while run.step < settings.steps:
            learning_rate = _learning_rate(run.step, settings)
            set_learning_rate(optimizer, learning_rate)
            side = side_at(run.step, settings.steps, settings.sides)
            if run.step % settings.base_every == 0 or side != side_at(run.step - 1, settings.steps, settings.sides):
                with fabric.autocast():
                    learn_base_classes(model, train_store, settings.base_images, side)
            _train_mode(model, frozen_norm=_reached(run.step, settings.freeze_norm_after))

            optimizer.zero_grad()
            losses, accuracies = [], []
            for number in range(run.step * settings.episodes_per_step, (run.step + 1) * settings.episodes_per_step):
                episode = samplers[number % len(samplers)][number]
                pixels = _pixels(train_store, episode, number, model.preprocess.side, settings)
                with fabric.autocast():
                    maps = model.encode(resize(model.preprocess.normalise(pixels), side))
                with model.base.hidden(train_store.labels[episode.support]) if model.base else nullcontext():
                    loss, accuracy = episode_loss(model, maps, episode, settings.level_loss)
                fabric.backward(loss / settings.episodes_per_step)
                losses.append(loss.item())
                accuracies.append(accuracy)
            optimizer.step()
            average.update_parameters(model)

            run.advance(float(np.mean(losses)), float(np.mean(accuracies)), learning_rate)
            if run.step % settings.validate_every == 0 or run.step == settings.steps:
                averaged = average.module
                assert isinstance(averaged, MML)
                with fabric.autocast():
                    learn_base_classes(averaged, train_store, settings.base_images)
                figures = _validate(averaged, val_store, settings)
                picked = [figures[f"{shot}-shot"] for shot in settings.validation_shots]
                run.validated(averaged, float(np.mean(picked)), figures)
            run.save_if_due()
    return Path(out) / "best.safetensors"


def episode_loss(model: MML, maps: Tensor, episode: Episode, level_loss: float) -> tuple[Tensor, float]:
    """Cross-entropy of the fused logits plus ``level_loss`` times that of each level; and the accuracy.

    ``maps`` are those of the support images followed by those of the queries, encoded together.
    """
    support, query = maps.split([len(episode.support), len(episode.query)])
    labels = torch.from_numpy(episode.support_labels).to(maps.device)
    truth = torch.from_numpy(episode.query_labels).to(maps.device)
    levels = model.compare_maps(query, support, labels)
    model.fusion.observe(levels)
    logits = model.fusion(levels)
    loss = functional.cross_entropy(logits, truth)
    for own in model.fusion.calibrated(levels).values():
        loss = loss + level_loss * functional.cross_entropy(own, truth)
    return loss, (logits.argmax(1) == truth).float().mean().item()


@torch.no_grad()
def learn_base_classes(model: MML, store: ImageStore, images: int, side: int | None = None) -> None:
    """Measure the classes of training, where a method keeps them, on images of this side."""
    if model.base is None:
        return
    model.eval()
    gaussians = []
    for number in range(len(store.classes)):
        pixels = centre_crop(store[np.flatnonzero(store.labels == number)[:images]], model.preprocess.side)
        parts = model.preprocess.normalise(pixels).split(_MEASURED_AT_ONCE)
        maps = torch.cat([model.encode(resize(part, side)).float() for part in parts])
        gaussians.append(descriptor_gaussian(maps, model.config.shrinkage))
    model.base.learn(gaussians)


def _base_classes(config: MMLConfig, classes: int, way: int) -> int | None:
    """How many base classes there are; none where an episode would leave too few to be drawn to."""
    if "distribution" not in config.levels:
        return None
    if classes < way + _FEWEST_SHOWN:
        warnings.warn(
            f"no base classes: {way}-way episodes need {way + _FEWEST_SHOWN} training classes, and there are "
            f"{classes}; a smaller way needs fewer",
            stacklevel=3,
        )
        return None
    return classes


def _pixels(store: ImageStore, episode: Episode, number: int, crop: int, settings: TrainSettings) -> Tensor:
    rng = np.random.default_rng([settings.seed, _AUGMENTATION, number])
    crops = random_crop_flip(store[episode.images], crop, rng, settings.padding)
    return colour_jitter(crops, settings.jitter, rng)


def _learning_rate(step: int, settings: TrainSettings) -> float:
    if settings.schedule == "cosine":
        return cosine(step, settings.steps, settings.learning_rate)
    if settings.schedule == "step":
        return step_halving(step, settings.learning_rate, settings.halve_every)
    raise ValueError(f"unknown schedule {settings.schedule!r}; expected cosine or step")


def _reached(step: int, limit: int | None) -> bool:
    return limit is not None and step >= limit


def _train_mode(model: MML, frozen_norm: bool) -> None:
    model.train()
    if frozen_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()


def _validate(model: MML, store: ImageStore, settings: TrainSettings) -> dict[str, float]:
    """Fused accuracy and that of each level, per validation shot."""
    precision = evaluation_precision(settings.precision)
    figures = {}
    for shot in settings.validation_shots:
        way = model.fusion.way or min(5, len(store.classes))
        sampler = EpisodeSampler(store.labels, way, shot, seed=_VALIDATION_SEED, classes=store.classes)
        accuracies = evaluate_store(model, store, sampler, settings.validation_episodes, precision)
        for subset, values in accuracies.items():
            figures[f"{shot}-shot {subset}"] = float(values.mean())
        figures[f"{shot}-shot"] = float(values.mean())
    return figures
