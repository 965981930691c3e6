"""Small methods: the embedded weights on small images, and two methods that no shipped one resembles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from triptych import load_method
from triptych.backbones import Backbone
from triptych.fusion import SumFusion
from triptych.methods import MML, Encoded, Method, MethodConfig, MMLConfig, Preprocessing, Summary

__all__ = ["SIDE", "TOYS", "Centred", "CentredConfig", "Together", "TogetherConfig", "small_method"]

SIDE = 32


@cache
def small_method() -> MML:
    """The embedded weights on images of 32 x 32 pixels: 64 positions in place of 441, at a fraction of the time.

    Always the same object: no test may change it.
    """
    embedded = load_method("mml-conv64f")
    assert isinstance(embedded.config, MMLConfig)
    method = MML(replace(embedded.config, preprocessing=Preprocessing(side=SIDE)))
    method.load_state_dict(embedded.state_dict())
    return method.eval()


@dataclass(frozen=True)
class CentredConfig(MethodConfig):
    """Of ``Centred``."""

    preprocessing: Preprocessing = Preprocessing(side=SIDE)  # noqa: RUF009 (frozen)


class Centred(Method):
    """Cosine of pooled maps from which the mean of all classes is taken: a class depends on the others."""

    name = "centred"
    config_type: type[MethodConfig] = CentredConfig
    separable = False

    def __init__(self, config: MethodConfig = CentredConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, SumFusion(), backbone)
        self.scale = nn.Parameter(torch.tensor(10.0))

    @property
    def level_names(self) -> tuple[str, ...]:
        return ("centred",)

    def summarise(self, encoded: Encoded, views: int = 1) -> Summary:
        return {"mean": encoded.maps.mean((0, 2, 3)), "centre": None}

    def adapt(self, classes: Sequence[Summary]) -> Sequence[Summary]:
        centre = torch.stack([one["mean"] for one in classes]).mean(0)
        return [{"mean": one["mean"], "centre": centre} for one in classes]

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Tensor]:
        means = torch.stack([one["mean"] - one["centre"] for one in classes])  # (N, C)
        pooled = query.maps.mean((2, 3)) - classes[0]["centre"]  # (Q, C)
        cosines = functional.normalize(pooled, dim=1) @ functional.normalize(means, dim=1).T
        return {"centred": self.scale * cosines}


@dataclass(frozen=True)
class TogetherConfig(CentredConfig):
    """Of ``Together``."""


class Together(Centred):
    """Queries are centred by their own mean: each answer depends on the others asked with it."""

    name = "together"
    config_type = TogetherConfig
    transductive = True

    def __init__(self, config: TogetherConfig = TogetherConfig(), backbone: Backbone | None = None) -> None:
        super().__init__(config, backbone)

    def compare(self, query: Encoded, classes: Sequence[Summary]) -> dict[str, Tensor]:
        maps = query.maps - query.maps.mean(0) + classes[0]["centre"][:, None, None]
        return super().compare(Encoded({"maps": maps}), classes)


TOYS: tuple[MethodConfig, ...] = (CentredConfig(), TogetherConfig())
