"""The pictures of the pages on levels, from the sample photos: `python website/pictures.py docs/levels`."""

import sys
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.patches import ConnectionPatch, Ellipse, Rectangle
from PIL import Image

from triptych import load_method
from triptych.data import Photo, read_photos
from triptych.methods import Encoded, Method, encode_images
from triptych.similarity import fit_lda

LEARNT = 5  # photos of each class
BORDER = 3  # positions of a Conv-64F map that see beyond the photo


def classes() -> dict[str, list[Path]]:
    """The sample photos of each class."""
    root = Path(str(resources.files("triptych.samples")))
    return {folder.name: sorted(folder.glob("*.jpg")) for folder in sorted(root.iterdir()) if folder.is_dir()}


def photos(method: Method, files: list[Path]) -> torch.Tensor:
    """(B, side, side, 3) decoded photos."""
    found = [one for one in read_photos(files, method.preprocess) if isinstance(one, Photo)]
    return torch.from_numpy(np.stack([one.pixels for one in found]))


def units_of(maps: torch.Tensor) -> torch.Tensor:
    """(B, M, C), the descriptors of maps, of unit length."""
    return torch.nn.functional.normalize(maps.flatten(2).transpose(1, 2), dim=2)


def encoded(method: Method, files: list[Path]) -> Encoded:
    with torch.no_grad():
        return encode_images(method, photos(method, files))


def maps_of(method: Method, files: list[Path]) -> torch.Tensor:
    """(B, C, H, W), the last map of the backbone."""
    with torch.no_grad():
        return method.backbone.taps(method.preprocess.normalise(photos(method, files)))[-1]


