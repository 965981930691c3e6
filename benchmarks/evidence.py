"""Does the evidence name what the answer rests on? The patches it names first are covered, and as many others.

A recogniser learns from a few photos of each class; other photos are explained. The first tenth of the named patches
are covered in a copy of the photo, one cell of the feature map each; in other copies as many cells at random, the named
cells moved together to a random place, and the cells in the middle. The answer should lose most in the first copy. Two
scores tell: the answer's logit less the mean of all classes, which is what the evidence divides among the patches, and
its log-probability, which falls only if no rival falls as far. Further:

- areas under the curve of the answer's probability, as cells go from the photo (deletion) and as they return to a
  blurred one (insertion): Petsiuk, Das and Saenko, "RISE", BMVC 2018;
- the matched patches of the photos learnt from are covered, against as many cells of the same photos at random;
- the patches are named by a network with random weights (Adebayo et al., "Sanity Checks for Saliency Maps", 2018).

python benchmarks/evidence.py PHOTOS_DIR --json benchmarks/results/evidence-default-grocery.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from covering import FILLS, Cells, blurred, central, covered, mean_colour, moved, on_border, scattered
from machine import machine
from scipy.stats import binomtest, spearmanr

from triptych import Recognizer
from triptych.data import list_folder
from triptych.data.photos import read_photos
from triptych.evidence import Explanation
from triptych.methods import Method, build_method, weights_hash
from triptych.support import encode
from triptych.system.progress import track

SHARES = (1 / 8, 1 / 4, 1 / 2)  # of the cells, on a curve; besides none and all
Scores = dict[str, np.ndarray]


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


def order_of(why: Explanation) -> Cells:
    """All patches, in the order in which the evidence for the winner names them."""
    return list(dict.fromkeys(match.query for match in why.classes[0].matches))


def scores(logs: np.ndarray, winner: int) -> Scores:
    """The winner's scores from log-probabilities (B, N)."""
    return {"logit above the mean": logs[:, winner] - logs.mean(1), "log-probability": logs[:, winner]}


def lost(scored: Scores) -> Scores:
    """How far each score falls from the first image to each other."""
    return {name: values[0] - values[1:] for name, values in scored.items()}


def falls(
    recognizer: Recognizer, why: Explanation, choices: Sequence[Cells], fills: Sequence[str] = tuple(FILLS)
) -> Scores:
    """For each score and fill, how far it falls without each choice of cells, (choices,)."""
    winner = recognizer.classes_.tolist().index(why.label)
    images = [why.image]
    for name in fills:
        fill = FILLS[name](why.image)
        images += [covered(why.image, cells, why.grid, fill) for cells in choices]
    found = lost(scores(np.log(recognizer.predict_proba(images)), winner))
    return {
        f"{score}, {name}": part
        for score, values in found.items()
        for name, part in zip(fills, np.split(values, len(fills)), strict=True)
    }


def areas(recognizer: Recognizer, why: Explanation, orders: dict[str, Cells]) -> dict[str, float]:
    """The areas under the curves of deletion and insertion for each order of the cells."""
    winner = recognizer.classes_.tolist().index(why.label)
    grid, image = why.grid, why.image
    counts = [round(share * grid[0] * grid[1]) for share in SHARES]
    plain, soft = mean_colour(image), blurred(image)
    images = [image, np.ascontiguousarray(plain), soft]
    for order in orders.values():
        images += [covered(image, order[:count], grid, plain) for count in counts]
        images += [covered(soft, order[:count], grid, image) for count in counts]
    whole, nothing, soft_only, *rest = recognizer.predict_proba(images)[:, winner]
    found, shares = {}, [0, *SHARES, 1]
    for name, values in zip(orders, np.split(np.array(rest), len(orders)), strict=True):
        deleted, inserted = np.split(values, 2)
        found[f"deletion, {name}"] = float(np.trapezoid([whole, *deleted, nothing], shares))
        found[f"insertion, {name}"] = float(np.trapezoid([soft_only, *inserted, whole], shares))
    return found


@torch.no_grad()
def support_falls(
    recognizer: Recognizer, why: Explanation, count: int, photos: dict[str, np.ndarray], rng: np.random.Generator
) -> Scores:
    """How far each score falls without the matched patches of the photos learnt from, and without random ones, (2,)."""
    known, method = recognizer.knowledge_, recognizer.method_
    winner = known.order.index(why.label)
    support = known.supports[winner]
    named = set(order_of(why)[:count])
    matched: dict[int, set[tuple[int, int]]] = {}
    for match in why.classes[0].matches:
        if match.query in named:
            matched.setdefault(match.photo, set()).add(match.support)
    query, found = encode(method, why.image[None]), []
    for random in (None, False, True):
        pixels = [photos[photo] for photo in support.ids]
        for number, cells in matched.items() if random is not None else ():
            chosen = scattered(why.grid, rng)[: len(cells)] if random else list(cells)
            pixels[number] = covered(pixels[number], chosen, why.grid, mean_colour(pixels[number]))
        changed = [one.summary for one in known.supports]
        changed[winner] = method.summarise(encode(method, np.stack(pixels)))
        logits = known.logits(method.compare(query, method.adapt(changed))) / known.temperature
        found.append(logits.log_softmax(1)[0].cpu().numpy())
    return lost(scores(np.stack(found), winner))


