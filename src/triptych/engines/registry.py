"""The engines by name."""

from collections.abc import Callable

from triptych.engines.cluster import RayEngine
from triptych.engines.engine import Engine
from triptych.engines.local import LocalEngine
from triptych.engines.onnx_runtime import OnnxRuntimeEngine
from triptych.engines.settings import EngineSettings
from triptych.system.settings import check_kind

__all__ = ["ENGINES", "engine_of"]

# Name -> the engine by its settings and the device on which it shall compute.
ENGINES: dict[str, Callable[[EngineSettings, str], Engine]] = {
    LocalEngine.name: lambda settings, device: LocalEngine(),
    RayEngine.name: lambda settings, device: RayEngine(settings.workers, settings.address, device),
    OnnxRuntimeEngine.name: lambda settings, device: OnnxRuntimeEngine(),
}


def engine_of(settings: EngineSettings, device: str = "cpu") -> Engine:
    """The engine that settings name.

    >>> from triptych.engines import EngineSettings, engine_of
    >>> engine_of(EngineSettings(engine="ray", workers=2)).name
    'ray'
    """
    check_kind(settings, EngineSettings, "EngineSettings")
    return ENGINES[settings.engine](settings, device)
