"""What the methods that fit a classifier to the support share."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from triptych.methods.base import Summary

__all__ = ["labelled_photos"]


def labelled_photos(classes: Sequence[Summary], level: str) -> tuple[Float[Tensor, "S ..."], Int64[Tensor, " S"]]:
    """What each class keeps of its photos at a level (K_n, ...), joined, and the class of each."""
    photos = torch.cat([summary[level] for summary in classes])  # (S, ...)
    shots = torch.tensor([len(summary[level]) for summary in classes], device=photos.device)
    return photos, torch.repeat_interleave(torch.arange(len(classes), device=photos.device), shots)
