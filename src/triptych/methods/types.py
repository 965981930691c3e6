"""The classes of methods by the names that method files call them."""

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

__all__ = ["METHOD_TYPES"]

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
