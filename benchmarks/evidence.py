"""Does the evidence name what the answer rests on? The patches it names first are covered, and as many others.

A recogniser learns from a few photos of each class; other photos are explained. The first tenth of the matches of the
winner, which are that many patches, are covered with the photo's mean colour, one cell of the feature map each. So
are, in other copies of the photo, as many cells chosen at random, and the named cells moved together to a random
place (round the edge): these are as scattered as the named ones. The winner's score should fall most in the first.

python benchmarks/evidence.py PHOTOS_DIR --json benchmarks/results/evidence-grocery.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from scipy.stats import binomtest

from triptych import Recognizer
from triptych.data import list_folder
from triptych.evidence import Explanation
from triptych.methods import weights_hash
from triptych.system.progress import track

Cells = Sequence[tuple[int, int]]


def divided(folder: Path, shot: int, photos: int, seed: int) -> tuple[list[str], list[str], list[str]]:
    """(support photos, their labels, photos to explain), drawn at random."""
    rng = np.random.default_rng(seed)
    listing = list_folder(folder)
    support, labels, rest = [], [], []
    for number, name in enumerate(listing.classes):
        mine = [str(source) for source, owner in zip(listing.sources, listing.labels, strict=True) if owner == number]
        mine = [mine[i] for i in rng.permutation(len(mine))]
        support += mine[:shot]
        labels += [name] * len(mine[:shot])
        rest += mine[shot:]
    return support, labels, [rest[i] for i in rng.permutation(len(rest))[:photos]]


def named(why: Explanation, count: int) -> Cells:
    """The patches that the evidence for the winner names first."""
    return list(dict.fromkeys(match.query for match in why.classes[0].matches))[:count]


def scattered(grid: tuple[int, int], count: int, rng: np.random.Generator) -> Cells:
    return [divmod(int(cell), grid[1]) for cell in rng.permutation(grid[0] * grid[1])[:count]]


def moved(cells: Cells, grid: tuple[int, int], rng: np.random.Generator) -> Cells:
    """The cells, shifted together to a random place."""
    down, right = int(rng.integers(grid[0])), int(rng.integers(grid[1]))
    return [((row + down) % grid[0], (column + right) % grid[1]) for row, column in cells]


def covered(image: np.ndarray, cells: Cells, grid: tuple[int, int]) -> np.ndarray:
    """The photo (side, side, 3) with these cells of its grid in its mean colour."""
    hidden = image.copy()
    colour = image.reshape(-1, 3).mean(0).round()
    rows, columns = (np.arange(count + 1) * length // count for count, length in zip(grid, image.shape, strict=False))
    for row, column in cells:
        hidden[rows[row] : rows[row + 1], columns[column] : columns[column + 1]] = colour
    return hidden


def winner_scores(recognizer: Recognizer, images: Sequence[np.ndarray], winner: int) -> dict[str, np.ndarray]:
    """The winner's log-probability, and its logit above the mean of all, in each image."""
    logs = np.log(recognizer.predict_proba(images))
    return {"log-probability": logs[:, winner], "logit above the mean": logs[:, winner] - logs.mean(1)}


def falls(
    recognizer: Recognizer, photo: str, share: float, draws: int, rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """For each score, how far it falls: (named, scattered x draws, moved x draws)."""
    why = recognizer.explain(photo, top=1)
    grid = why.grid
    count = max(1, round(share * grid[0] * grid[1]))
    cells = named(why, count)
    choices = [
        cells,
        *(scattered(grid, count, rng) for _ in range(draws)),
        *(moved(cells, grid, rng) for _ in range(draws)),
    ]
    images = [why.image, *(covered(why.image, choice, grid) for choice in choices)]
    scores = winner_scores(recognizer, images, recognizer.classes_.tolist().index(why.label))
    return {name: values[0] - values[1:] for name, values in scores.items()}


def summary(fallen: np.ndarray, draws: int) -> dict[str, Any]:
    """In how many photos (rows) the named patches cost more than the others, with the Clopper-Pearson interval."""
    mine = fallen[:, 0]
    result: dict[str, Any] = {"mean fall": {"named": float(mine.mean())}}
    for name, others in (("scattered", fallen[:, 1 : 1 + draws]), ("moved", fallen[:, 1 + draws :])):
        result["mean fall"][name] = float(others.mean())
        for against, reference in (("mean of draws", others.mean(1)), ("first draw", others[:, 0])):
            wins = int((mine > reference).sum())
            interval = binomtest(wins, len(mine)).proportion_ci()
            result[f"{name}, {against}"] = {
                "photos": wins,
                "share": wins / len(mine),
                "ci95": [float(interval.low), float(interval.high)],
            }
    return result


def measure(folder: Path, shot: int, photos: int, share: float, draws: int, seed: int) -> dict[str, Any]:
    support, labels, asked = divided(folder, shot, photos, seed)
    recognizer = Recognizer(calibrate=False).fit(support, labels)
    rng = np.random.default_rng(seed)
    found = [falls(recognizer, photo, share, draws, rng) for photo in track(asked, "covering", total=len(asked))]
    settings = {"classes": len(recognizer.classes_), "shot": shot, "photos": len(asked), "seed": seed}
    result: dict[str, Any] = {**settings, "covered share": share, "draws": draws, "method": recognizer.method}
    result["weights"] = weights_hash(recognizer.method_)
    for score in found[0]:
        result[score] = summary(np.stack([one[score] for one in found]), draws)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("--count", type=int, default=200, help="photos to explain")
    parser.add_argument("--shot", type=int, default=5, help="photos of each class to learn from")
    parser.add_argument("--share", type=float, default=0.1, help="of the patches that are covered")
    parser.add_argument("--draws", type=int, default=3, help="of the random patches")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    result = measure(
        arguments.photos, arguments.shot, arguments.count, arguments.share, arguments.draws, arguments.seed
    )
    result["machine"] = machine(torch.device("cpu"))
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
