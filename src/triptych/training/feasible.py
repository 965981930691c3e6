"""Whether data is large enough for a recipe: asked before anything is decoded, as pre-training takes hours."""

from pathlib import Path

from triptych.data import Listing, list_images
from triptych.evaluation import EpisodeSampler
from triptych.training.settings import PretrainSettings, TrainSettings

__all__ = ["check_crops", "check_pretrain_data", "check_shared", "check_train_data"]


def check_shared(name: str, amount: int, processes: int) -> None:
    """Refuse a step that processes cannot share equally.

    Raises:
        ValueError: they cannot; the message says what they can.

    >>> from triptych.training.feasible import check_shared
    >>> check_shared("episodes_per_step", 4, 2)
    >>> check_shared("episodes_per_step", 1, 2)
    Traceback (most recent call last):
    ValueError: episodes_per_step 1 cannot be shared equally by 2 processes; expected a multiple of 2
    """
    if amount % processes:
        raise ValueError(
            f"{name} {amount} cannot be shared equally by {processes} processes; expected a multiple of {processes}"
        )


def check_crops(settings: PretrainSettings | TrainSettings, side: int) -> None:
    """Refuse photos that are decoded so small that the method's images cannot be cut from them.

    Raises:
        ValueError: they are.

    >>> from triptych.training import TrainSettings
    >>> from triptych.training.feasible import check_crops
    >>> check_crops(TrainSettings(store_side=100), 84)
    >>> check_crops(TrainSettings(store_side=100), 256)
    Traceback (most recent call last):
    ValueError: store_side is 100, and the method's images have 256 pixels; expected 256 or more, or padding
    """
    stored = settings.store_side
    if stored is not None and stored + 2 * settings.padding < side:
        raise ValueError(
            f"store_side is {stored}, and the method's images have {side} pixels; expected {side} or more, or padding"
        )


def check_pretrain_data(data: str | Path, settings: PretrainSettings) -> None:
    """Refuse data that is too small for pre-training and its validation.

    Raises:
        ValueError: the data cannot be listed, or something is missing; the message says what.
    """
    train, val = list_images(data, "train"), list_images(data, "val")
    if len(train.names) < settings.batch:
        raise ValueError(
            f"{len(train.names)} training images are fewer than one batch of {settings.batch}; "
            "add images, or ask for a smaller batch (--batch)"
        )
    _check_episodes(train, min(5, len(train.classes)), 1, queries=1)
    for shot in settings.validation_shots:
        _check_validation(val, min(5, len(val.classes)), shot, settings.validation_queries)


def check_train_data(data: str | Path, settings: TrainSettings, slots: int | None = None) -> None:
    """Refuse data that is too small for episodes and their validation.

    Args:
        data: a data set with the splits train and val.
        settings: the recipe.
        slots: the one way of a published fusion.

    Raises:
        ValueError: the data cannot be listed, or something is missing; the message says what.
    """
    train, val = list_images(data, "train"), list_images(data, "val")
    for shot in settings.shots:
        _check_episodes(train, slots or settings.way, shot, settings.queries)
    for shot in settings.validation_shots:
        _check_validation(val, slots or min(5, len(val.classes)), shot, settings.validation_queries)


def _check_episodes(listing: Listing, way: int, shot: int, queries: int) -> None:
    EpisodeSampler(listing.labels, way, shot, queries, classes=listing.classes)


def _check_validation(listing: Listing, way: int, shot: int, queries: int) -> None:
    try:
        _check_episodes(listing, way, shot, queries)
    except ValueError as error:
        raise ValueError(f"validation: {error} (--validation-shot, --validation-queries)") from error
