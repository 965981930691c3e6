"""Episodic training: each step is a few tasks like those the method will be asked to solve."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from triptych.data import ImageStore, colour_jitter, open_store, random_crop_flip, resize
from triptych.evaluation import Episode, EpisodeSampler, evaluate_store
from triptych.fusion import LevelFusion
from triptych.interop import load_method
from triptych.methods import Encoded, Method, MethodConfig, build_method
from triptych.similarity import search_dtype, searching
from triptych.training.balance import balance_levels
from triptych.training.classification import GaussianHead
from triptych.training.closed_form import learn_closed_form
from triptych.training.feasible import check_train_data
from triptych.training.pretraining import pretrain
from triptych.training.run import Run, start_fabric
from triptych.training.schedule import cosine, set_learning_rate, side_at, step_halving
from triptych.training.settings import METHOD, PRESETS, Preset, TrainSettings

__all__ = ["train"]

_AUGMENTATION, _POSITIONS = 3, 4  # streams of random numbers of one seed
_VALIDATION_SEED = 1


def train(
    data: str | Path,
    out: str | Path,
    method: str | MethodConfig = METHOD,
    preset: Preset = PRESETS["fast"],
    init: str | Path | None = None,
    resume: bool = False,
    keep_fusion: bool = True,
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
        keep_fusion: start from the fusion of ``init`` too, where it has all the levels.

    Returns:
        The path of the best model.

    Raises:
        ValueError: bad data, settings or folder.
        TrainingError: the loss is no longer finite.
    """
    settings = preset.train
    check_train_data(data, settings, build_method(method).fusion.way)
    if init is None and preset.pretrain is not None:
        init = pretrain(data, Path(out) / "pretrain", method, preset.pretrain, resume)
    fabric, precision = start_fabric(settings.precision, settings.device)
    torch.manual_seed(settings.seed)
    model = _start(build_method(method), init, keep_fusion)
    larger = replace(model.preprocess, side=settings.store_side or model.preprocess.side)
    train_store = open_store(data, "train", larger).to(fabric.device)
    val_store = open_store(data, "val", model.preprocess).to(fabric.device)
    finish = _Finish(model, train_store, val_store, settings, precision)  # now: too few images are no news for the end
    samplers = _samplers(model, train_store, settings)
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True)
    head = _head(model, train_store, settings)
    optimizer = torch.optim.Adam(_groups(model, head, settings), lr=settings.learning_rate, betas=settings.betas)
    context = {"method": model.config.to_dict(), "data": train_store.fingerprint, "stage": "train"}
    modules = {"method": model, "average": average, **({} if head is None else {"head": head})}
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
                    taps = model.backbone.taps(model.crops(resize(model.preprocess.normalise(pixels), side)))
                    encoded = model.encode_features(taps)
                with searching(search_dtype(precision), _positions(taps[-1], number, settings)):
                    loss, accuracy = episode_loss(model, encoded, episode, settings.level_loss)
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
                run.validated(*finish(cast(Method, average.module)))
            run.save_if_due()
    return Path(out) / "best.safetensors"


def episode_loss(model: Method, encoded: Encoded, episode: Episode, level_loss: float) -> tuple[Tensor, float]:
    """``Method.loss`` of an episode, and the accuracy.

    ``encoded`` are the support images followed by the queries, encoded together.
    """
    support, query = encoded.split([len(episode.support), len(episode.query)])
    labels = torch.from_numpy(episode.support_labels).to(encoded.device)
    truth = torch.from_numpy(episode.query_labels).to(encoded.device)
    levels = model.compare_encoded(query, support, labels)
    model.fusion.observe(levels)
    accuracy = (model.fuse(levels).argmax(1) == truth).float().mean().item()
    return model.loss(levels, truth, level_loss), accuracy


