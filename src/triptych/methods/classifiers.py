"""What the two methods that fit a classifier to the support share."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.methods.base import Summary

__all__ = ["labelled_vectors"]


def labelled_vectors(classes: Sequence[Summary], level: str) -> tuple[Float[Tensor, "S C"], Int64[Tensor, " S"]]:
    """The vectors (K_n, C) that each class keeps at a level, joined, and the class of each."""
    vectors = torch.cat([summary[level] for summary in classes])  # (S, C)
    shots = torch.tensor([len(summary[level]) for summary in classes], device=vectors.device)
    return vectors, torch.repeat_interleave(torch.arange(len(classes), device=vectors.device), shots)
