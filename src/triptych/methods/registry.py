"""Methods by name, and the weights that come with them."""

import hashlib
from dataclasses import dataclass, replace
from importlib import resources
from typing import Any

from triptych.backbones import Backbone, pretrained_efficientnet_lite
from triptych.data import Preprocessing
from triptych.methods.base import Method
from triptych.methods.baseline_plus_plus import BaselinePlusPlusConfig
from triptych.methods.config import MethodConfig
from triptych.methods.covamnet import CovaMNetConfig
from triptych.methods.deepbdc import DeepBDCConfig
from triptych.methods.deepemd import DeepEMDConfig
from triptych.methods.feat import FEATConfig
from triptych.methods.files import method_from_bytes
from triptych.methods.frn import FRNConfig
from triptych.methods.laplacianshot import LaplacianShotConfig
from triptych.methods.later import LaterMMLConfig
from triptych.methods.logistic import LogisticConfig
from triptych.methods.matching import ContextConfig, MatchingConfig
from triptych.methods.meta_baseline import MetaBaselineConfig
from triptych.methods.mml import MMLConfig
from triptych.methods.relation import RelationConfig
from triptych.methods.renet import RENetConfig
from triptych.methods.salience import ONE_LAYER
from triptych.methods.salient_config import SalientConfig
from triptych.methods.simpleshot import SimpleShotConfig
from triptych.methods.types import method_type
from triptych.system.wording import did_you_mean
from triptych.weights.packages import WEIGHT_PACKAGES

__all__ = ["METHODS", "WEIGHTS", "Weights", "build_method", "packaged_method", "registered_config"]

_LITE = Preprocessing(256, interpolation="bicubic", mean=(127 / 255,) * 3, std=(128 / 255,) * 3)

_BACKBONES: dict[str, dict[str, Any]] = {
    "conv64f": {},
    "resnet12": {"backbone": "resnet12"},
    "efficientnet-lite0": {"backbone": "efficientnet-lite0", "preprocessing": _LITE},
}
_PAPER = MMLConfig(learns_plda=False)  # the first version of MML
# Over every backbone. The distribution level of MML alone is "adm-wasserstein".
_ON_EACH_BACKBONE: dict[str, MethodConfig] = {
    "adm": replace(_PAPER, levels=("distribution", "pixel"), pixel_k=3, distance="kl"),
    "adm-kl": replace(_PAPER, levels=("distribution",), distance="kl"),
    "adm-wasserstein": replace(_PAPER, levels=("distribution",)),
    "mml-paper": _PAPER,
    "mml-paper-kl": replace(_PAPER, distance="kl"),
    "mml-paper-kl-reverse": replace(_PAPER, distance="kl_reverse"),
    "mml-paper-bures": replace(_PAPER, distance="bures"),
    "mml-paper-pixel": replace(_PAPER, levels=("pixel",)),
    "mml-paper-part": replace(_PAPER, levels=("part",)),
    "protonet": MMLConfig(levels=("global",)),
    "dn4": MMLConfig(levels=("pixel",), pixel_k=3),
    "relation": RelationConfig(),
    "frn": FRNConfig(),
    "simpleshot": SimpleShotConfig(),
    "meta-baseline": MetaBaselineConfig(),
    "baseline++": BaselinePlusPlusConfig(),
    "logistic": LogisticConfig(),
    "matching": MatchingConfig(),
    "matching-context": ContextConfig(),
    "deepbdc": DeepBDCConfig(),
    "covamnet": CovaMNetConfig(),
    "feat": FEATConfig(),
    "renet": RENetConfig(),
    "deepemd": DeepEMDConfig(),
    "deepemd-grid": DeepEMDConfig(form="grid"),
    "deepemd-sampling": DeepEMDConfig(form="sampling"),
    "mml-later": LaterMMLConfig(),
    "laplacianshot": LaplacianShotConfig(),
}
# Of these, which need no training over a network that has been trained.
_FROZEN = (
    "protonet",
    "simpleshot",
    "meta-baseline",
    "baseline++",
    "logistic",
    "matching",
    "dn4",
    "frn",
    "deepemd",
    "deepemd-grid",
    "deepemd-sampling",
    "laplacianshot",
)
METHODS: dict[str, MethodConfig] = {
    "mml-conv64f": MMLConfig(part_normalize=True, distance="log_kl"),
    "mml-resnet12": SalientConfig(
        backbone="resnet12", levels=ONE_LAYER, ridge=0.3, query_patches=None, support_patches=None
    ),
    "mml-efficientnet-lite0": SalientConfig(preprocessing=_LITE),
    **{
        f"{name}-{backbone}": replace(config, **settings)
        for name, config in _ON_EACH_BACKBONE.items()
        for backbone, settings in _BACKBONES.items()
    },
    "feat-resnet12": FEATConfig(backbone="resnet12", contrast=0.01, contrast_temperature=64.0),  # the authors' recipe
    # What a network's many channels ask for.
    "deepbdc-efficientnet-lite0": DeepBDCConfig(**_BACKBONES["efficientnet-lite0"], reduced=256),
}


