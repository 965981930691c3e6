"""DeepEMD: how much similarity the parts of two images can transport to each other.

Zhang, Cai, Lin and Shen, "DeepEMD: Few-Shot Image Classification With Differentiable Earth Mover's Distance and
Structured Classifiers", CVPR 2020 (https://arxiv.org/abs/2003.06777). Parts of one image are matched with parts of the
other by optimal transport, so that each counts once. Parts that have nothing in common with the other image, such as
background, weigh little.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods.base import Method, Summary
from triptych.methods.classifiers import labelled_photos
from triptych.methods.config import MethodConfig
from triptych.methods.crops import Box, crops_of, drawn_enlargement, drawn_seed, pyramid_boxes, random_boxes
from triptych.methods.encoded import Encoded
from triptych.similarity import earth_movers_similarity
from triptych.system.settings import each, number, one_of, whole

__all__ = ["DeepEMD", "DeepEMDConfig"]

_FORMS = ("fcn", "grid", "sampling")
_MOST_GRID = 32
_MOST_CROPS = 64
_MOST_STEPS = 10_000
_TRANSPORT = 14_000_000  # multiplications that take as long as a transport between 25 parts and 25; measured


@dataclass(frozen=True)
class DeepEMDConfig(MethodConfig):
    """Settings of DeepEMD.

    Attributes:
        form: what the parts of an image are. "fcn": the positions of its map. "grid": crops, the cells of the grids
            ``pyramid``, each twice as large. "sampling": ``crops`` crops that are drawn at random, once, by ``seed``.
            In training each episode has crops of its own: cells once to three times as large, other random ones.
        grid: largest side of the map of "fcn"; larger ones are pooled to it. The authors' maps have 5.
        pyramid: of "grid".
        crops: of "sampling".
        seed: of "sampling".
        temperature: multiplies the similarities.
        structured_steps: of gradient descent, in which the parts of all classes are fitted to their photos once a class
            has two; each is a transport of each photo to each class. A recogniser fits anew for each photo that it
            leaves out, and a bank for each query.
        structured_rate: its step width.

    >>> from triptych.methods import DeepEMDConfig
    >>> DeepEMDConfig(form="patches")
    Traceback (most recent call last):
    ValueError: form must be one of fcn, grid, sampling, got 'patches'
    """

    form: str = "fcn"
    grid: int = 5
    pyramid: tuple[int, ...] = (2, 3)
    crops: int = 9
    seed: int = 0
    temperature: float = 12.5
    structured_steps: int = 0
    structured_rate: float = 100.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            form=one_of(*_FORMS),
            grid=whole(1, _MOST_GRID),
            pyramid=each(whole(1), fewest=1),
            crops=whole(1, _MOST_CROPS),
            seed=whole(0, (1 << 63) - 1),
            temperature=number(0, above=True),
            structured_steps=whole(0, _MOST_STEPS),
            structured_rate=number(0, above=True),
        )
        if sum(side**2 for side in self.pyramid) > _MOST_CROPS:
            raise ValueError(f"pyramid must have 1 to {_MOST_CROPS} cells in all, got {self.pyramid}")


class DeepEMD(Method):
    r"""One minus the earth mover's distance between the parts of a query and those of a class, times a temperature.

    .. math:: \mathrm{logit}(q, n) = T \Big(1 - \min_F \sum_{ij} F_{ij} \big(1 - \cos(\tilde u_i, \tilde v_j)\big)\Big)

    with the parts u (M, C) of the query and v (M, C) of the class, each less the mean of its channels, see
    ``earth_movers_similarity``.
    A part of a class is the mean of that part of its photos. With ``structured_steps`` that is the start of the paper's
    structured fully connected layer, which gradient descent fits to the photos: their cross-entropy by these logits.
    Each step takes all photos; the authors have 100 passes of four at a time, with momentum, at this rate in
    evaluation and at 0.1 in training. No gradient flows through the fit.

    >>> import torch
    >>> from triptych.methods import DeepEMD, DeepEMDConfig
    >>> method = DeepEMD(DeepEMDConfig()).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "deepemd"
    config_type = DeepEMDConfig
    config: DeepEMDConfig

    def __init__(self, config: DeepEMDConfig = DeepEMDConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SumFusion(), backbone)
        self.boxes = self._boxes(2.0, config.seed)
        self.separable = not config.structured_steps

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("transport",)

    def crops(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "BP 3 h w"]:
        """The images; of "grid" and "sampling", P crops of each."""
        if not self.boxes:
            return images
        return crops_of(images, self._boxes(drawn_enlargement(), drawn_seed()) if self.training else self.boxes)

    def _boxes(self, enlarged: float, seed: int) -> tuple[Box, ...]:
        match self.config.form:
            case "grid":
                return pyramid_boxes(self.config.pyramid, enlarged)
            case "sampling":
                return random_boxes(self.config.crops, seed)
        return ()

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """The parts as the positions of a map (B, C, H, W), or (B, C, P, 1) of crops."""
        maps = super().encode_features(taps).maps
        if self.boxes:
            parts = maps.mean(dim=(2, 3)).unflatten(0, (-1, len(self.boxes)))  # (B, P, C)
            return Encoded({"maps": parts.transpose(1, 2)[..., None]})
        height, width = (min(self.config.grid, side) for side in maps.shape[2:])
        return Encoded({"maps": functional.adaptive_avg_pool2d(maps, (height, width))})

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        parts = _parts(encoded)  # (K, M, C)
        mean = {"transport": parts.mean(0)}
        return {**mean, "photos": parts} if self.config.structured_steps else mean

    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        """With ``structured_steps``, the parts of all classes are fitted to the photos of all."""
        if not self.config.structured_steps or all(len(summary["photos"]) == 1 for summary in classes):
            return classes
        with torch.inference_mode(False), torch.enable_grad():
            photos, labels = (one.detach().clone() for one in labelled_photos(classes, "photos"))
            parts = [summary["transport"].detach().clone() for summary in classes]
            for _ in range(self.config.structured_steps):
                loss = functional.cross_entropy(self._logits(photos, [one.requires_grad_() for one in parts]), labels)
                slopes = torch.autograd.grad(loss, parts)
                parts = [(p - self.config.structured_rate * s).detach() for p, s in zip(parts, slopes, strict=True)]
        return [{"transport": one} for one in parts]

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        return {"transport": self._logits(_parts(query), [summary["transport"] for summary in classes])}

    def _logits(self, query: Float[Tensor, "Q M C"], classes: Sequence[Float[Tensor, "M C"]]) -> Float[Tensor, "Q N"]:
        return self.config.temperature * earth_movers_similarity(query, classes)

    def pair_work(self, encoded: Encoded) -> int:
        """A transport, and one for each step; its work grows with about the square of the parts if there are many."""
        transport = _TRANSPORT * max(25, encoded.maps[0, 0].numel()) ** 2 // 25**2
        return transport * (1 + self.config.structured_steps)


def _parts(encoded: Encoded) -> Float[Tensor, "B M C"]:
    return encoded.maps.float().flatten(2).transpose(1, 2)
