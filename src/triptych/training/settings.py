"""Settings of the two training stages, and the presets. Each field says what it is for: the help of its option."""

from dataclasses import dataclass, replace
from typing import TypeVar

from triptych.system.precision import PRECISIONS
from triptych.system.settings import (
    DEVICE_HELP,
    LARGEST_SEED,
    NAME,
    Check,
    check_settings,
    each,
    number,
    one_of,
    optional,
    setting,
    whole,
)
from triptych.training.loggers import LOGGERS

__all__ = ["METHOD", "PRESETS", "Preset", "PretrainSettings", "RunSettings", "TrainSettings"]

METHOD = "mml-conv64f"  # what is trained unless told otherwise

_SIDE_OF_PRESETS = 84  # pixels of the images that the presets are made for
_LARGEST_SIDE = 1024
_SIDE = whole(16, _LARGEST_SIDE)
_LOGGER = Check(one_of(*LOGGERS, "none").expected, lambda value: value in [*LOGGERS, "none"])  # others may be added
_SHOTS = each(whole(1), fewest=1)

S = TypeVar("S", "PretrainSettings", "TrainSettings")


@dataclass(frozen=True)
class RunSettings:
    """What every stage of training needs.

    >>> from triptych.training import RunSettings
    >>> RunSettings(seed=-1)
    Traceback (most recent call last):
    ValueError: seed must be a whole number from 0 to 18446744073709551615, got -1
    """

    precision: str = setting(
        "auto",
        f"{', '.join(PRECISIONS)}; auto takes bf16 where a probe finds it faster.",
        one_of(*PRECISIONS),
    )
    device: str = setting("auto", DEVICE_HELP, NAME)
    checkpoint_seconds: float = setting(120.0, "Seconds between two savings of the run.", number(0, 1e9))
    seed: int = setting(0, "Seed of weights, order and augmentation.", whole(0, LARGEST_SEED))
    loggers: tuple[str, ...] = setting(
        ("csv", "tensorboard"),
        f"Where figures go: {_LOGGER.expected}. Give it again for more. Default: csv and tensorboard.",
        each(_LOGGER),
        option="logger",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True)
class PretrainSettings(RunSettings):
    """Pre-training: classification of the training classes.

    >>> from triptych.training import PretrainSettings
    >>> PretrainSettings(epochs=2, sides=(56, 84)).batch
    128
    >>> PretrainSettings(learning_rate=float("nan"))
    Traceback (most recent call last):
    ValueError: learning_rate must be a number above 0 and at most 100, got nan
    """

    epochs: int = setting(14, "Passes over the train split.", whole(1))
    batch: int = setting(128, "Images a step; several processes share them.", whole(1))
    learning_rate: float = setting(0.1, "Peak of the one-cycle cosine schedule.", number(0, 100, above=True))
    warmup: float = setting(0.1, "Share of the steps over which the learning rate rises to its peak.", number(0, 1))
    weight_decay: float = setting(5e-4, "L2 penalty.", number(0, 10))
    dense_weight: float = setting(
        1.0, "Weight of the loss that classifies every local descriptor, beside the pooled one.", number(0, 1e6)
    )
    # To scale up blurs: see benchmarks/LOG.md.
    store_side: int | None = setting(
        None,
        "Side to which images are decoded and from which crops are cut. Default: the method's own, so that training "
        "sees the pixels that tests see.",
        optional(_SIDE),
    )
    padding: int = setting(4, "Pixels that a crop may reach beyond the image, which is reflected there.", whole(0, 512))
    sides: tuple[int, ...] = setting(
        (),
        "Side to which crops are scaled; several take turns, each for an equal share of the epochs: early epochs on "
        "small images cost a fraction. Default: the method's own.",
        each(_SIDE),
        option="side",
    )
    jitter: float = setting(0.0, "Strength of the colour jitter; 0 is off.", number(0, 1))
    validate_every: int = setting(1, "Epochs between two validations; the last epoch has one too.", whole(1))
    validation_episodes: int = setting(500, "Episodes of each validation shot.", whole(1))
    validation_shots: tuple[int, ...] = setting(
        (1, 5), "Shot of validation; the mean accuracy of several picks the epoch.", _SHOTS, option="validation_shot"
    )
    validation_queries: int = setting(15, "Photos of each class asked about in a validation episode.", whole(1))


