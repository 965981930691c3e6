"""Who computes the answers to many photos: this process, the workers of a Ray cluster, or ONNX Runtime."""

from typing import TYPE_CHECKING

from triptych.engines.settings import EngineSettings
from triptych.system.lazy import imported_when_used

if TYPE_CHECKING:
    from triptych.engines.engine import Engine, PhotoSet, Question
    from triptych.engines.local import LocalEngine
    from triptych.engines.registry import ENGINES, engine_of

__all__ = ["ENGINES", "Engine", "EngineSettings", "LocalEngine", "PhotoSet", "Question", "engine_of"]

_ENGINE, _REGISTRY = "triptych.engines.engine", "triptych.engines.registry"
__getattr__ = imported_when_used(
    __name__,
    {
        "Engine": _ENGINE,
        "PhotoSet": _ENGINE,
        "Question": _ENGINE,
        "LocalEngine": "triptych.engines.local",
        "ENGINES": _REGISTRY,
        "engine_of": _REGISTRY,
    },
)
