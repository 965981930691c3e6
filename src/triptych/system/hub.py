"""The Hugging Face hub: whether it can be reached, and what its cache holds. Its clients try for half a minute."""

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

__all__ = ["check_reachable", "data_kept", "file_kept", "hub_or_cache"]

_PATIENCE = 2.0  # seconds; a command takes about three to start, and five are to be enough
_REMEMBERED = 30.0  # seconds for which a hub that did not answer is not asked again

_silent: dict[str, float] = {}  # address -> when it did not answer


def check_reachable(kept: bool, message: str) -> None:
    """Refuse what only the hub has while it cannot be reached. It loads nothing but the hub's client.

    Args:
        kept: the hub's cache has it.
        message: of the error.

    Raises:
        OSError: the hub does not answer within seconds.

    >>> from triptych.system.hub import check_reachable
    >>> check_reachable(kept=True, message="cannot be had")
    """
    if not kept and not _answers():
        raise OSError(message)


@contextmanager
def hub_or_cache(needed: bool = True) -> Iterator[bool]:
    """Within, the hub's clients look into their cache alone, if the hub does not answer within seconds.

    Args:
        needed: false where nothing will be asked of the hub.

    Yields:
        Whether it answered.

    >>> from triptych.system.hub import hub_or_cache
    >>> with hub_or_cache(needed=False) as answered:
    ...     answered
    True
    """
    if not needed or _answers():
        yield True
        return
    import huggingface_hub.constants

    # Both libraries read their switch when they are called, and offer no other way to set it once they are imported.
    switches: list[Any] = [
        huggingface_hub.constants,
        *([sys.modules["datasets.config"]] if "datasets.config" in sys.modules else []),
    ]
    before = [switch.HF_HUB_OFFLINE for switch in switches]
    for switch in switches:
        switch.HF_HUB_OFFLINE = True
    try:
        yield False
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.HF_HUB_OFFLINE = value


def file_kept(name: str, file: str) -> bool:
    """Whether the hub's cache has a file of a repository. True where the client has a better word on it.

    >>> from triptych.system.hub import file_kept
    >>> file_kept("nobody/nothing", "config.json")
    False
    """
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return True  # who needs it says how to install it
    try:
        return isinstance(try_to_load_from_cache(name, file), str)
    except HFValidationError:  # no name of a repository
        return True


def data_kept(name: str) -> bool:
    """Whether the caches hold anything of a data set: its files, or what the library made of them.

    >>> from triptych.system.hub import data_kept
    >>> data_kept("nobody/nothing")
    False
    """
    try:
        from huggingface_hub import constants
    except ImportError:
        return True  # who needs it says how to install it
    made = getattr(sys.modules.get("datasets.config"), "HF_DATASETS_CACHE", None)
    made = made or os.environ.get("HF_DATASETS_CACHE") or Path(constants.HF_HOME, "datasets")
    places = Path(constants.HF_HUB_CACHE, f"datasets--{name.replace('/', '--')}"), Path(made, name.replace("/", "___"))
    return any(map(os.path.isdir, places))


def _answers() -> bool:
    """Whether the hub says anything at all. In a thread, as looking up a name has no time limit of its own."""
    try:
        from huggingface_hub import constants, get_session
    except ImportError:
        return True  # who needs it says how to install it

    address = constants.ENDPOINT
    if time.monotonic() - _silent.get(address, -_REMEMBERED) < _REMEMBERED:
        return False
    said: list[bool] = []

    def ask() -> None:
        try:
            get_session().head(address, timeout=_PATIENCE)
            said.append(True)
        except Exception:  # its client raises many kinds; all mean the same
            return

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    if not said:
        _silent[address] = time.monotonic()
    return bool(said)