def pixel(method: Method, out: Path) -> None:
    """The five patches that count most, each linked with its nearest."""
    files = classes()["Yellow-Bell-Pepper"]
    pictures, maps = photos(method, [files[9], files[0]]).numpy(), maps_of(method, [files[9], files[0]])
    side = maps.shape[3]
    query, support = units_of(maps)
    cosines, nearest = (query @ support.T).max(1)
    weights = maps[0].flatten(1).square().sum(0)
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3.5), layout="constrained")
    for axes, picture in zip((left, right), pictures, strict=True):
        axes.imshow(picture)
        axes.axis("off")
    cell = pictures.shape[2] / side
    for rank, place in enumerate((weights * cosines).argsort(descending=True)[:5].tolist()):
        colour = f"C{rank}"
        ends = []
        for axes, position in ((left, place), (right, int(nearest[place]))):
            corner = (position % side * cell, position // side * cell)
            axes.add_patch(Rectangle(corner, cell, cell, fill=False, edgecolor=colour, linewidth=2))
            ends.append((corner[0] + cell / 2, corner[1] + cell / 2))
        figure.add_artist(ConnectionPatch(*ends, "data", "data", axesA=left, axesB=right, color=colour, linewidth=1))
        left.annotate(f"{cosines[place]:.2f}", ends[0], color="white", ha="center", va="center", fontsize=7)
    save(figure, out / "pixel.png")


def part(method: Method, out: Path) -> None:
    """Three channels and their nearest."""
    files = classes()["Lemon"]
    pictures, maps = photos(method, [files[9], files[0]]).numpy(), maps_of(method, [files[9], files[0]])
    query, support = (torch.nn.functional.normalize(one.T, dim=1) for one in units_of(maps))  # (C, M)
    cosines, nearest = (query @ support.T).max(1)
    inside = query.view(-1, *maps.shape[2:])[:, BORDER:-BORDER, BORDER:-BORDER].flatten(1)
    told = inside.var(1) / query.var(1).clamp_min(1e-9)  # not of those that respond to the border of the photo
    chosen = [c for c in cosines.argsort(descending=True).tolist() if told[c] >= told.quantile(0.7)][:3]
    figure, axes = plt.subplots(2, 4, figsize=(7, 3.6), layout="constrained")
    for row, picture, of in zip(axes, pictures, (query, support), strict=True):
        row[0].imshow(picture)
        for one, channel in zip(row[1:], chosen, strict=True):
            number = channel if of is query else int(nearest[channel])
            one.imshow(of[number].view(maps.shape[2:]), cmap="magma")
            one.set_title(f"channel {number}" + ("" if of is query else f", {cosines[channel]:.2f}"), fontsize=8)
    for one in axes.flat:
        one.axis("off")
    save(figure, out / "part.png")


def distribution(method: Method, out: Path) -> None:
    """A photo's descriptors and three Gaussians, along two axes."""
    kinds = classes()
    own, other = kinds["Lemon"], kinds["Garlic"]
    groups = {
        "the photo": maps_of(method, own[9:10]),
        "Lemon": maps_of(method, own[:LEARNT]),
        "Garlic": maps_of(method, other[:LEARNT]),
    }
    inside = {name: maps[:, :, BORDER:-BORDER, BORDER:-BORDER] for name, maps in groups.items()}
    rows = {name: maps.transpose(0, 1).flatten(1).T for name, maps in inside.items()}
    _, _, axes = torch.linalg.svd(rows["Lemon"] - rows["Lemon"].mean(0), full_matrices=False)
    between = torch.nn.functional.normalize(rows["Lemon"].mean(0) - rows["Garlic"].mean(0), dim=0)
    plane = torch.linalg.qr(torch.stack([between, axes[0]], 1)).Q
    figure, place = plt.subplots(figsize=(6, 4), layout="constrained")
    for number, (name, of) in enumerate(rows.items()):
        points = (of @ plane).numpy()
        if not number:
            place.plot(*points.T, ".", color="C0", markersize=3, alpha=0.5)
        place.add_patch(ellipse(points.mean(0), np.cov(points.T), edgecolor=f"C{number}", label=name))
    place.set(xlabel="along the difference of the class means", ylabel="along the largest variance of Lemon")
    place.autoscale_view()
    place.legend(frameon=False)
    save(figure, out / "distribution.png")


def ellipse(mean: np.ndarray, covariance: np.ndarray, **how: Any) -> Ellipse:
    """Two standard deviations around a mean."""
    values, vectors = np.linalg.eigh(covariance)
    angle = np.degrees(np.arctan2(*vectors[::-1, 1]))
    width, height = 4 * np.sqrt(values[::-1])
    return Ellipse(mean, width, height, angle=angle, fill=False, linewidth=2, **how)


def whole(method: Method, out: Path) -> None:
    """Photos along the two axes that tell classes apart best, and a new one."""
    kinds = classes()
    vectors = {
        name: torch.nn.functional.normalize(maps_of(method, [*files[:LEARNT], files[9]]).mean((2, 3)), dim=1)
        for name, files in kinds.items()
    }
    learnt = torch.cat([of[:LEARNT] for of in vectors.values()])
    labels = torch.arange(len(kinds)).repeat_interleave(LEARNT)
    directions = fit_lda(learnt, labels).directions.float()
    _, _, axes = torch.linalg.svd(directions - directions.mean(0), full_matrices=False)
    figure, place = plt.subplots(figsize=(6, 4), layout="constrained")
    for number, (name, of) in enumerate(vectors.items()):
        points = ((of - learnt.mean(0)) @ axes[:2].T).numpy()
        place.plot(*points[:LEARNT].T, ".", color=f"C{number}", label=name)
        place.plot(*points[:LEARNT].mean(0), "+", color=f"C{number}", markersize=10)
        if name == "Lemon":
            place.plot(*points[LEARNT], "*", color="black", markersize=12, label="a new Lemon")
    place.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    place.set(xticks=[], yticks=[])
    save(figure, out / "global.png")


def plda(method: Method, out: Path) -> None:
    """Photos along two axes of PLDA, and where those of two classes are expected."""
    kinds = classes()
    codes = {name: encoded(method, files).tensors["codes"].numpy() for name, files in kinds.items()}
    means = np.stack([of.mean(0) for of in codes.values()])
    within = np.mean([of.var(0) for of in codes.values()], axis=0)
    axes = np.argsort(means.var(0) / within)[:-3:-1]  # on which these classes differ most
    codes = {name: of[:, axes] for name, of in codes.items()}
    between = method.scorers["plda"].get_buffer("between").double().numpy()[axes]
    figure, place = plt.subplots(figsize=(6, 4), layout="constrained")
    for number, (name, points) in enumerate(codes.items()):
        place.plot(*points.T, ".", color=f"C{number}", label=name, markersize=4)
        if name in {"Lemon", "Oatly-Oat-Milk"}:
            certain = 1 + LEARNT**0.5 * between
            mean = LEARNT**0.5 * between / certain * points[:LEARNT].mean(0)
            place.add_patch(ellipse(mean, np.diag(1 + between / certain), edgecolor=f"C{number}"))
    place.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    place.set(xlabel="one axis", ylabel="another")
    save(figure, out / "plda.png")


def save(figure: plt.Figure, file: Path) -> None:
    """Write a picture of few colours, which is small."""
    figure.savefig(file, dpi=100)
    plt.close(figure)
    Image.open(file).convert("RGB").quantize(128).save(file, optimize=True)


def main() -> None:
    out = Path(sys.argv[1])
    lite, conv = load_method("mml-efficientnet-lite0"), load_method("mml-conv64f")
    pixel(lite, out)
    whole(lite, out)
    for draw in (part, distribution, plda):
        draw(conv, out)


if __name__ == "__main__":
    main()
