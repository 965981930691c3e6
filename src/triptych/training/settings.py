"""Settings of the two training stages, and the presets."""

from dataclasses import dataclass

__all__ = ["PRESETS", "Preset", "PretrainSettings", "TrainSettings"]


@dataclass(frozen=True)
class PretrainSettings:
    """Classification of the base classes.

    Attributes:
        epochs: passes over the train split.
        batch: images a step.
        learning_rate: peak of the one-cycle cosine schedule.
        warmup: share of the steps over which the learning rate rises to its peak.
        weight_decay: L2 penalty.
        dense_weight: weight of the loss that classifies every local descriptor, beside the pooled one.
        store_side: images are decoded to this side, from which crops are cut; None for the method's own, so that
            training sees the pixels that tests see. Scaling up blurs: see benchmarks/LOG.md.
        padding: how far crops may reach beyond the image, which is reflected there.
        sides: crops are scaled to these sides in turn, each for an equal share of the epochs: early epochs on
            small images cost a fraction. Empty for the method's own side throughout.
        jitter: strength of the colour jitter; 0 is off.
        precision: "auto" (bf16 where the hardware has it), "bf16-mixed" or "32-true".
        checkpoint_seconds: how often the run is saved.
        seed: of weights, order and augmentation.

    >>> from triptych.training import PretrainSettings
    >>> PretrainSettings(epochs=2, sides=(56, 84)).batch
    128
    """

    epochs: int = 14
    batch: int = 128
    learning_rate: float = 0.1
    warmup: float = 0.1
    weight_decay: float = 5e-4
    dense_weight: float = 1.0
    store_side: int | None = None
    padding: int = 4
    sides: tuple[int, ...] = ()
    jitter: float = 0.0
    precision: str = "auto"
    checkpoint_seconds: float = 120.0
    seed: int = 0


@dataclass(frozen=True)
class TrainSettings:
    """Episodic training.

    Attributes:
        steps: optimiser steps.
        episodes_per_step: episodes whose gradients are averaged in a step.
        way: classes in an episode; the published fusion, which has one way, is trained at that one.
        shots: support images of each class; several values take turns.
        queries: query images of each class.
        learning_rate: of Adam, at the start.
        fusion_rate: how many times faster the few temperatures and weights of the fusion learn.
        betas: of Adam.
        schedule: "cosine" to zero, or "step": halved every ``halve_every`` steps.
        halve_every: steps between two halvings of the step schedule.
        level_loss: weight of each level's own cross-entropy beside the fused one, where the fusion has it.
        pixel_share: share of a query's descriptors, drawn anew for each episode, that look for their nearest at the
            pixel level, which without it takes more time than the backbone.
        average: decay, per step, of the moving average of the weights that is validated and kept; 0 is none.
        freeze_norm_after: step from which BatchNorm statistics stay as they are; None for never.
        store_side: images are decoded to this side, from which crops are cut; None for the method's own, so that
            training sees the pixels that tests see. Scaling up blurs: see benchmarks/LOG.md.
        padding: how far crops may reach beyond the image, which is reflected there.
        sides: crops are scaled to these sides in turn, each for an equal share of the steps; as in pre-training.
        jitter: strength of the colour jitter; 0 is off.
        base_images: images of each class of training from which the distribution level learns what tells classes
            apart, at each validation; 0 for no base classes. Methods that have no use for them train without.
        base_loss: weight of a classification of all classes of training, by the Gaussians that base classes are
            told apart by; 0 for none, and none without base classes.
        balance_episodes: validation episodes of each validation shot on which the levels are weighed anew at each
            validation (``balance_levels``); 0 to keep the weights of training. They are other episodes than those
            validated on, of the same classes and photos: validation figures flatter a little.
        validate_every: steps between two validations.
        validation_episodes: episodes of each validation shot.
        validation_shots: shots whose mean accuracy on the validation split picks the model.
        precision: "auto" (bf16 where the hardware has it), "bf16-mixed" or "32-true".
        checkpoint_seconds: how often the run is saved.
        seed: of weights, episodes and augmentation.

    >>> from triptych.training import TrainSettings
    >>> TrainSettings(way=10, shots=(1, 3)).queries
    15
    """

    steps: int = 125_000
    episodes_per_step: int = 4
    way: int = 5
    shots: tuple[int, ...] = (1,)
    queries: int = 15
    learning_rate: float = 1e-3
    fusion_rate: float = 1.0
    betas: tuple[float, float] = (0.5, 0.9)
    schedule: str = "step"
    halve_every: int = 25_000
    level_loss: float = 0.0
    pixel_share: float = 1.0
    average: float = 0.0
    freeze_norm_after: int | None = 2_500
    store_side: int | None = 100
    padding: int = 0
    sides: tuple[int, ...] = ()
    jitter: float = 0.4
    base_images: int = 0
    base_loss: float = 0.0
    balance_episodes: int = 0
    validate_every: int = 2_500
    validation_episodes: int = 1_000
    validation_shots: tuple[int, ...] = (1,)
    precision: str = "auto"
    checkpoint_seconds: float = 120.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.pixel_share <= 1:
            raise ValueError(f"pixel_share must be above 0 and at most 1, got {self.pixel_share}")
        if self.base_images == 1 or self.base_images < 0:
            raise ValueError(f"base_images must be 0 or at least 2, got {self.base_images}")
        if self.balance_episodes < 0:
            raise ValueError(f"balance_episodes must be at least 0, got {self.balance_episodes}")


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
            base_images=600,
            base_loss=1.0,
            balance_episodes=200,
            validate_every=2_800,
            validation_episodes=300,
            validation_shots=(1, 5),
        ),
    ),
}
