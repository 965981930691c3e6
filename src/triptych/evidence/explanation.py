"""Evidence: each level's share of an answer, the patches that match, and the parts that match."""

import base64
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from html import escape
from os import PathLike
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.evidence.drawing import draw_explanation
from triptych.evidence.matching import Match, margins_of, matches_of, naming_order
from triptych.evidence.records import ClassEvidence, PartMatch, PatchMatch
from triptych.fusion import Fusion
from triptych.methods import Encoded, Method
from triptych.support import Support, encode, views_of
from triptych.system.files import write_whole
from triptych.system.wording import printable

__all__ = ["Explanation", "explain"]


@dataclass(frozen=True)
class Explanation:
    """The most probable classes of a photo with the evidence for each, best first.

    Attributes:
        image: (side, side, 3) uint8, the photo as it is recognised.
        grid: (rows, columns) of the feature map that patches are counted in.
        classes: the evidence.
        responses: (C, rows, columns) the photo's feature map: where each channel responds.
    """

    image: np.ndarray
    grid: tuple[int, int]
    classes: list[ClassEvidence]
    responses: np.ndarray

    def __repr__(self) -> str:
        probability = self.classes[0].probability
        return f"Explanation(label={_plain(self.label)!r}, probability={probability:.3f}, classes={len(self.classes)})"

    @property
    def label(self) -> Any:
        """The answer."""
        return self.classes[0].label

    def heatmap(self, rank: int = 0) -> np.ndarray:
        """(rows, columns) the margin of each patch, at the pixel level, for the class at ``rank``."""
        values = np.zeros(self.grid)
        for match in self.classes[rank].matches:
            values[match.query] += match.margin
        return values

    def summary(self, matches: int = 10) -> dict[str, Any]:
        """The answer and the first ``matches`` patches and channels of each class, as JSON can hold them."""
        return {
            "label": _plain(self.label),
            "grid": list(self.grid),
            "classes": [
                {
                    "label": _plain(evidence.label),
                    "probability": evidence.probability,
                    "similarities": evidence.similarities,
                    "contributions": evidence.contributions,
                    "matches": [asdict(match) for match in evidence.matches[:matches]],
                    "parts": [asdict(part) for part in evidence.parts[:matches]],
                }
                for evidence in self.classes
            ],
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Draw the evidence into a .png, .svg, .pdf or .html file, whole or not at all.

        Raises:
            ValueError: another ending.
            OSError: the file cannot be written.
            RuntimeError: matplotlib is not installed.
        """
        ending = PurePath(path).suffix.lower()
        write_whole(path, draw_explanation(self, ending))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        return draw_explanation(self)

    def _repr_html_(self) -> str:
        """What a notebook shows, with the answers in words; labels are escaped."""
        answers = "".join(f"<li>{escape(printable(one.label))}, {one.probability:.1%}</li>" for one in self.classes)
        try:
            picture = base64.b64encode(draw_explanation(self)).decode()
        except RuntimeError as error:  # matplotlib is an extra
            return f"<ol>{answers}</ol><p>{escape(str(error))}</p>"
        return (
            f'<ol>{answers}</ol><img alt="the evidence" style="max-width: 100%" src="data:image/png;base64,{picture}">'
        )


@torch.no_grad()
def explain(
    method: Method,
    fusion: Fusion,
    pixels: np.ndarray,
    labels: Sequence[Any],
    supports: Sequence[Support],
    top: int,
    temperature: float,
) -> Explanation:
    """Explain one photo (side, side, 3) against labelled classes, by the levels of ``method`` and a fusion of them."""
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    query = encode(method, pixels[None])
    levels = method.compare(query, method.adapt([support.summary for support in supports]))
    contributions = {level: part / temperature for level, part in fusion.contributions(levels).items()}
    probabilities = (fusion(levels)[0].double() / temperature).softmax(0)
    compared = _compared(method, query, supports)
    maps = query.maps[0]
    grid = (maps.shape[1], maps.shape[2])
    patches, parts = compared.get("patch"), compared.get("channel")
    evidence = [
        ClassEvidence(
            label=labels[n],
            probability=float(probabilities[n]),
            similarities={level: float(scores[0, n]) for level, scores in levels.items()},
            contributions={level: float(part[0, n] - part[0].mean()) for level, part in contributions.items()},
            matches=[] if patches is None else _patch_matches(patches, n, grid, len(pixels)),
            parts=[] if parts is None else _part_matches(parts, n),
            thumbnails=supports[n].thumbnails,
        )
        for n in probabilities.argsort(descending=True, stable=True)[:top].tolist()
    ]
    return Explanation(pixels, grid, evidence, maps.float().cpu().numpy())


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label


def _compared(method: Method, query: Encoded, supports: Sequence[Support]) -> dict[str, "_Compared"]:
    """What the first level that matches patches finds, and the first that matches channels, by their unit."""
    compared: dict[str, _Compared] = {}
    for level, matching in method.matchings().items():
        if matching.unit not in compared:
            pools = [matching.pool(support.summary[level]) for support in supports]
            weights = None if matching.weights is None else matching.weights(query)
            positions = None
            if matching.positions is not None:
                positions = [matching.positions(support.summary[level]) for support in supports]
            compared[matching.unit] = _Compared(matching.rows(query), pools, supports, matching.k, weights, positions)
    return compared


class _Compared:
    """A photo's patches or channels beside those of every class."""

    def __init__(
        self,
        rows: Tensor,
        pools: Sequence[Tensor],
        supports: Sequence[Support],
        k: int,
        weights: Tensor | None,
        positions: Sequence[Tensor] | None,
    ) -> None:
        self.rows, self.pools, self.supports, self.k = rows, pools, supports, k
        self.positions = positions
        self.weights = [1.0] * len(rows) if weights is None else weights.tolist()
        margins, mean = margins_of(rows, pools, k)
        self.margins, self.mean = margins.cpu().numpy(), mean.tolist()  # (R, N), (R,)

    def matches(self, n: int, order: Sequence[int]) -> Iterator[tuple[int, Match, float]]:
        """(row, match, its share of the row's margin) in class n, rows in this order; similarities without weights."""
        positions = None if self.positions is None else self.positions[n]
        found = matches_of(self.rows, self.pools[n], self.supports[n], self.k, positions)
        for row in order:
            for match in found[row]:
                plain = match.similarity / self.weights[row] if self.weights[row] else 0.0
                yield row, match._replace(similarity=plain), match.similarity - self.mean[row] / self.k


def _patch_matches(patches: _Compared, n: int, grid: tuple[int, int], side: int) -> list[PatchMatch]:
    support = patches.supports[n]
    views = [views_of(photo, support.views, side) for photo in support.ids]
    width = grid[1]
    return [
        PatchMatch(
            query=divmod(row, width),
            photo=match.photo,
            name=support.names[match.photo],
            view=match.view,
            support=views[match.photo][match.view].locate(*divmod(match.member, width), grid, side),
            similarity=match.similarity,
            margin=margin,
        )
        for row, match, margin in patches.matches(n, naming_order(patches.margins[:, n].reshape(grid)))
    ]


def _part_matches(parts: _Compared, n: int) -> list[PartMatch]:
    names = parts.supports[n].names
    order = np.argsort(-parts.margins[:, n], kind="stable").tolist()
    return [
        PartMatch(channel, match.photo, names[match.photo], match.view, match.member, match.similarity, margin)
        for channel, match, margin in parts.matches(n, order)
    ]
