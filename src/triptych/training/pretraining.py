"""Pre-training: the backbone learns to classify the training classes, pooled and at every position."""

from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from triptych.data import colour_jitter, random_crop_flip, resize
from triptych.evaluation import config_text
from triptych.interop import BEST
from triptych.methods import MethodConfig
from triptych.training.checkpoint import begun_in
from triptych.training.feasible import check_crops, check_pretrain_data, check_shared
from triptych.training.launch import launched
from triptych.training.loggers import check_loggers
from triptych.training.run import Run
from triptych.training.schedule import cosine, set_learning_rate, side_at
from triptych.training.settings import METHOD, PretrainSettings
from triptych.training.stages import PretrainStage, start_pretraining
from triptych.training.starting import config_to_train, side_of
from triptych.training.streams import Stream, stream
from triptych.training.validation import observe_levels, validate_class_means

__all__ = ["pretrain"]


def pretrain(
    data: str | Path,
    out: str | Path,
    method: str | MethodConfig = METHOD,
    settings: PretrainSettings = PretrainSettings(),  # noqa: B008 (frozen)
    resume: bool = False,
) -> Path:
    """Train a method's backbone as a classifier of the train split; validation episodes pick the epoch.

    Args:
        data: a data set with the splits train and val.
        out: the run's folder; ``best.safetensors`` in it is the result.
        method: a registry name, or a configuration.
        settings: the recipe.
        resume: continue the run in ``out``, if there is one.

    Returns:
        The path of the best model.

    Raises:
        ValueError: bad data, settings or folder.
        TrainingError: the loss is no longer finite.
        LostProcessError: another process of the run has ended.
        RuntimeError: a logger's library is missing.
    """
    check_shared("batch", settings.batch, launched().count)
    check_loggers(settings.loggers)
    config = config_to_train(method)
    check_crops(settings, side_of(config))
    check_pretrain_data(data, settings)
    settings = replace(settings, precision=begun_in(Path(out), settings.precision, resume))
    stage = start_pretraining(data, config, settings)
    model, optimizer, ranks = stage.model, stage.optimizer, stage.ranks
    trained = [*model.backbone.parameters(), *stage.heads.parameters()]
    epoch_steps = len(stage.train) // settings.batch
    total = settings.epochs * epoch_steps
    settings = replace(settings, precision=stage.precision)
    text = config_text(data, config, "pretrain", {"pretrain": asdict(settings)})
    with Run(Path(out), settings, stage.context, total, stage.modules, optimizer, resume, text, ranks) as run:
        if run.owes_validation:
            _validate(run, stage, settings)
        while run.step < total:
            epoch, position = divmod(run.step, epoch_steps)
            images, labels = _batch(stage, epoch, position, settings)
            learning_rate = cosine(run.step, total, settings.learning_rate, settings.warmup)
            set_learning_rate(optimizer, learning_rate)

            model.train()
            with stage.fabric.autocast():
                maps = model.backbone(images)
            loss, accuracy = stage.heads.loss(maps.float(), labels, settings.dense_weight)
            optimizer.zero_grad()
            stage.fabric.backward(loss / ranks.count)
            ranks.add_gradients(trained)
            optimizer.step()

            told, accuracy = ranks.means(loss.item(), accuracy)
            run.advance(told, accuracy, learning_rate)
            if run.step % (epoch_steps * settings.validate_every) == 0 or run.step == total:
                run.save_before_validation(settings.validation_episodes, settings.validation_shots)
                _validate(run, stage, settings)
            run.save_if_due()
    return Path(out) / BEST


def _validate(run: Run, stage: PretrainStage, settings: PretrainSettings) -> None:
    episodes, shots, queries = settings.validation_episodes, settings.validation_shots, settings.validation_queries
    figures = validate_class_means(stage.model, stage.val, stage.precision, episodes, shots, queries)
    observe_levels(stage.model, stage.train, settings.seed)
    run.validated(stage.model, sum(figures.values()) / len(figures), figures)


def _batch(stage: PretrainStage, epoch: int, position: int, settings: PretrainSettings) -> tuple[Tensor, Tensor]:
    """The images that this process takes of a batch, as the network sees them, and their labels.

    They are drawn and cropped for the whole batch, so that a step is the same whoever computes it.
    """
    store, preprocess = stage.train, stage.model.preprocess
    order = stream(settings.seed, Stream.ORDER, epoch).permutation(len(store))
    chosen = order[position * settings.batch : (position + 1) * settings.batch]
    rng = stream(settings.seed, Stream.IMAGES, epoch, position)
    crops = random_crop_flip(store[chosen], preprocess.side, rng, settings.padding)
    own = stage.ranks.own
    images = preprocess.normalise(colour_jitter(crops, settings.jitter, rng)[own])
    labels = torch.from_numpy(store.labels[chosen][own]).to(images.device)
    return resize(images, side_at(epoch, settings.epochs, settings.sides)), labels