@dataclass(frozen=True)
class TrainSettings(RunSettings):
    """Episodic training.

    >>> from triptych.training import TrainSettings
    >>> TrainSettings(way=10, shots=(1, 3)).queries
    15
    >>> TrainSettings(way=0)
    Traceback (most recent call last):
    ValueError: way must be a whole number of at least 2, got 0
    """

    steps: int = setting(125_000, "Optimiser steps.", whole(1))
    episodes_per_step: int = setting(
        4, "Episodes whose gradients are averaged in a step; several processes share them.", whole(1)
    )
    way: int = setting(
        5, "Classes in an episode; the published fusion, which has one way, is trained at that one.", whole(2)
    )
    shots: tuple[int, ...] = setting(
        (1,), "Photos of each class to learn from; several take turns.", _SHOTS, option="shot"
    )
    queries: int = setting(15, "Photos of each class asked about in an episode.", whole(1))
    learning_rate: float = setting(1e-3, "Learning rate of Adam, at the start.", number(0, 100, above=True))
    fusion_rate: float = setting(
        1.0, "How many times faster the temperatures and weights of the fusion learn.", number(0, 1e6)
    )
    betas: tuple[float, float] = setting((0.5, 0.9), "Betas of Adam.", each(number(0, 0.999999), 2, 2))
    schedule: str = setting(
        "step",
        "How the learning rate falls: cosine, to zero; or step, halved every --halve-every steps.",
        one_of("cosine", "step"),
    )
    halve_every: int = setting(25_000, "Steps between two halvings of the step schedule.", whole(1))
    level_loss: float = setting(
        0.0, "Weight of each level's own cross-entropy beside the fused one, where the fusion has it.", number(0, 1e6)
    )
    pixel_share: float = setting(
        1.0,
        "Share of a query's descriptors, drawn anew for each episode, that look for their nearest at the pixel level, "
        "which without it takes more time than the backbone.",
        number(0, 1, above=True),
    )
    average: float = setting(
        0.0,
        "Decay, per step, of the moving average of the weights that is validated and kept; 0 is none.",
        number(0, 0.999999),
    )
    freeze_norm_after: int | None = setting(
        2_500, "Step from which BatchNorm statistics stay as they are; in Python, None for never.", optional(whole(0))
    )
    store_side: int | None = setting(
        100,
        "Side to which images are decoded and from which crops are cut; in Python, None for the method's own.",
        optional(_SIDE),
    )
    padding: int = setting(0, "Pixels that a crop may reach beyond the image, which is reflected there.", whole(0, 512))
    sides: tuple[int, ...] = setting(
        (),
        "Side to which crops are scaled; several take turns, each for an equal share of the steps. Default: the "
        "method's own.",
        each(_SIDE),
        option="side",
    )
    jitter: float = setting(0.4, "Strength of the colour jitter; 0 is off.", number(0, 1))
    plda_images: int = setting(
        0,
        "Images of each training class from which PLDA, or what else a method learns in closed form, is learnt at each "
        "validation; 0 is off. Methods that learn nothing so train without.",
        whole(0),
    )
    plda_loss: float = setting(
        0.0,
        "Weight of a classification of all training classes by the Gaussians that PLDA reads; 0 is off, and so it is "
        "without --plda-images.",
        number(0, 1e6),
    )
    # Other episodes than those validated on, of the same classes and photos: validation figures flatter a little.
    balance_episodes: int = setting(
        0,
        "Validation episodes of each shot on which the levels are weighed anew at each validation; 0 keeps the weights "
        "of training.",
        whole(0),
    )
    validate_every: int = setting(2_500, "Steps between two validations.", whole(1))
    validation_episodes: int = setting(1_000, "Episodes of each validation shot.", whole(1))
    validation_shots: tuple[int, ...] = setting(
        (1,), "Shot of validation; the mean accuracy of several picks the model.", _SHOTS, option="validation_shot"
    )
    validation_queries: int = setting(15, "Photos of each class asked about in a validation episode.", whole(1))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.plda_images == 1:
            raise ValueError("plda_images must be 0, or 2 or more, as classes are told apart by their spread; got 1")


@dataclass(frozen=True)
class Preset:
    """A named recipe: pre-training or none, then episodes.

    >>> from dataclasses import replace
    >>> from triptych.training import PRESETS, Preset
    >>> fast = PRESETS["fast"]
    >>> Preset(pretrain=None, train=replace(fast.train, steps=100)).train.way
    10
    """

    pretrain: PretrainSettings | None
    train: TrainSettings

    def at(self, side: int) -> "Preset":
        """The recipe for a network whose images have another side than the 84 pixels of the presets.

        Crops keep their share of the image. Smaller images, which save time, are left out: not all networks take them.
        """
        if side == _SIDE_OF_PRESETS:
            return self
        return Preset(None if self.pretrain is None else _at(self.pretrain, side), _at(self.train, side))


def _at(settings: S, side: int) -> S:
    def scaled(pixels: int) -> int:
        return round(pixels * side / _SIDE_OF_PRESETS)

    store = None if settings.store_side is None else min(scaled(settings.store_side), _LARGEST_SIDE)
    return replace(settings, sides=(), store_side=store, padding=scaled(settings.padding))


PRESETS: dict[str, Preset] = {
    # arXiv 2103.11383v1, section 4.2: 50 epochs of 10,000 episodes, 4 a step, halved every 10 epochs.
    "paper": Preset(pretrain=None, train=TrainSettings()),
    # Sized for two CPU cores: some hours.
    "fast": Preset(
        pretrain=PretrainSettings(epochs=42, sides=(56, 68, 84)),
        train=TrainSettings(
            steps=14_000,
            episodes_per_step=1,
            way=10,
            shots=(1, 3),
            queries=6,
            fusion_rate=10.0,
            betas=(0.9, 0.999),
            schedule="cosine",
            level_loss=1.0,
            pixel_share=0.25,
            average=0.999,
            freeze_norm_after=None,
            store_side=None,
            padding=4,
            sides=(56, 68, 84),
            jitter=0.0,
            plda_images=600,
            plda_loss=1.0,
            balance_episodes=200,
            validate_every=2_800,
            validation_episodes=300,
            validation_shots=(1, 5),
        ),
    ),
}
