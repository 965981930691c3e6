"""Which engine answers, as options of a command."""

from dataclasses import dataclass

from triptych.system.settings import NAME, check_settings, one_of, optional, setting, whole

__all__ = ["NAMES", "EngineSettings"]

NAMES = ("local", "ray", "onnxruntime")


@dataclass(frozen=True)
class EngineSettings:
    """Which engine answers.

    - ``local``: this process, with PyTorch.
    - ``ray``: workers of a Ray cluster, on one machine or many. The same answers.
    - ``onnxruntime``: this process, with ONNX Runtime. The same answers but for the last digits of probabilities.

    >>> from triptych.engines import EngineSettings
    >>> EngineSettings(workers=2)
    Traceback (most recent call last):
    ValueError: workers 2: expected with the engine ray; the engine is local
    """

    engine: str = setting(
        "local",
        "local: this process. ray: workers on one machine or many (extra ray). onnxruntime: faster on a processor, "
        "for many photos (extra onnx).",
        one_of(*NAMES),
    )
    workers: int | None = setting(
        None, "With ray: how many workers; by default one a core, on GPUs one a GPU.", optional(whole(1, 100_000))
    )
    address: str | None = setting(
        None,
        "With ray: the cluster, HOST:PORT or auto; by default one on this machine that ends with the command.",
        optional(NAME),
    )

    def __post_init__(self) -> None:
        check_settings(self)
        for name in ("workers", "address"):
            if self.engine != "ray" and (given := getattr(self, name)) is not None:
                raise ValueError(f"{name} {given}: expected with the engine ray; the engine is {self.engine}")
