"""Small data sets that the tests draw: classes differ in colour and stripe direction, photos in noise."""

from pathlib import Path

import numpy as np
from PIL import Image


def photo(kind: int, number: int, side: int = 60) -> Image.Image:
    """A noisy striped photo of class ``kind``; the same arguments give the same photo."""
    rng = np.random.default_rng([kind, number])
    rows, columns = np.mgrid[:side, :side]
    stripes = np.sin((rows * np.cos(kind) + columns * np.sin(kind)) / 4 + rng.uniform(0, 6))
    colour = np.random.default_rng(kind).uniform(60, 190, 3)
    pixels = colour + 40 * stripes[..., None] + rng.normal(0, 12, (side, side, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def class_folders(root: Path, classes: int, each: int, first: int = 0) -> Path:
    """A folder with one sub-folder of PNG photos per class."""
    for kind in range(first, first + classes):
        folder = root / f"class{kind}"
        folder.mkdir(parents=True)
        for number in range(each):
            photo(kind, number).save(folder / f"{number}.png")
    return root


def split_folders(root: Path) -> Path:
    """train/ with six classes and val/ with three others, eight photos each."""
    class_folders(root / "train", classes=6, each=8)
    class_folders(root / "val", classes=3, each=20, first=6)
    return root
