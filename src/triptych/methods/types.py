"""The classes of methods by the names that method files call them."""

from typing import Any

from triptych.methods.base import Method
from triptych.methods.baseline_plus_plus import BaselinePlusPlus
from triptych.methods.covamnet import CovaMNet
from triptych.methods.deepbdc import DeepBDC
from triptych.methods.deepemd import DeepEMD
from triptych.methods.feat import FEAT
from triptych.methods.frn import FRN
from triptych.methods.laplacianshot import LaplacianShot
from triptych.methods.later import LaterMML
from triptych.methods.logistic import LogisticRegression
from triptych.methods.matching import ContextualMatchingNetwork, MatchingNetwork
from triptych.methods.meta_baseline import MetaBaseline
from triptych.methods.mml import MML
from triptych.methods.relation import RelationNetwork
from triptych.methods.renet import RENet
from triptych.methods.salient import SalientMML
from triptych.methods.simpleshot import SimpleShot

__all__ = ["METHOD_TYPES", "method_type"]

METHOD_TYPES: dict[str, type[Method]] = {
    kind.name: kind
    for kind in (
        MML,
        RelationNetwork,
        FRN,
        SalientMML,
        SimpleShot,
        MetaBaseline,
        BaselinePlusPlus,
        LogisticRegression,
        MatchingNetwork,
        ContextualMatchingNetwork,
        DeepBDC,
        CovaMNet,
        FEAT,
        RENet,
        DeepEMD,
        LaterMML,
        LaplacianShot,
    )
}


def method_type(config: Any) -> type[Method]:
    """The class of the method that a configuration is of.

    Raises:
        ValueError: it is no method's.

    >>> from triptych.methods import DeepEMDConfig
    >>> from triptych.methods.types import method_type
    >>> method_type(DeepEMDConfig()).__name__
    'DeepEMD'
    """
    for kind in METHOD_TYPES.values():
        if kind.config_type is type(config):
            return kind
    raise ValueError(f"expected the name of a method or its configuration, got {type(config).__name__}")
