"""What a logger is: one place where the figures of a run go."""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triptych.system.files import write_whole

__all__ = ["LogStart", "Logger"]

_IDS = "loggers.json"  # which run a logger goes on with when this one is resumed


@dataclass(frozen=True)
class LogStart:
    """What a logger is told as a run starts.

    Attributes:
        folder: the run's.
        settings: of the run.
        step: that it goes on from; 0 for a new one.

    >>> from pathlib import Path
    >>> from triptych.training.logger import LogStart
    >>> LogStart(Path("runs/frn"), {"seed": 0}, step=0).folder.name
    'frn'
    """

    folder: Path
    settings: Mapping[str, Any]
    step: int

    def known(self, logger: str) -> str | None:
        """The id of the run that a logger goes on with; None for a new one."""
        found = self._ids().get(logger) if self.step else None
        return found if isinstance(found, str) else None

    def remember(self, logger: str, identity: str) -> str:
        """Keep the id of a logger's run for when this one is resumed."""
        write_whole(self.folder / _IDS, json.dumps({**self._ids(), logger: identity}).encode())
        return identity

    def _ids(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / _IDS).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else {}
        return {}


class Logger(ABC):
    """One place where figures go. A class is registered in ``LOGGERS``, and made with a ``LogStart``."""

    needs: tuple[str, str] | None = None  # (library, extra of the package) to import

    @abstractmethod
    def __init__(self, start: LogStart) -> None: ...

    @abstractmethod
    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Take the figures of a step."""

    @abstractmethod
    def close(self, failed: bool = False) -> None:
        """Write what is not written yet; nothing is logged afterwards. ``failed``: the run ended by an error."""
