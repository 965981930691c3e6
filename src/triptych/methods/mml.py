"""Multi-level metric learning (MML), and the methods that are one or two of its levels: ProtoNet, DN4 and ADM.

Chen, Li, Li and Chen, "Multi-level Metric Learning for Few-shot Image Recognition", 2021
(https://arxiv.org/abs/2103.11383v1). Pixels, parts and the distribution of a query should each tell its class; their
similarities are fused.

- ProtoNet, the level "global": Snell, Swersky and Zemel, "Prototypical Networks for Few-shot Learning", NeurIPS 2017
  (https://arxiv.org/abs/1703.05175). A class is the mean of its photos, and the nearest mean wins.
- DN4, the level "pixel" with k = 3: Li, Wang, Xu, Huo, Gao and Luo, "Revisiting Local Descriptor based Image-to-Class
  Measure for Few-shot Learning", CVPR 2019 (https://arxiv.org/abs/1903.12290). Each descriptor of the query looks for
  its nearest in the class.
- ADM, the levels "distribution" by KL and "pixel": Li, Wang, Huo, Shi, Gao and Luo, "Asymmetric Distribution Measure
  for Few-shot Learning", IJCAI 2020 (https://arxiv.org/abs/2002.00153). A query and a class are Gaussians of their
  descriptors.
- The level "plda" is an addition: Ioffe, "Probabilistic Linear Discriminant Analysis", ECCV 2006
  (https://doi.org/10.1007/11744085_41), over the Gaussians of several layers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from triptych.backbones import Backbone
from triptych.fusion import LevelFusion, SlotFusion
from triptych.methods.base import Matching, Method, Summary
from triptych.methods.config import MethodConfig
from triptych.methods.encoded import Encoded
from triptych.methods.encoding import BATCH
from triptych.methods.levels import DistributionLevel, GlobalLevel, Level, PartLevel, PixelLevel, PLDALevel
from triptych.similarity import DISTANCES, PLDA, SHRINKAGES, fit_plda, gaussian_vectors
from triptych.system.settings import one_of, optional, some_of, whole

__all__ = ["LEVELS", "MML", "MMLConfig"]

LEVELS = ("distribution", "pixel", "part")  # the order of the release
_KNOWN = (*LEVELS, "global", "plda")
_MOST_SLOTS = 1 << 14
_MOST_PLDA_CLASSES = 1 << 12
_FEWEST_PLDA_CLASSES = 3  # with two there is one axis, on which codes of one length differ in their sign alone
_PLDA_WEIGHT = 0.2  # of its log-likelihood ratio among the logits, until the levels are balanced


@dataclass(frozen=True)
class MMLConfig(MethodConfig):
    """Settings of an MML model.

    Attributes:
        levels: which of "distribution", "pixel", "part", "global" and "plda" are compared.
        pixel_k: nearest descriptors that count at the pixel level.
        part_k: nearest parts that count at the part level.
        part_normalize: compare parts by true cosine; the release does not.
        distance: distance of the distribution level.
        shrinkage: of its covariances; see ``distribution_similarity``.
        slots: None for way-agnostic fusion; N for published fusion weights with statistics per class slot.
        plda_classes: how many classes of training the level "plda" has learnt from; None without that level.
        learns_plda: whether training may add that level; the methods of papers stay as published.

    >>> from triptych.methods import MMLConfig
    >>> MMLConfig(levels=("pixel",), pixel_k=3).backbone
    'conv64f'
    >>> MMLConfig(distance="euclid")
    Traceback (most recent call last):
    ValueError: distance must be one of wasserstein, kl, kl_reverse, log_kl, bures, got 'euclid'
    """

    levels: tuple[str, ...] = LEVELS
    pixel_k: int = 1
    part_k: int = 1
    part_normalize: bool = False
    distance: str = "wasserstein"
    shrinkage: str = "ridge"
    slots: int | None = None
    plda_classes: int | None = None
    learns_plda: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check(
            levels=some_of(*_KNOWN),
            pixel_k=whole(1),
            part_k=whole(1),
            distance=one_of(*DISTANCES),
            shrinkage=one_of(*SHRINKAGES),
            slots=optional(whole(1, _MOST_SLOTS)),
            plda_classes=optional(whole(2, _MOST_PLDA_CLASSES)),
        )
        self._check_plda()

    def _check_plda(self) -> None:
        if ("plda" in self.levels) != (self.plda_classes is not None):
            raise ValueError(
                f"levels {self.levels} with plda_classes {self.plda_classes}; "
                "expected both plda and plda_classes, or neither"
            )
        if self.plda_classes is not None and (self.slots is not None or self.components is not None):
            raise ValueError("the level plda works neither with slots nor with components; leave one of them out")


class MML(Method):
    r"""Pixel, part, distribution and global level over one backbone, fused; and, once learnt, PLDA.

    .. math:: \mathrm{logit}(q, n) = \sum_l w_l \, \tau_l \, s_l(q, n) / \sigma_l

    over the levels l of the configuration, by ``LevelFusion``. With M descriptors x (C,) of the query, of which
    :math:`\hat x` has unit length, the M by C matrix :math:`\hat X` of these, and the same of the photos of class n:

    - ``pixel``: :math:`\sum_{i=1}^{M} \max_j \hat x_i^T \hat x_{n,j}`, or the sum of the k largest;
    - ``part``: the same over the columns (M,) of :math:`\hat X`, by inner products;
    - ``distribution``: minus a distance of the Gaussians of the descriptors, such as
      :math:`\|\mu_q - \mu_n\|_2 / C + \|\Sigma_q - \Sigma_n\|_F / C^2`;
    - ``global``: :math:`-\|\bar x_q - \bar x_n\|_2^2` of the mean descriptors;
    - ``plda``: a log-likelihood ratio.

    See ``pixel_similarity``, ``part_similarity``, ``distribution_similarity``, ``global_similarity`` and
    ``plda_to_classes``.

    Args:
        config: its settings.
        backbone: the backbone of ``config``, to share one that is there; by default a freshly initialised one.

    >>> import torch
    >>> from triptych.methods import MML, MMLConfig, Preprocessing
    >>> method = MML(MMLConfig(preprocessing=Preprocessing(side=32))).eval()
    >>> query, support = torch.randn(4, 3, 32, 32), torch.randn(3, 3, 32, 32)
    >>> method(query, support, torch.tensor([0, 1, 1])).shape
    torch.Size([4, 2])
    """

    name = "mml"
    config_type = MMLConfig
    config: MMLConfig

    def __init__(self, config: MMLConfig = MMLConfig(), backbone: Backbone | None = None) -> None:
        fusion = LevelFusion(config.levels) if config.slots is None else SlotFusion(config.levels, config.slots)
        super().__init__(config, fusion, backbone)
        if config.plda_classes and not self.backbone.tap_channels:
            raise ValueError(f"plda is for backbones of few channels, which {config.backbone} is not; expected conv64f")
        self.scorers = nn.ModuleDict({name: self._level(name) for name in config.levels})

    @property
    def level_names(self) -> tuple[str, ...]:
        return self.config.levels

    def encode_features(self, taps: Sequence[Float[Tensor, "B _ _ _"]]) -> Encoded:
        """The feature maps; with PLDA also each image's ``codes`` (B, A)."""
        encoded = super().encode_features(taps)
        if "plda" not in self.scorers:
            return encoded
        plda = self.scorers["plda"]
        assert isinstance(plda, PLDALevel)
        return Encoded({**encoded.tensors, "codes": plda.codes(taps)})

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {name: level.summarise(encoded, views) for name, level in self._levels()}

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Float[Tensor, "Q N"]]:
        return {name: level.compare(query, [summary[name] for summary in classes]) for name, level in self._levels()}

    def check(self) -> None:
        super().check()
        if "plda" in self.scorers and bool((self.scorers["plda"].get_buffer("between") < 0).any()):
            raise ValueError("a variance of the level plda is negative")

    def matchings(self) -> Mapping[str, Matching]:
        found = {name: level.matching() for name, level in self._levels()}
        return {name: matching for name, matching in found.items() if matching is not None}

    def learns_closed_form(self, classes: int) -> bool:
        """Whether it can learn the level "plda"."""
        return (
            self.config.learns_plda
            and "distribution" in self.level_names
            and isinstance(self.fusion, LevelFusion)
            and self.projection is None
            and bool(self.backbone.tap_channels)
            and classes >= _FEWEST_PLDA_CLASSES
        )

    @torch.no_grad()
    def learn_closed_form(self, classes: Iterable[Float[Tensor, "_ 3 h w"]]) -> "MML":
        """The level "plda", from the Gaussians of the images of each class."""
        return self.with_plda(fit_plda(self._vectors(images) for images in classes))

    def _vectors(self, images: Float[Tensor, "B 3 h w"]) -> Float[Tensor, "B D"]:
        parts = images.split(BATCH[images.device.type])
        return torch.cat([gaussian_vectors(self.backbone.taps(part)) for part in parts])

    @torch.no_grad()
    def with_plda(self, plda: PLDA) -> "MML":
        """This method with the level "plda", which adds 0.2 of its log-likelihood ratio to the logits.

        Backbone and preprocessing are shared; an existing level "plda" is replaced.

        Raises:
            ValueError: the published fusion, principal components, or a backbone of many channels.
        """
        before = self.without_plda()
        plda_classes = plda.axes.shape[1] + 1
        config = replace(before.config, levels=(*before.config.levels, "plda"), plda_classes=plda_classes)
        method = MML(config, self.backbone)
        assert isinstance(before.fusion, LevelFusion)
        method.fusion = before.fusion.extended("plda", _PLDA_WEIGHT)
        level = method.scorers["plda"]
        for name, value in plda._asdict().items():
            level.get_buffer(name).copy_(value)
        return method.to(plda.axes.device).train(self.training)

    @torch.no_grad()
    def without_plda(self) -> "MML":
        """This method without the level "plda"; itself if it has none."""
        if "plda" not in self.config.levels:
            return self
        kept = tuple(name for name in self.config.levels if name != "plda")
        method = MML(replace(self.config, levels=kept, plda_classes=None), self.backbone)
        assert isinstance(self.fusion, LevelFusion)
        method.fusion = self.fusion.restricted(kept)
        return method.train(self.training)

    def reduced_config(self, components: int) -> MMLConfig:
        """Without PLDA and the published fusion: both were learnt on descriptors of all channels."""
        kept = tuple(name for name in self.config.levels if name != "plda")
        return replace(self.config, components=components, levels=kept, slots=None, plda_classes=None)

    def _levels(self) -> list[tuple[str, Level]]:
        return [(name, level) for name, level in self.scorers.items() if isinstance(level, Level)]

    def _level(self, name: str) -> Level:
        config = self.config
        if name == "pixel":
            return PixelLevel(config.pixel_k)
        if name == "part":
            return PartLevel(config.part_k, config.part_normalize)
        if name == "distribution":
            return DistributionLevel(config.distance, config.shrinkage)
        if name == "global":
            return GlobalLevel()
        assert config.plda_classes is not None
        return PLDALevel(config.plda_classes, self.backbone.tap_channels)