def _start(model: Method, init: str | Path | None, keep_fusion: bool) -> Method:
    """The model with the weights of ``init``, as far as both have them."""
    if model.projection is not None:
        raise ValueError("principal components are a user's photos'; train the method without")
    if init is None:
        return model
    initial = load_method(init)
    try:
        model.backbone.load_state_dict(initial.backbone.state_dict())
    except RuntimeError as error:
        raise ValueError(f"{init}: its backbone {initial.config.backbone} is not {model.config.backbone}") from error
    both = isinstance(initial.fusion, LevelFusion) and isinstance(model.fusion, LevelFusion)
    if keep_fusion and both and set(model.level_names) <= set(initial.level_names):
        model.fusion = cast(LevelFusion, initial.fusion).restricted(model.level_names)
    if initial.name == model.name:
        own, given = model.state_dict(), initial.state_dict()
        rest = {
            name: value
            for name, value in given.items()
            if name in own and not name.startswith("fusion.") and own[name].shape == value.shape
        }
        model.load_state_dict(rest, strict=False)
    return model


def _samplers(model: Method, store: ImageStore, settings: TrainSettings) -> list[EpisodeSampler]:
    way = model.fusion.way or settings.way
    return [
        EpisodeSampler(store.labels, way, shot, settings.queries, settings.seed, store.classes)
        for shot in settings.shots
    ]


def _head(model: Method, store: ImageStore, settings: TrainSettings) -> GaussianHead | None:
    gaussians = "distribution" in model.level_names and model.learns_closed_form(len(store.classes))
    if not settings.base_images or not settings.base_loss or not gaussians:
        return None
    return GaussianHead(model.backbone.tap_channels, len(store.classes)).to(store.images.device)


def _groups(model: Method, head: nn.Module | None, settings: TrainSettings) -> list[dict[str, Any]]:
    """All parameters; those of the fusion, which are few, learn at a rate of their own."""
    fusion = list(model.fusion.parameters())
    known = {id(parameter) for parameter in fusion}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    if head is not None:
        others += head.parameters()
    return [{"params": others, "rate": 1.0}, *([{"params": fusion, "rate": settings.fusion_rate}] if fusion else [])]


class _Finish:
    """Finishes a model at a validation: closed form, balance, and its figures on the validation split."""

    def __init__(
        self, model: Method, train: ImageStore, val: ImageStore, settings: TrainSettings, precision: str
    ) -> None:
        way = model.fusion.way or min(5, len(val.classes))
        self.samplers = [
            EpisodeSampler(val.labels, way, shot, seed=_VALIDATION_SEED, classes=val.classes)
            for shot in settings.validation_shots
        ]
        self.train, self.val, self.settings, self.precision = train, val, settings, precision
        self.closed_form = settings.base_images > 0 and model.learns_closed_form(len(train.classes))

    def __call__(self, model: Method) -> tuple[Method, float, dict[str, float]]:
        settings = self.settings
        if self.closed_form:
            model = learn_closed_form(model, self.train, settings.base_images, self.precision)
        if settings.balance_episodes and isinstance(model.fusion, LevelFusion):
            shots, episodes = settings.validation_shots, settings.balance_episodes
            model = balance_levels(model, self.val, shots, episodes, precision=self.precision)
        figures = self._figures(model)
        return model, float(np.mean([figures[f"{shot}-shot"] for shot in settings.validation_shots])), figures

    def _figures(self, model: Method) -> dict[str, float]:
        """Fused accuracy and that of each subset of levels, per validation shot."""
        figures = {}
        for shot, sampler in zip(self.settings.validation_shots, self.samplers, strict=True):
            accuracies = evaluate_store(model, self.val, sampler, self.settings.validation_episodes, self.precision)
            for subset, values in accuracies.items():
                figures[f"{shot}-shot {subset}"] = float(values.mean())
            figures[f"{shot}-shot"] = float(values.mean())
        return figures


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
    return step_halving(step, settings.learning_rate, settings.halve_every)


def _reached(step: int, limit: int | None) -> bool:
    return limit is not None and step >= limit


def _train_mode(model: Method, frozen_norm: bool) -> None:
    model.train()
    if frozen_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
