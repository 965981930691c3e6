"""Episodic training: each step is a few tasks like those the method will be asked to solve."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from triptych.data import ImageStore, colour_jitter, open_store, random_crop_flip, resize
from triptych.evaluation.episodes import Episode, EpisodeSampler
from triptych.evaluation.evaluate import evaluate_store
from triptych.interop import load_method
from triptych.methods import MML, MMLConfig, build_method
from triptych.training.balance import balance_levels
from triptych.training.base_classes import can_learn_base_classes, learn_base_classes
from triptych.training.classification import GaussianHead
from triptych.training.pretraining import pretrain
from triptych.training.run import Run, evaluation_precision, start_fabric
from triptych.training.schedule import cosine, set_learning_rate, side_at, step_halving
from triptych.training.settings import PRESETS, Preset, TrainSettings

__all__ = ["train"]

_AUGMENTATION, _POSITIONS = 3, 4  # streams of random numbers of one seed
_VALIDATION_SEED = 1


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
    settings = preset.train
    _check(settings)
    if init is None and preset.pretrain is not None:
        init = pretrain(data, Path(out) / "pretrain", method, preset.pretrain, resume)
    fabric = start_fabric(settings.precision)
    torch.manual_seed(settings.seed)
    model = build_method(method)
    if init is not None:
        model.backbone.load_state_dict(load_method(init).backbone.state_dict())
    way = model.fusion.way or settings.way
    larger = replace(model.preprocess, side=settings.store_side or model.preprocess.side)
    train_store = open_store(data, "train", larger).to(fabric.device)
    model = MML(replace(model.config, base_classes=None), model.backbone)
    if model.projection is not None:
        raise ValueError("principal components are a user's photos'; train the method without")
    has_base = settings.base_images > 0 and can_learn_base_classes(model, train_store)
    val_store = open_store(data, "val", model.preprocess).to(fabric.device)
    val_samplers = _validation_samplers(val_store, model, settings)  # now: too few images are no news for the end
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True)
    modules = {"method": model, "average": average}
    groups = [
        {"params": model.backbone.parameters(), "rate": 1.0},
        {"params": model.fusion.parameters(), "rate": settings.fusion_rate},
    ]
    head = None
    if has_base and settings.base_loss > 0:
        head = GaussianHead(model.backbone.tap_channels, len(train_store.classes)).to(fabric.device)
        modules["head"] = head
        groups.append({"params": head.parameters(), "rate": 1.0})
    optimizer = torch.optim.Adam(groups, lr=settings.learning_rate, betas=settings.betas)
    samplers = [
        EpisodeSampler(train_store.labels, way, shot, settings.queries, settings.seed, train_store.classes)
        for shot in settings.shots
    ]
    context = {"method": asdict(model.config), "data": train_store.fingerprint, "stage": "train"}
    with Run(Path(out), settings, context, settings.steps, modules, optimizer, resume) as run:
        while run.step < settings.steps:
            learning_rate = _learning_rate(run.step, settings)
            set_learning_rate(optimizer, learning_rate)
            side = side_at(run.step, settings.steps, settings.sides)
            _train_mode(model, frozen_norm=_reached(run.step, settings.freeze_norm_after))

            optimizer.zero_grad()
            losses, accuracies = [], []
            for number in range(run.step * settings.episodes_per_step, (run.step + 1) * settings.episodes_per_step):
                episode = samplers[number % len(samplers)][number]
                pixels = _pixels(train_store, episode, number, model.preprocess.side, settings)
                with fabric.autocast():
                    taps = model.backbone.taps(resize(model.preprocess.normalise(pixels), side))
                positions = _positions(taps[-1], number, settings)
                loss, accuracy = episode_loss(model, taps[-1], episode, settings.level_loss, positions)
                if head is not None:
                    classes = torch.from_numpy(train_store.labels[episode.images]).to(fabric.device)
                    loss = loss + settings.base_loss * head.loss(taps, classes)
                fabric.backward(loss / settings.episodes_per_step)
                losses.append(loss.item())
                accuracies.append(accuracy)
            optimizer.step()
            average.update_parameters(model)

            run.advance(float(np.mean(losses)), float(np.mean(accuracies)), learning_rate)
            if run.step % settings.validate_every == 0 or run.step == settings.steps:
                kept = average.module
                assert isinstance(kept, MML)
                precision = evaluation_precision(settings.precision)
                if has_base:
                    kept = learn_base_classes(kept, train_store, settings.base_images, precision)
                if settings.balance_episodes and kept.fusion.way is None:
                    asked = settings.validation_shots, settings.balance_episodes
                    kept = balance_levels(kept, val_store, *asked, precision=precision)
                figures = _validate(kept, val_store, val_samplers, settings)
                picked = [figures[f"{shot}-shot"] for shot in settings.validation_shots]
                run.validated(kept, float(np.mean(picked)), figures)
            run.save_if_due()
    return Path(out) / "best.safetensors"


def episode_loss(
    model: MML, maps: Tensor, episode: Episode, level_loss: float, positions: Tensor | None = None
) -> tuple[Tensor, float]:
    """Cross-entropy of the fused logits plus ``level_loss`` times that of each level; and the accuracy.

    ``maps`` are those of the support images followed by those of the queries, encoded together; ``positions`` those
    of a query's descriptors that the pixel level compares, by default all.
    """
    support, query = maps.split([len(episode.support), len(episode.query)])
    labels = torch.from_numpy(episode.support_labels).to(maps.device)
    truth = torch.from_numpy(episode.query_labels).to(maps.device)
    levels = model.compare_maps(query, support, labels, positions=positions)
    model.fusion.observe(levels)
    logits = model.fusion(levels)
    loss = functional.cross_entropy(logits, truth)
    for own in model.fusion.calibrated(levels).values():
        loss = loss + level_loss * functional.cross_entropy(own, truth)
    return loss, (logits.argmax(1) == truth).float().mean().item()


def _check(settings: TrainSettings) -> None:
    if not 0 < settings.pixel_share <= 1:
        raise ValueError(f"pixel_share must be above 0 and at most 1, got {settings.pixel_share}")
    if settings.base_images == 1 or settings.base_images < 0:
        raise ValueError(f"base_images must be 0 or at least 2, got {settings.base_images}")
    if settings.balance_episodes < 0:
        raise ValueError(f"balance_episodes must be at least 0, got {settings.balance_episodes}")


def _pixels(store: ImageStore, episode: Episode, number: int, crop: int, settings: TrainSettings) -> Tensor:
    rng = np.random.default_rng([settings.seed, _AUGMENTATION, number])
    crops = random_crop_flip(store[episode.images], crop, rng, settings.padding)
    return colour_jitter(crops, settings.jitter, rng)


def _positions(maps: Tensor, number: int, settings: TrainSettings) -> Tensor | None:
    if settings.pixel_share == 1.0:
        return None
    count = maps.shape[2] * maps.shape[3]
    rng = np.random.default_rng([settings.seed, _POSITIONS, number])
    drawn = rng.choice(count, max(1, round(settings.pixel_share * count)), replace=False)
    return torch.from_numpy(drawn).to(maps.device)


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


def _validation_samplers(store: ImageStore, model: MML, settings: TrainSettings) -> list[EpisodeSampler]:
    way = model.fusion.way or min(5, len(store.classes))
    return [
        EpisodeSampler(store.labels, way, shot, seed=_VALIDATION_SEED, classes=store.classes)
        for shot in settings.validation_shots
    ]


def _validate(
    model: MML, store: ImageStore, samplers: list[EpisodeSampler], settings: TrainSettings
) -> dict[str, float]:
    """Fused accuracy and that of each level, per validation shot."""
    precision = evaluation_precision(settings.precision)
    figures = {}
    for shot, sampler in zip(settings.validation_shots, samplers, strict=True):
        accuracies = evaluate_store(model, store, sampler, settings.validation_episodes, precision)
        for subset, values in accuracies.items():
            figures[f"{shot}-shot {subset}"] = float(values.mean())
        figures[f"{shot}-shot"] = float(values.mean())
    return figures
