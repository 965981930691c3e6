"""What each stage of training works with from its first step on: model, data, optimiser."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from triptych.data import ImageStore, open_store
from triptych.evaluation import EpisodeSampler
from triptych.methods import Method, MethodConfig, build_method
from triptych.training.classification import GaussianHead, Heads
from triptych.training.episode_statistics import EpisodeStatistics
from triptych.training.launch import start_fabric
from triptych.training.norms import share_norms
from triptych.training.ranks import Ranks
from triptych.training.settings import PretrainSettings, TrainSettings
from triptych.training.starting import initialised
from triptych.training.validation import Validation

__all__ = ["EpisodicStage", "PretrainStage", "start_episodes", "start_pretraining"]


@dataclass(frozen=True)
class PretrainStage:
    """What pre-training works with.

    Attributes:
        fabric: the device and the precision of the network.
        ranks: this process among those that train together.
        precision: what "auto" has become.
        model: the method whose backbone learns.
        heads: the classifiers over its maps.
        optimizer: of both.
        train: what they learn from.
        val: of the classes that pick the epoch.
    """

    fabric: Fabric
    ranks: Ranks
    precision: str
    model: Method
    heads: Heads
    optimizer: Optimizer
    train: ImageStore
    val: ImageStore

    @property
    def context(self) -> dict[str, Any]:
        """What must be the same when the run is resumed."""
        photos = {"data": self.train.fingerprint, "validation": self.val.fingerprint}
        return {"method": _identity(self.model), **photos, "stage": "pretrain"}

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds."""
        return {"method": self.model, "heads": self.heads}


@dataclass(frozen=True)
class EpisodicStage:
    """What episodic training works with.

    Attributes:
        fabric: the device and the precision of the network.
        ranks: this process among those that train together.
        precision: what "auto" has become.
        model: the method that learns.
        average: the moving average of its weights, which is validated and kept.
        head: the classifier beside the episodes, where the recipe has it.
        auxiliary: what the method's own auxiliary loss needs beside the method, if anything.
        optimizer: of model, head and auxiliary.
        train: what they learn from.
        samplers: of its episodes, one for each shot; they take turns.
        statistics: what keeps the statistics of several processes as one would have them.
        validation: what a model is worth.
    """

    fabric: Fabric
    ranks: Ranks
    precision: str
    model: Method
    average: AveragedModel
    head: GaussianHead | None
    auxiliary: nn.Module | None
    optimizer: Optimizer
    train: ImageStore
    samplers: Sequence[EpisodeSampler]
    statistics: EpisodeStatistics
    validation: Validation

    @property
    def context(self) -> dict[str, Any]:
        """What must be the same when the run is resumed."""
        photos = {"data": self.train.fingerprint, "validation": self.validation.val.fingerprint}
        return {"method": _identity(self.model), **photos, "stage": "train"}

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds."""
        beside = {"head": self.head, "auxiliary": self.auxiliary}
        held = {name: module for name, module in beside.items() if module is not None}
        return {"method": self.model, "average": self.average, **held}


def _identity(method: Method) -> dict[str, Any]:
    return {"name": method.name, **method.config.to_dict()}


def start_pretraining(data: str | Path, config: MethodConfig, settings: PretrainSettings) -> PretrainStage:
    """A freshly initialised method and its classifiers, on the device of the settings."""
    fabric, ranks, precision = start_fabric(settings.precision, settings.device)
    torch.manual_seed(settings.seed)
    model = build_method(config)
    if ranks.count > 1:
        share_norms(model.backbone)
    train, val = _stores(data, model, settings.store_side, fabric, ranks)
    heads = Heads(model.backbone.channels, len(train.classes)).to(fabric.device)
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.SGD(
        [*model.backbone.parameters(), *heads.parameters()],
        lr=settings.learning_rate,
        momentum=0.9,
        nesterov=True,
        weight_decay=settings.weight_decay,
    )
    return PretrainStage(fabric, ranks, precision, model, heads, optimizer, train, val)


def start_episodes(
    data: str | Path,
    config: MethodConfig,
    settings: TrainSettings,
    init: str | Path | Method | None,
    keep_fusion: bool,
) -> EpisodicStage:
    """A method with the weights of ``init``, as far as both have them, on the device of the settings."""
    fabric, ranks, precision = start_fabric(settings.precision, settings.device)
    torch.manual_seed(settings.seed)
    model = initialised(build_method(config), init, keep_fusion)
    train, val = _stores(data, model, settings.store_side, fabric, ranks)
    # Now, as too few images are no news for the end.
    validation = Validation(model, train, val, settings, precision, ranks)
    way = model.fusion.way or settings.way
    samplers = [
        EpisodeSampler(train.labels, way, shot, settings.queries, settings.seed, train.classes)
        for shot in settings.shots
    ]
    model.to(fabric.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(settings.average), use_buffers=True)
    head, auxiliary = _head(model, train, settings), model.training_head(len(train.classes))
    beside = [module for module in (head, auxiliary) if module is not None]
    for module in beside:
        module.to(fabric.device)
    optimizer = torch.optim.Adam(_groups(model, beside, settings), lr=settings.learning_rate, betas=settings.betas)
    statistics = EpisodeStatistics(ranks, settings.seed, model.fusion, [model, *beside])
    return EpisodicStage(
        fabric, ranks, precision, model, average, head, auxiliary, optimizer, train, samplers, statistics, validation
    )


def _stores(
    data: str | Path, model: Method, store_side: int | None, fabric: Fabric, ranks: Ranks
) -> tuple[ImageStore, ImageStore]:
    """The train split, decoded so large that crops can be cut from it, and the validation split."""
    larger = replace(model.preprocess, side=store_side or model.preprocess.side)
    train, val = open_store(data, "train", larger), open_store(data, "val", model.preprocess)
    if train.fingerprint == val.fingerprint:
        raise ValueError(f"{data}: no splits; training needs a train and a val split, of different classes")
    if not ranks.agree(f"{[(store.fingerprint, len(store)) for store in (train, val)]}"):
        raise ValueError(f"{data}: the processes do not see the same photos; each must be able to read all of them")
    return train.to(fabric.device), val.to(fabric.device)


def _head(model: Method, store: ImageStore, settings: TrainSettings) -> GaussianHead | None:
    gaussians = "distribution" in model.level_names and model.learns_closed_form(len(store.classes))
    if not settings.plda_images or not settings.plda_loss or not gaussians:
        return None
    return GaussianHead(model.backbone.tap_channels, len(store.classes))


def _groups(model: Method, beside: Sequence[nn.Module], settings: TrainSettings) -> list[dict[str, Any]]:
    """All parameters; those of the fusion, which are few, learn at a rate of their own."""
    fusion = list(model.fusion.parameters())
    known = {id(parameter) for parameter in fusion}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    others += [parameter for module in beside for parameter in module.parameters()]
    return [{"params": others, "rate": 1.0}, *([{"params": fusion, "rate": settings.fusion_rate}] if fusion else [])]
