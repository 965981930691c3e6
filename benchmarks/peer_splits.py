"""Splits of a folder for `peers.py`: paths of photos, which every contender reads in its own way."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from triptych.data import list_folder


class Draw(NamedTuple):
    """A split: paths of photos to learn from and of known ones, the classes 0..known-1 of each, and unknown photos."""

    support: list[str]
    labels: np.ndarray
    queries: list[str]
    truth: np.ndarray
    others: list[str]


def draw(folder: Path, seed: int, shot: int, known: int, asked: int, strange: int) -> Draw:
    """So many classes to learn; all others are unknown.

    Raises:
        ValueError: too few classes, or one with too few photos.
    """
    listing = list_folder(folder)
    rng = np.random.default_rng([seed, shot])
    classes = rng.permutation(len(listing.classes))
    members = [rng.permutation(np.flatnonzero(listing.labels == n)) for n in classes]
    if len(classes) <= known or min(map(len, members[:known])) <= shot:
        raise ValueError(f"{folder}: expected more than {known} classes of more than {shot} photos each")
    support = [mine[:shot] for mine in members[:known]]
    queries = [mine[shot : shot + asked] for mine in members[:known]]

    def paths(groups: list[np.ndarray]) -> list[str]:
        return [str(listing.sources[i]) for group in groups for i in group]

    labels, truth = (np.repeat(np.arange(known), list(map(len, groups))) for groups in (support, queries))
    return Draw(paths(support), labels, paths(queries), truth, paths([mine[:strange] for mine in members[known:]]))
