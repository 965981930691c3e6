"""Methods: labelled support and queries -> levels and logits; and the files they live in."""

from triptych.data import Preprocessing
from triptych.methods.base import Matching, Method, Summary
from triptych.methods.baseline_plus_plus import BaselinePlusPlus, BaselinePlusPlusConfig
from triptych.methods.changes import changed, name_and_changes
from triptych.methods.config import MethodConfig
from triptych.methods.covamnet import CovaMNet, CovaMNetConfig
from triptych.methods.deepbdc import DeepBDC, DeepBDCConfig
from triptych.methods.deepemd import DeepEMD, DeepEMDConfig
from triptych.methods.encoded import Encoded, EncodedEpisode
from triptych.methods.encoding import BATCH, encode_images
from triptych.methods.feat import FEAT, FEATConfig
from triptych.methods.files import (
    load_state,
    method_from_bytes,
    method_to_bytes,
    read_method,
    save_method,
    weights_hash,
)
from triptych.methods.frn import FRN, FRNConfig
from triptych.methods.laplacianshot import LaplacianShot, LaplacianShotConfig
from triptych.methods.later import LaterMML, LaterMMLConfig
from triptych.methods.legacy import renamed_settings
from triptych.methods.logistic import LogisticConfig, LogisticRegression
from triptych.methods.matching import ContextConfig, ContextualMatchingNetwork, MatchingConfig, MatchingNetwork
from triptych.methods.meta_baseline import MetaBaseline, MetaBaselineConfig
from triptych.methods.mml import LEVELS, MML, MMLConfig
from triptych.methods.registry import METHODS, WEIGHTS, Weights, build_method, packaged_method, registered_config
from triptych.methods.relation import RelationConfig, RelationNetwork
from triptych.methods.renet import RENet, RENetConfig
from triptych.methods.salience import ONE_LAYER
from triptych.methods.salient import SalientMML
from triptych.methods.salient_config import SalientConfig
from triptych.methods.simpleshot import SimpleShot, SimpleShotConfig
from triptych.methods.types import method_type

__all__ = [
    "BATCH",
    "FEAT",
    "FRN",
    "LEVELS",
    "METHODS",
    "MML",
    "ONE_LAYER",
    "WEIGHTS",
    "BaselinePlusPlus",
    "BaselinePlusPlusConfig",
    "ContextConfig",
    "ContextualMatchingNetwork",
    "CovaMNet",
    "CovaMNetConfig",
    "DeepBDC",
    "DeepBDCConfig",
    "DeepEMD",
    "DeepEMDConfig",
    "Encoded",
    "EncodedEpisode",
    "FEATConfig",
    "FRNConfig",
    "LaplacianShot",
    "LaplacianShotConfig",
    "LaterMML",
    "LaterMMLConfig",
    "LogisticConfig",
    "LogisticRegression",
    "MMLConfig",
    "Matching",
    "MatchingConfig",
    "MatchingNetwork",
    "MetaBaseline",
    "MetaBaselineConfig",
    "Method",
    "MethodConfig",
    "Preprocessing",
    "RENet",
    "RENetConfig",
    "RelationConfig",
    "RelationNetwork",
    "SalientConfig",
    "SalientMML",
    "SimpleShot",
    "SimpleShotConfig",
    "Summary",
    "Weights",
    "build_method",
    "changed",
    "encode_images",
    "load_state",
    "method_from_bytes",
    "method_to_bytes",
    "method_type",
    "name_and_changes",
    "packaged_method",
    "read_method",
    "registered_config",
    "renamed_settings",
    "save_method",
    "weights_hash",
]
