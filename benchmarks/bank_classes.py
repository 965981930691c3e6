"""Very many classes for ``bank.py``: groups of miniImageNet photos, and classes drawn from Gaussians fitted to them."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor

from triptych.data import Photo, Preprocessing, read_photos
from triptych.methods import Encoded, Method
from triptych.support import encode, in_one_pass

__all__ = ["Classes", "encoded_photos"]

_GROUP = 6  # photos of a pseudo-class: five to learn from, one to ask about
_EACH = 60  # photos of each class of miniImageNet
_LAYERS = ("stride16", "last")


@torch.no_grad()
def encoded_photos(method: Method, data: Path, cache: Path) -> tuple[Encoded, Tensor]:
    """What is kept of 60 photos of each class of miniImageNet, and their classes; made once."""
    if not cache.exists():
        kept, labels = [], []
        for photos, numbers in _photos(data, method.preprocess):
            with in_one_pass(16):
                kept.append(method.keep(encode(method, np.stack([photo.pixels for photo in photos]))))
            labels += numbers
        torch.save({"tensors": dict(Encoded.join(kept).tensors), "labels": torch.tensor(labels)}, cache)
    found = torch.load(cache, weights_only=True)
    return Encoded(found["tensors"]), found["labels"]


def _photos(data: Path, preprocessing: Preprocessing) -> Iterator[tuple[list[Photo], list[int]]]:
    taken: dict[int, int] = {}
    for file in sorted(data.rglob("*.parquet")):
        for batch in pq.ParquetFile(file).iter_batches(64, columns=["image", "label"]):
            images, numbers = [], []
            for row in batch.to_pylist():
                if taken.get(row["label"], 0) < _EACH:
                    taken[row["label"]] = taken.get(row["label"], 0) + 1
                    images.append(row["image"]["bytes"])
                    numbers.append(row["label"])
            if images:
                yield [photo for photo in read_photos(images, preprocessing) if isinstance(photo, Photo)], numbers


class Classes:
    """Classes by their numbers: first groups of real photos, then drawn ones.

    A group are six photos of one class that lie next to each other along its first principal component. A drawn class
    has a mean that is drawn from the Gaussian fitted to the means of the groups; its photos are the deviations of real
    photos, of any group, about that mean.
    """

    def __init__(self, method: Method, kept: Encoded, labels: Tensor, shot: int) -> None:
        self.method, self.shot = method, shot
        order = torch.cat([_along(kept, torch.nonzero(labels == own).flatten()) for own in labels.unique()])
        groups = order[: len(order) // _GROUP * _GROUP].view(-1, _GROUP)  # (G, 6)
        rng = torch.Generator().manual_seed(0)
        within = torch.rand(groups.shape, generator=rng).argsort(1)
        self.groups = groups.gather(1, within)[torch.randperm(len(groups), generator=rng)]
        self.kept = kept
        self._maps = {name: _whole(kept, name) for name in _LAYERS}  # (B, C, H, W) half
        pooled = torch.cat([one.float().mean((2, 3)) for one in self._maps.values()], dim=1)  # (B, 432)
        self._pooled = pooled
        self._means = pooled[self.groups].mean(1)  # (G, 432)
        deviations = (self._means - self._means.mean(0)).double()
        variances, axes = torch.linalg.eigh(deviations.T @ deviations / (len(deviations) - 1))
        self._root = (axes * variances.clamp_min(0).sqrt()).float()

    def photos(self, number: int, query: bool = False) -> Encoded:
        """What is kept of the photos that a class is learnt from, or of the one that is asked about."""
        chosen = slice(_GROUP - 1, _GROUP) if query else slice(0, self.shot)
        if number < len(self.groups):
            return self.kept[self.groups[number][chosen]]
        rng = torch.Generator().manual_seed(number)
        mean = self._means.mean(0) + self._root @ torch.randn(self._root.shape[1], generator=rng)
        group = torch.randint(len(self.groups), (_GROUP,), generator=rng)
        own = torch.randint(_GROUP, (_GROUP,), generator=rng)
        shifts = (mean - self._means[group])[chosen]
        photos = self.groups[group, own][chosen]
        shifts = shifts.split([self._maps[name].shape[1] for name in _LAYERS], dim=1)
        maps = {
            name: self._maps[name][photos].float() + shift[:, :, None, None]
            for name, shift in zip(_LAYERS, shifts, strict=True)
        }
        return self.method.keep(Encoded({**maps, "maps": maps["last"]}))


def _along(kept: Encoded, members: Tensor) -> Tensor:
    """Photos of a class in the order of their first principal component."""
    pooled = _whole(kept[members], "last").float().mean((2, 3))
    centred = pooled - pooled.mean(0)
    return members[(centred @ torch.linalg.svd(centred, full_matrices=False).Vh[0]).argsort()]


def _whole(kept: Encoded, name: str) -> Tensor:
    return (kept.tensors[name] * kept.tensors[f"{name}.scale"][:, None]).half()


def ids_of(number: int, count: int) -> Sequence[str]:
    """Of the photos of a class."""
    return [f"{number * _GROUP + i:032x}" for i in range(count)]
