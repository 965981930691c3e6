"""Pre-training: the backbone learns to classify the training classes, pooled and at every position."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from triptych.data import ImageStore, centre_crop, colour_jitter, open_store, random_crop_flip, resize
from triptych.evaluation import EpisodeSampler
from triptych.methods import Method, MethodConfig, build_method, encode_images
from triptych.similarity import in_precision
from triptych.training.classification import Heads
from triptych.training.feasible import check_pretrain_data
from triptych.training.run import Run, start_fabric
from triptych.training.schedule import cosine, set_learning_rate, side_at
from triptych.training.settings import METHOD, PretrainSettings

__all__ = ["pretrain"]

_ORDER, _AUGMENTATION = 1, 2  # streams of random numbers of one seed


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
    """
    check_pretrain_data(data, settings)
    fabric, precision = start_fabric(settings.precision, settings.device)
    torch.manual_seed(settings.seed)
    model = build_method(method)
    larger = replace(model.preprocess, side=settings.store_side or model.preprocess.side)
    train_store = open_store(data, "train", larger).to(fabric.device)
    val_store = open_store(data, "val", model.preprocess).to(fabric.device)
    heads = Heads(model.backbone.channels, len(train_store.classes))
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads.to(fabric.device)
    optimizer = torch.optim.SGD(
        [*model.backbone.parameters(), *heads.parameters()],
        lr=settings.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=settings.weight_decay,
    )
    steps_per_epoch = len(train_store) // settings.batch
    context = {"method": model.config.to_dict(), "data": train_store.fingerprint, "stage": "pretrain"}
    modules = {"method": model, "heads": heads}
    total = settings.epochs * steps_per_epoch
    with Run(Path(out), settings, context, total, modules, optimizer, resume) as run:
        while run.step < total:
            epoch, position = divmod(run.step, steps_per_epoch)
            pixels, labels = _batch(train_store, epoch, position, model.preprocess.side, settings)
            images = resize(model.preprocess.normalise(pixels), side_at(epoch, settings.epochs, settings.sides))
            learning_rate = cosine(run.step, total, settings.learning_rate, settings.warmup)
            set_learning_rate(optimizer, learning_rate)

            model.train()
            with fabric.autocast():
                maps = model.backbone(images)
            loss, accuracy = heads.loss(maps.float(), labels, settings.dense_weight)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()

            run.advance(loss.item(), accuracy, learning_rate)
            if run.step % (steps_per_epoch * settings.validate_every) == 0 or run.step == total:
                figures = validate_class_means(model, val_store, precision)
                _observe_levels(model, train_store, settings.seed)
                run.validated(model, sum(figures.values()) / len(figures), figures)
            run.save_if_due()
    return Path(out) / "best.safetensors"


def _batch(
    store: ImageStore, epoch: int, position: int, crop: int, settings: PretrainSettings
) -> tuple[Tensor, Tensor]:
    order = np.random.default_rng([settings.seed, _ORDER, epoch]).permutation(len(store))
    chosen = order[position * settings.batch : (position + 1) * settings.batch]
    rng = np.random.default_rng([settings.seed, _AUGMENTATION, epoch, position])
    crops = random_crop_flip(store[chosen], crop, rng, settings.padding)
    images = colour_jitter(crops, settings.jitter, rng)
    return images, torch.from_numpy(store.labels[chosen]).to(images.device)


@torch.no_grad()
def _observe_levels(model: Method, store: ImageStore, seed: int, episodes: int = 20) -> None:
    """Let the fusion observe the spread of the levels; without it the probabilities would be extreme."""
    sampler = EpisodeSampler(store.labels, min(5, len(store.classes)), shot=1, queries=1, seed=seed)
    for number in range(episodes):
        episode = sampler[number]
        images = centre_crop(store[np.concatenate([episode.support, episode.query])], model.preprocess.side)
        support, query = model.encode(model.preprocess.normalise(images)).split([sampler.way, sampler.way])
        labels = torch.from_numpy(episode.support_labels).to(images.device)
        model.fusion.observe(model.compare_encoded(query, support, labels))


@torch.inference_mode()
def validate_class_means(
    model: Method, store: ImageStore, precision: str = "auto", episodes: int = 500
) -> dict[str, float]:
    """5-way 1- and 5-shot accuracy of the nearest class mean (cosine of pooled maps) on seeded episodes."""
    model.eval()
    with in_precision(precision, store.images.device.type):
        encoded = encode_images(model, store.images)
    pooled = functional.normalize(encoded.maps.float().mean(dim=(2, 3)), dim=1)
    figures = {}
    for shot in (1, 5):
        sampler = EpisodeSampler(store.labels, min(5, len(store.classes)), shot, classes=store.classes)
        correct = []
        for number in range(episodes):
            episode = sampler[number]
            means = functional.normalize(pooled[episode.support].view(sampler.way, shot, -1).mean(1), dim=1)  # (N, C)
            answers = (pooled[episode.query] @ means.T).argmax(1).cpu().numpy()
            correct.append((answers == episode.query_labels).mean())
        figures[f"class means {shot}-shot"] = float(np.mean(correct))
    return figures