def won(mine: np.ndarray, others: np.ndarray) -> dict[str, Any]:
    """In how many photos the named patches cost more, with the Clopper-Pearson interval, and the mean falls."""
    wins = int((mine > others).sum())
    interval = binomtest(wins, len(mine)).proportion_ci()
    return {
        "photos": wins,
        "share": wins / len(mine),
        "ci95": [float(interval.low), float(interval.high)],
        "mean fall": [float(mine.mean()), float(others.mean())],
    }


def compared(found: Sequence[Scores], names: Sequence[str]) -> dict[str, Any]:
    """Score -> name of the other cells -> how often the first choice costs more than they do."""
    return {
        score: {name: won(*np.stack([one[score][[0, n]] for one in found]).T) for n, name in enumerate(names, start=1)}
        for score in found[0]
    }


def randomised(like: Method, support: Sequence[str], labels: Sequence[str], seed: int) -> Recognizer:
    """A recogniser over the same network with random weights."""
    torch.manual_seed(seed)
    return Recognizer(build_method(like.config), calibrate=False).fit(support, labels)


def measure(folder: Path, shot: int, photos: int, share: float, supports: int, seed: int) -> dict[str, Any]:
    support, labels, asked = divided(folder, shot, photos, seed)
    recognizer = Recognizer().fit(support, labels)
    random = randomised(recognizer.method_, support, labels, seed)
    learnt = {photo.id: photo.pixels for photo in read_photos(support, recognizer.method_.preprocess)}
    rng = np.random.default_rng(seed)
    covers, curves, of_support, of_random, likeness, border, sure = [], [], [], [], [], [], []
    for number, photo in enumerate(track(asked, "covering", total=len(asked))):
        why, blind = recognizer.explain(photo, top=1), random.explain(photo, top=1)
        order, any_order = order_of(why), scattered(why.grid, rng)
        count = max(1, round(share * len(order)))
        choices = [order[:count], any_order[:count], moved(order[:count], why.grid, rng), central(why.grid)[:count]]
        covers.append(falls(recognizer, why, choices))
        of_random.append(falls(recognizer, why, [order_of(blind)[:count], any_order[:count]], ["mean colour"]))
        curves.append(areas(recognizer, why, {"named": order, "random": any_order}))
        likeness.append(spearmanr(why.heatmap(), blind.heatmap(), axis=None).statistic)
        found = [match.support for match in why.classes[0].matches if match.query in choices[0]]
        border.append((on_border(choices[0], why.grid), on_border(found, why.grid)))
        sure.append(why.classes[0].probability)
        if number < supports:
            of_support.append(support_falls(recognizer, why, count, learnt, rng))
    return {
        "classes": len(recognizer.classes_),
        "shot": shot,
        "photos": len(asked),
        "seed": seed,
        "covered share": share,
        "method": recognizer.method,
        "weights": weights_hash(recognizer.method_),
        "levels": {level: recognizer.fusion_.logit_scale(level) for level in recognizer.method_.level_names},
        **named_better(covers, curves, sure),
        "matched patches of the photos learnt from": compared(of_support, ["random"]),
        "named by random weights": compared(of_random, ["random"]),
        "rank correlation of the maps, trained and random weights": float(np.mean(likeness)),
        "on the border": dict(zip(("named", "matched"), np.mean(border, 0).tolist(), strict=True)),
        "cells on the border": on_border(central(why.grid), why.grid),
    }


def named_better(covers: list[Scores], curves: list[dict[str, float]], sure: list[float]) -> dict[str, Any]:
    """How much more the answer rests on the named patches than on others."""
    certain = [one for one, probability in zip(covers, sure, strict=True) if probability >= 0.8]
    names = ("random", "moved", "centre")
    return {
        "named against": compared(covers, names),
        "named against, answers of 80% or more": {"photos": len(certain), **compared(certain, names)},
        "areas": {name: float(np.mean([one[name] for one in curves])) for name in curves[0]},
        "areas, named better": {
            "deletion": float(np.mean([one["deletion, named"] < one["deletion, random"] for one in curves])),
            "insertion": float(np.mean([one["insertion, named"] > one["insertion, random"] for one in curves])),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path, help="a folder of class folders")
    parser.add_argument("--count", type=int, default=200, help="photos to explain")
    parser.add_argument("--shot", type=int, default=5, help="photos of each class to learn from")
    parser.add_argument("--share", type=float, default=0.1, help="of the patches that are covered")
    parser.add_argument("--supports", type=int, default=50, help="photos for which the matched patches are covered")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    result = measure(asked.photos, asked.shot, asked.count, asked.share, asked.supports, asked.seed)
    result["machine"] = machine(torch.device("cpu"))
    print(json.dumps(result, indent=1))
    if asked.json:
        asked.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