@dataclass(frozen=True)
class Weights:
    """Trained weights that can be had without a download.

    Attributes:
        config: of the method, with the preprocessing that belongs to the weights.
        package: the installed package that holds the file.
        file: its name there.
        sha256: of the file.
        backbone_only: whether the file holds a backbone's weights and not a method; its fusion is then untrained.
        licence: of the weights, and what limits their use.
        card: the model card beside them.
    """

    config: MethodConfig
    package: str
    file: str
    sha256: str
    licence: str
    card: str
    backbone_only: bool = False


def _frozen(config: MethodConfig, card: str) -> Weights:
    """A method over an EfficientNet-Lite as its package has it, which needs no training of its own."""
    source = WEIGHT_PACKAGES[config.backbone]
    return Weights(config, source.package, source.file, source.sha256, source.licence, card, backbone_only=True)


WEIGHTS: dict[str, Weights] = {
    "mml-conv64f": Weights(
        config=MMLConfig(
            part_normalize=True, distance="log_kl", levels=("distribution", "pixel", "part", "plda"), plda_classes=64
        ),
        package="triptych.weights",
        file="mml-conv64f.safetensors",
        sha256="b890d715765ed3f7b2e6b744f969d8d59d31ededb88b6b9d44229394c7b32171",
        licence="MIT; trained on miniImageNet, whose images are for research use",
        card="mml-conv64f.md",
    ),
    "mml-resnet12": Weights(
        config=METHODS["mml-resnet12"],
        package="triptych.weights",
        file="mml-resnet12.safetensors",
        sha256="d32a5e9efa22d0cc8eeec8279258a49f01cbb1e6d26119b0e11bb9b833354bc9",
        licence="MIT; trained on miniImageNet, whose images are for research use",
        card="mml-resnet12.md",
    ),
    "mml-efficientnet-lite0": _frozen(METHODS["mml-efficientnet-lite0"], card="mml-efficientnet-lite0.md"),
    "mml-efficientnet-lite2": _frozen(
        SalientConfig(backbone="efficientnet-lite2", preprocessing=replace(_LITE, side=260)),
        card="mml-efficientnet-lite0.md",
    ),
    **{
        f"{name}-efficientnet-lite0": _frozen(
            METHODS[f"{name}-efficientnet-lite0"], card="frozen-efficientnet-lite0.md"
        )
        for name in _FROZEN
    },
}


def build_method(method: str | MethodConfig, backbone: Backbone | None = None) -> Method:
    """Return a freshly initialised method by its registry name or configuration, over a given backbone or a fresh one.

    Raises:
        ValueError: no such method.

    >>> from triptych.methods import build_method
    >>> build_method("dn4-conv64f").level_names
    ('pixel',)
    """
    config = registered_config(method) if isinstance(method, str) else method
    return method_type(config)(config, backbone=backbone)  # type: ignore[call-arg, arg-type]


def registered_config(name: str) -> MethodConfig:
    """The configuration that ``METHODS`` has under this name.

    Raises:
        ValueError: no such method.

    >>> from triptych.methods import registered_config
    >>> registered_config("dn4")
    Traceback (most recent call last):
    ValueError: unknown method 'dn4'; did you mean 'dn4-conv64f'?
    """
    if name not in METHODS:
        expected = did_you_mean(name, list(METHODS)) or "triptych methods lists those that there are"
        raise ValueError(f"unknown method {name!r}; {expected}")
    return METHODS[name]


def packaged_method(name: str) -> Method:
    """The method whose weights ``WEIGHTS`` has under this name, in evaluation mode.

    Raises:
        ValueError: there is no such name, or the file is missing or is not the one that the registry names.

    >>> from triptych.methods import packaged_method
    >>> packaged_method("mml-conv64f").config.backbone
    'conv64f'
    """
    if name not in WEIGHTS:
        raise ValueError(f"no weights {name!r:.80}; expected one of {', '.join(WEIGHTS)}")
    weights = WEIGHTS[name]
    if weights.backbone_only:
        return _over_pretrained(weights.config)
    try:
        data = resources.files(weights.package).joinpath(weights.file).read_bytes()
    except (OSError, ModuleNotFoundError) as error:
        raise ValueError(f"{name}: {weights.file} of {weights.package} is missing; install triptych again") from error
    if hashlib.sha256(data).hexdigest() != weights.sha256:
        raise ValueError(f"{name}: {weights.file} of {weights.package} was altered; install triptych again")
    return method_from_bytes(data, name)


def _over_pretrained(config: MethodConfig) -> Method:
    """The method over a backbone whose weights another package carries; see ``WEIGHT_PACKAGES``."""
    return build_method(config, pretrained_efficientnet_lite(config.backbone, classifies=False)).eval()
