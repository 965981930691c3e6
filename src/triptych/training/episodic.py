"""Episodic training: each step is a few tasks like those the method will be asked to solve."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from os import PathLike
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from triptych.data import ImageStore, colour_jitter, random_crop_flip, resize
from triptych.evaluation import Episode, config_text
from triptych.fusion import Levels
from triptych.interop import ALONE, BEST, pretrained_method
from triptych.methods import METHODS, Encoded, EncodedEpisode, Method, MethodConfig, build_method
from triptych.similarity import search_dtype, searching
from triptych.training.checkpoint import begun_in
from triptych.training.feasible import check_crops, check_shared, check_train_data
from triptych.training.launch import launched
from triptych.training.loggers import check_loggers
from triptych.training.pretraining import pretrain
from triptych.training.run import Run
from triptych.training.schedule import cosine, set_learning_rate, side_at, step_halving
from triptych.training.settings import Preset, TrainSettings
from triptych.training.stages import EpisodicStage, start_episodes
from triptych.training.starting import chosen_preset, config_to_train, side_of
from triptych.training.streams import Stream, stream

__all__ = ["train"]


def train(
    data: str | Path,
    out: str | Path,
    method: str | MethodConfig | None = None,
    preset: str | Preset = "fast",
    init: str | Path | None = None,
    resume: bool = False,
    keep_fusion: bool = True,
    backbone: str | PathLike[str] | None = None,
) -> Path:
    """Train a method on episodes of the train split, after pre-training if the preset has it.

    The validation split picks the model; the test split is never opened.

    Args:
        data: a data set with the splits train and val.
        out: the run's folder; ``best.safetensors`` in it is the result, ``pretrain/`` the first stage.
        method: a registry name, or a configuration; with a backbone, a method alone, such as "feat"; by default MML,
            over Conv-64F or the backbone, and with ``init`` the method of its weights.
        preset: the recipe, or the name of one, which then suits the side of the method's images.
        init: what to start from, in place of the preset's pre-training: a method file, or a name of ``WEIGHTS``.
        resume: continue the run in ``out``, if there is one.
        keep_fusion: start from the fusion of ``init`` too, where it has all the levels.
        backbone: a model of the transformers library, by its name on the hub or its folder: the method is trained over
            it, from its weights, without pre-training.

    Returns:
        The path of the best model.

    Raises:
        ValueError: bad data, settings or folder.
        TrainingError: the loss is no longer finite.
        LostProcessError: another process of the run has ended.
        RuntimeError: a logger's library is missing.
    """
    if backbone is not None and init is not None:
        raise ValueError("init and backbone are both given; give one, as each says what the weights start from")
    config = config_to_train(method, init, backbone)
    side = side_of(config, backbone)
    preset = chosen_preset(preset, side)
    settings = preset.train
    first = preset.pretrain if init is None and backbone is None else None
    check_shared("episodes_per_step", settings.episodes_per_step, launched().count)
    if first is not None:
        check_shared("batch", first.batch, launched().count)
        check_crops(first, side)
    check_crops(settings, side)
    check_loggers(settings.loggers)
    check_train_data(data, settings, build_method(config).fusion.way)
    settings = replace(settings, precision=begun_in(Path(out), settings.precision, resume))
    start: str | Path | Method | None = init
    if backbone is not None:
        start = pretrained_method(backbone, config)
    elif first is not None:
        folder = Path(out) / "pretrain"
        start = pretrain(data, folder, config, first, resume)
        first = replace(first, precision=begun_in(folder, first.precision, resume=True))
    stage = start_episodes(data, start.config if isinstance(start, Method) else config, settings, start, keep_fusion)
    settings = replace(settings, precision=stage.precision)
    sections = _sections(Preset(first, settings), init, keep_fusion, backbone)
    text = config_text(data, config, "train", sections, METHODS if backbone is None else ALONE)
    _train_on_episodes(stage, Path(out), settings, resume, text)
    return Path(out) / BEST


def _sections(
    preset: Preset, init: str | Path | None, keep_fusion: bool, backbone: str | PathLike[str] | None
) -> dict[str, dict[str, Any]]:
    """A recipe as ``triptych train --config`` takes it: every field is named, so the preset only says which stages.

    Where weights are given to start from, there is one stage.
    """
    own: dict[str, Any] = {"preset": "paper" if preset.pretrain is None else "fast"}
    if init is not None:
        own = {"init": str(init), "keep_fusion": keep_fusion}
    elif backbone is not None:
        own = {"backbone": str(backbone)}
    stages = {"train": {**own, **asdict(preset.train)}}
    return stages if preset.pretrain is None else {**stages, "pretrain": asdict(preset.pretrain)}


def _train_on_episodes(stage: EpisodicStage, out: Path, settings: TrainSettings, resume: bool, config: str) -> None:
    model, optimizer, ranks, per_step = stage.model, stage.optimizer, stage.ranks, settings.episodes_per_step
    with Run(out, settings, stage.context, settings.steps, stage.modules, optimizer, resume, config, ranks) as run:
        if run.owes_validation:
            run.validated(*stage.validation(cast(Method, stage.average.module)))
        while run.step < settings.steps:
            learning_rate = _learning_rate(run.step, settings)
            set_learning_rate(optimizer, learning_rate)
            side = side_at(run.step, settings.steps, settings.sides)
            _train_mode(model, frozen_norm=_reached(run.step, settings.freeze_norm_after))

            optimizer.zero_grad()
            losses, accuracies = [], []
            for number in range(run.step * per_step, (run.step + 1) * per_step)[ranks.own]:
                stage.statistics.begin(number)
                episode = stage.samplers[number % len(stage.samplers)][number]
                pixels = _pixels(stage.train, episode, number, model.preprocess.side, settings)
                with stage.fabric.autocast():
                    taps = model.backbone.taps(model.crops(resize(model.preprocess.normalise(pixels), side)))
                    encoded = model.encode_features(taps)
                classes = torch.from_numpy(stage.train.labels[episode.images]).to(encoded.device)
                asked = encoded_episode(encoded, episode, classes)
                with searching(search_dtype(stage.precision), _positions(taps[-1], number, settings)):
                    loss, accuracy = episode_loss(model, asked, settings.level_loss, stage.statistics.observe)
                loss = loss + _beside(stage, settings, taps, classes, asked)
                stage.fabric.backward(loss / per_step)
                stage.statistics.end()
                losses.append(loss.item())
                accuracies.append(accuracy)
            ranks.add_gradients(one for group in optimizer.param_groups for one in group["params"])
            optimizer.step()
            stage.average.update_parameters(model)

            told, accuracy = ranks.means(float(np.mean(losses)), float(np.mean(accuracies)))
            run.advance(told, accuracy, learning_rate)
            if run.step % settings.validate_every == 0 or run.step == settings.steps:
                run.save_before_validation(settings.validation_episodes, settings.validation_shots)
                run.validated(*stage.validation(cast(Method, stage.average.module)))
            run.save_if_due()


def episode_loss(
    model: Method, episode: EncodedEpisode, level_loss: float, observe: Callable[[Levels], None] | None = None
) -> tuple[Tensor, float]:
    """``Method.loss`` of an episode, and the accuracy. The levels are observed, by ``observe`` or by the fusion."""
    levels = model.compare_encoded(episode.query, episode.support, episode.labels)
    (observe or model.fusion.observe)(levels)
    accuracy = (model.fuse(levels).argmax(1) == episode.truth).float().mean().item()
    return model.loss(levels, episode.truth, level_loss), accuracy


def _beside(
    stage: EpisodicStage, settings: TrainSettings, taps: Sequence[Tensor], classes: Tensor, episode: EncodedEpisode
) -> Tensor:
    """The losses beside the episode's: the recipe's classification by Gaussians, and the method's own."""
    total = taps[-1].new_zeros(())
    if stage.head is not None:
        total = total + settings.plda_loss * stage.head.loss(taps, classes)
    own = stage.model.auxiliary_loss(episode, stage.auxiliary)
    return total if own is None else total + own


def encoded_episode(encoded: Encoded, episode: Episode, classes: Tensor) -> EncodedEpisode:
    """An episode whose support images and then queries were encoded together.

    Args:
        encoded: S + Q images.
        episode: of S support images and Q queries.
        classes: (S + Q,) which of the training classes each image is of.
    """
    support, query = encoded.split([len(episode.support), len(episode.query)])
    labels, truth = (torch.from_numpy(one).to(encoded.device) for one in (episode.support_labels, episode.query_labels))
    firsts = torch.from_numpy(np.unique(episode.support_labels, return_index=True)[1]).to(encoded.device)
    return EncodedEpisode(support, query, labels, truth, classes[firsts])


def _pixels(store: ImageStore, episode: Episode, number: int, crop: int, settings: TrainSettings) -> Tensor:
    rng = stream(settings.seed, Stream.EPISODES, number)
    crops = random_crop_flip(store[episode.images], crop, rng, settings.padding)
    return colour_jitter(crops, settings.jitter, rng)


def _positions(maps: Tensor, number: int, settings: TrainSettings) -> Tensor | None:
    if settings.pixel_share == 1.0:
        return None
    count = maps.shape[2] * maps.shape[3]
    rng = stream(settings.seed, Stream.POSITIONS, number)
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
