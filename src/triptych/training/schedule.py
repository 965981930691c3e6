"""Learning rates and image sizes as functions of the step."""

import math
from collections.abc import Sequence

from torch.optim import Optimizer

__all__ = ["cosine", "set_learning_rate", "side_at", "step_halving"]


def cosine(step: int, steps: int, peak: float, warmup: float = 0.0) -> float:
    """Linear rise over ``warmup * steps`` steps, then a half cosine to zero."""
    rise = warmup * steps
    if step < rise:
        return peak * (step + 1) / (rise + 1)
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1.0, steps - rise)))


def step_halving(step: int, initial: float, halve_every: int) -> float:
    """Halved every ``halve_every`` steps."""
    return initial * 0.5 ** (step // halve_every)


def set_learning_rate(optimizer: Optimizer, learning_rate: float) -> None:
    """Set the learning rate of all parameter groups, each times its own ``rate`` if it has one."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate * group.get("rate", 1.0)


def side_at(step: int, steps: int, sides: Sequence[int]) -> int | None:
    """The image side of a step, when each of ``sides`` has an equal share of the steps; None if there are none."""
    return sides[step * len(sides) // steps] if sides else None
