"""Evidence: each level's share of an answer, the patches that match, and the parts that match."""

import base64
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor

from triptych.evidence.compared import compared_units, part_matches, patch_matches
from triptych.evidence.drawing import draw_explanation
from triptych.evidence.naming import Named, named_by_loss
from triptych.evidence.records import ClassEvidence
from triptych.fusion import Fusion
from triptych.methods import Encoded, Method, Summary
from triptych.support import Support, encode
from triptych.system.files import as_path, write_whole
from triptych.system.kinds import PICTURE
from triptych.system.outputs import check_replaced
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
        patch_levels: the levels that match patches; the others compare the photo as a whole.
    """

    image: np.ndarray
    grid: tuple[int, int]
    classes: list[ClassEvidence]
    responses: np.ndarray
    patch_levels: tuple[str, ...] = ()

    def __repr__(self) -> str:
        probability = self.classes[0].probability
        return f"Explanation(label={_plain(self.label)!r}, probability={probability:.3f}, classes={len(self.classes)})"

    @property
    def label(self) -> Any:
        """The answer."""
        return self.classes[0].label

    def heatmap(self, rank: int = 0) -> np.ndarray:
        """(rows, columns) what each patch does for the class at ``rank``: above zero it speaks for it.

        What the class's logit loses without the patch; where a method cannot tell, its margin at the pixel level.
        """
        losses = self.classes[rank].losses
        if losses is not None:
            return losses
        values = np.zeros(self.grid)
        for match in self.classes[rank].matches:
            values[match.query] += match.margin
        return values

    def lead(self) -> dict[str, float]:
        """Level -> what it adds to the answer's logit beyond what it adds to the runner-up's; empty without one."""
        if len(self.classes) < 2:
            return {}
        first, second = (evidence.contributions for evidence in self.classes[:2])
        return {level: first[level] - second[level] for level in first}

    def summary(self, matches: int = 10) -> dict[str, Any]:
        """The answer and the first ``matches`` patches and channels of each class, as JSON can hold them."""
        return {
            "label": _plain(self.label),
            "grid": list(self.grid),
            "lead": self.lead(),
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

        An earlier picture of evidence is replaced, any other file is not.

        Raises:
            ValueError: another ending, or the file exists and is no picture that Triptych drew.
            OSError: the file cannot be written.
            RuntimeError: matplotlib is not installed.
        """
        ending = PICTURE.ending(as_path(path))  # a device needs none
        check_replaced(as_path(path), PICTURE)
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
    classes: Sequence[Summary] | None = None,
) -> Explanation:
    """Explain one photo (side, side, 3) against labelled classes, by the levels of ``method`` and a fusion of them.

    ``classes`` are the summaries of ``supports``, adapted to each other, where they are at hand.
    """
    if top < 1:
        raise ValueError(f"top must be at least 1, got {top}")
    query = encode(method, pixels[None])
    adapted = method.adapt([support.summary for support in supports]) if classes is None else classes
    compared = _Compared(method, fusion, temperature, query, adapted)
    ranks = compared.probabilities.argsort(descending=True, stable=True)[:top].tolist()
    units = compared_units(method, query, supports)
    patches, parts = units.get("patch"), units.get("channel")
    evidence = []
    for n in ranks:
        named = compared.named(n)
        evidence.append(
            ClassEvidence(
                label=labels[n],
                **compared.numbers(n),
                matches=[] if patches is None else patch_matches(patches, n, compared.grid, len(pixels), named),
                parts=[] if parts is None else part_matches(parts, n),
                thumbnails=supports[n].thumbnails,
                losses=None if named is None else named.losses,
            )
        )
    matching = tuple(level for level, one in method.matchings().items() if one.unit == "patch")
    return Explanation(pixels, compared.grid, evidence, query.maps[0].float().cpu().numpy(), matching)


class _Compared:
    """A photo compared with the classes."""

    def __init__(
        self, method: Method, fusion: Fusion, temperature: float, query: Encoded, classes: Sequence[Summary]
    ) -> None:
        self.fusion, self.temperature = fusion, temperature
        self.levels = method.compare(query, classes)
        self.contributions = {level: part / temperature for level, part in fusion.contributions(self.levels).items()}
        self.probabilities = (fusion(self.levels)[0].double() / temperature).softmax(0)
        self.grid = (query.maps.shape[2], query.maps.shape[3])
        self.without = method.without_patches(query, classes)
        self.device = query.device

    def numbers(self, n: int) -> dict[str, Any]:
        """How probable class n is, how similar, and what each level adds to its logit."""
        return {
            "probability": float(self.probabilities[n]),
            "similarities": {level: float(scores[0, n]) for level, scores in self.levels.items()},
            "contributions": {level: float(part[0, n] - part[0].mean()) for level, part in self.contributions.items()},
        }

    def named(self, n: int) -> Named | None:
        """The patches on which the logit of class n, less the mean of all, rests; None where a method cannot tell."""
        without = self.without
        if without is None:
            return None

        def score(kept: Tensor) -> Tensor:
            logits = self.fusion(without(kept)).double() / self.temperature
            return logits[:, n] - logits.mean(1)

        return named_by_loss(score, self.grid, self.device)


def _plain(label: Any) -> Any:
    return label.item() if isinstance(label, np.generic) else label
